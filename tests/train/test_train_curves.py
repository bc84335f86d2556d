"""The page of curves and the card: worked values, escaped text, and a real headless Chromium where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.train.card import model_card
from clair.train.curves import curves_page, points_of, ticks
from clair.train.options import TrainOptions
from clair.train.tokenize import TokenReport

HISTORY = [
    {"eval_loss": 1.0, "eval_rewards/chosen": 0.0, "step": 0},
    {"loss": 1.0, "rewards/chosen": 0.0, "rewards/rejected": 0.0, "learning_rate": 1e-6, "step": 1},
    {"loss": 0.5, "rewards/chosen": 1.0, "rewards/rejected": -1.0, "learning_rate": float("nan"), "step": 2},
]


class Tags(HTMLParser):
    """Checks that tags close in order; collects them and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_asks_for_nothing() -> None:
    page = curves_page(HISTORY, title="t")
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert not {"script", "img", "link", "iframe"} & set(tags.seen)
    assert not re.search(r"https?:|url\(|@import|src=|href=", page)
    assert "prefers-color-scheme: dark" in page


def test_charts_without_values_are_left_out() -> None:
    page = curves_page(HISTORY, title="t")
    assert re.findall(r"<figcaption>([^<]+)", page) == ["Loss", "Rewards", "Learning rate"]
    assert "No step was logged." in curves_page([], title="t")


def test_rewards_of_chosen_and_rejected_are_apart() -> None:
    legend = re.findall(r"</svg>([^<]+: [^<]+)</li>", curves_page(HISTORY, title="t"))
    assert legend == [
        "training: 0.5", "evaluation: 1", "chosen: 1", "rejected: -1", "chosen, evaluation: 0", "learning rate: 1e-06",
    ]  # fmt: skip


def test_points_skip_what_is_no_number() -> None:
    assert points_of(HISTORY, "learning_rate") == [(1.0, 1e-6)]
    assert points_of(HISTORY, "loss") == [(1.0, 1.0), (2.0, 0.5)]


def test_titles_are_escaped() -> None:
    page = curves_page(HISTORY, title="<script>alert('x')</script>")
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0.0, 0.5, 1.0]), (-3, 5, [-4.0, -2.0, 0.0, 2.0, 4.0, 6.0]), (7, 7, [7]), (0, 100, [0, 50, 100])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


@given(low=st.floats(-1e6, 1e6), size=st.floats(1e-3, 1e6))
def test_ticks_span_the_values(low: float, size: float) -> None:
    found = ticks(low, low + size)
    assert 2 <= len(found) <= 7
    slack = (found[-1] - found[0]) * 1e-6
    assert found[0] <= low + slack
    assert found[-1] >= low + size - slack


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_chromium_draws_every_chart(tmp_path: Path) -> None:
    """A real headless browser lays the page out; its DOM has the charts and no request can have been needed."""
    page = tmp_path / "curves.html"
    page.write_text(curves_page(HISTORY, title="a < b"), encoding="utf-8")
    assert CHROMIUM is not None
    dom = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    assert dom.count("<figure>") == 3
    assert "<h1>a &lt; b</h1>" in dom


def test_a_card_names_hub_ids_and_hides_local_paths(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    options = TrainOptions(data=str(tmp_path / "run"), model="org/base", output=tmp_path / "aligned")
    result = {"first": {"loss": 1.0}, "last": {"loss": 0.25}, "steps": 3, "seconds": 4.0, "peak_memory_mb": 5.0}
    settings = {"model": "org/base", "beta": 0.1, "data": options.data}
    card = model_card(options, settings, result, TokenReport(given=9, kept=7, too_long=2), [])
    head = card.split("---")[1]
    assert head == "\nlibrary_name: transformers\ntags:\n- clair\n- apo\n- apo_zero\nbase_model: org/base\n"
    assert "# aligned" in card
    assert "9 pairs given, 7 trained on. Left out: 2 longer than 2,048 tokens" in card
    assert "| loss | 1 | 0.25 |" in card
    assert "| data | run |" in card
    assert str(tmp_path) not in card
