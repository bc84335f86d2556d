"""The page as text: whole, escaped, self-contained, always the same. The browser's part is in test_report_chromium."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.errors import ClairError
from clair.report.markup import el, html
from clair.report.rows import island
from clair.report.write import write_report
from tests.dataset.dataset_examples import pair, reject
from tests.report.examples import hostile_run, small_run, write_run

VOID = {"meta", "input", "br", "link", "img", "base"}


class Parsed(HTMLParser):
    """Tags that close in order, their attributes, the visible text, and what scripts and styles hold."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.raw: list[tuple[str, str]] = []
        self.feed(page)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack[-1:] in (["script"], ["style"]):
            self.raw.append((self.stack[-1], data))
        else:
            self.text += data


def page_of(run_dir: Path) -> str:
    return write_report(run_dir).read_text(encoding="utf-8")


def test_the_page_shows_funnel_figures_audit_and_cost(tmp_path: Path):
    text = " ".join(Parsed(page_of(small_run(tmp_path))).text.split())
    for expected in (
        "recipe clair", "target small", "input rows13", "pairs1077 % of the rows", "gate length_ratio−17.7 %",
        "sample truncated−17.7 %", "Half of the pairs lie between 22.5 % and 67.5 %, the median is 45 %.",
        "Chosen is shorter in 0 %, equal in 100 %, longer in 0 %.", "new0100", "word0010",
        "sample990180$0.2500", "revise11900300unknown ($2.0000 known)",
        "cost $9.50, a pair $0.9500 with the rejects", "All 10 pairs and all 3 rejects.",
    ):  # fmt: skip
        assert expected in text


def test_the_page_holds_every_row_and_is_always_the_same(tmp_path: Path):
    page = page_of(small_run(tmp_path))
    rows = json.loads(next(text for kind, text in Parsed(page).raw if kind == "script"))
    assert [row["number"] for row in rows] == [*range(1, 11), 2, 1, 3]
    assert page_of(tmp_path) == page


def test_nothing_is_asked_for_and_nothing_but_its_own_script_may_run(tmp_path: Path):
    parsed = Parsed(page_of(hostile_run(tmp_path)))
    tags = {tag for tag, _ in parsed.tags}
    assert not tags & {"img", "iframe", "link", "base", "object", "embed", "audio", "video", "textarea"}
    for _, attributes in parsed.tags:
        assert not {"src", "srcset", "style", "action"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "#").startswith("#")
    (policy,) = (it["content"] for tag, it in parsed.tags if it.get("http-equiv") == "Content-Security-Policy")
    style, (_, data), script = parsed.raw[0], parsed.raw[1], parsed.raw[2]
    assert not re.search("[<>&\u2028\u2029]", data)

    def digest(text):
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    assert policy == (
        f"default-src 'none'; script-src 'sha256-{digest(script[1])}'; style-src 'sha256-{digest(style[1])}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert len(parsed.raw) == 3


def test_hostile_names_are_shown_as_they_are(tmp_path: Path):
    text = Parsed(page_of(hostile_run(tmp_path))).text
    assert "</script><script>window.hacked = 2</script>" in text
    assert '"><b onx=1>' in text


def test_huge_texts_in_all_scripts_stay_within_the_budget(tmp_path: Path):
    texts = ("<&>" * 40_000, "字" * 120_000, "word " * 30_000)
    pairs = (pair(n, chosen=f"new {texts[n % 3]} {n}", rejected=f"old {texts[n % 3]}") for n in range(150))
    rejects = (reject(1000 + n, response=texts[n % 3], revision=f"new {texts[n % 3]}") for n in range(150))
    page = page_of(write_run(tmp_path, pairs, rejects))
    assert len(page.encode()) < 15_000_000
    assert "A random sample of" in page or "All 150 pairs" in page
    assert "characters not shown" in page


def test_a_folder_without_run_json_has_a_page_and_a_broken_one_is_an_error(tmp_path: Path):
    run = small_run(tmp_path / "mine")
    (run / "run.json").unlink()
    assert "<h1>mine</h1>" in page_of(run)
    assert "has no figures by stage" in page_of(run)
    (run / "run.json").write_text("{")
    with pytest.raises(ClairError, match=r"run\.json.*cannot be read"):
        write_report(run)


def test_an_empty_run_has_a_page(tmp_path: Path):
    assert "No pairs." in Parsed(page_of(write_run(tmp_path, []))).text


@given(st.text())
def test_data_in_the_page_is_json_that_ends_no_script(text):
    found = island({"text": text})
    assert json.loads(found) == {"text": text}
    assert not re.search("[<>&\u2028\u2029]", found)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"))), st.text(st.characters(exclude_categories=("Cs", "Cc"))))
def test_text_and_attributes_come_back_from_the_markup(text, value):
    parsed = Parsed(html(el("p", text, el("b", text), text, title=value)))
    assert parsed.text == text * 3
    assert parsed.tags[0][1] == {"title": value}
