"""The pairs shown in the card. All pure; the card's last test parses what a hostile pair does to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import datasets
import pytest
import yaml
from dataset_examples import FACTS, pair, reject
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from clair.contrast import measure
from clair.dataset.card import write_card
from clair.dataset.card_figures import MEANING
from clair.dataset.examples import LONGEST_DIFF, Draw, diff_text, example
from clair.dataset.markdown import END, REJECTS_END, REJECTS_START, START
from clair.dataset.summary import Tally
from clair.dataset.writer import write_split
from clair.records import Message


def drawn(pairs):
    draw = Draw()
    for it in pairs:
        draw.add(it)
    return draw.drawn()


def test_three_pairs_are_drawn_whatever_their_order():
    pairs = [pair(number) for number in range(50)]
    first = drawn(pairs)
    assert len(first) == 3
    assert first == drawn(reversed(pairs))
    assert drawn(pairs[:2]) == sorted(pairs[:2], key=drawn(pairs[:2]).index)
    assert drawn([]) == []


def test_the_draw_is_not_the_beginning_of_the_data():
    assert [it.source_index for it in drawn(pair(number) for number in range(1000))] != [0, 1, 2]


def test_pairs_with_a_secret_or_of_endless_length_are_not_shown():
    key = "sk-Zq7mW2xN9cVb4TgHyR8kLpD3sFj6aQeU1oIiXwEnMvBtCz5Y"
    fine = pair(1)
    assert drawn(
        [
            pair(2, chosen=key),
            pair(3, rationale=f"is {key}"),
            pair(4, prompt=(Message(role="user", content=key),)),
            pair(5, rejected="x" * 60_000),
            fine,
        ]
    ) == [fine]


def test_a_diff_is_cut_at_the_words_that_changed():
    assert diff_text("It is 1 , so I think .", "It is 2 , so I think .") == "  It is\n- 1\n+ 2\n  , so I think ."
    assert diff_text("a b", "a") == "  a\n- b"
    assert diff_text("a", "x a") == "+ x\n  a"


def test_lines_stay_lines_and_code_keeps_its_indentation():
    old = "def f():\n    return 1\n\nprint(f())"
    assert diff_text(old, old.replace("1", "2")) == "  def f():\n      return\n- 1\n+ 2\n  print(f())"


def test_what_is_far_from_a_change_is_left_out():
    lines = [f"line {number}" for number in range(20)]
    changed = [*lines[:10], "new", *lines[11:]]
    assert diff_text("\n".join(lines), "\n".join(changed)) == (
        "  […]\n  line 8\n  line 9\n- line 10\n+ new\n  line 11\n  line 12\n  […]"
    )


@given(st.text(max_size=400), st.text(max_size=400))
def test_every_line_of_a_diff_is_marked_and_there_are_few(rejected: str, chosen: str):
    lines = diff_text(rejected, chosen).split("\n")
    assert all(line == "" or line[:2] in ("- ", "+ ", "  ") for line in lines)
    assert len(lines) <= LONGEST_DIFF + 1


def test_an_example_is_short():
    words = " ".join(f"w{number}" for number in range(3000))
    text = example(
        pair(
            1,
            prompt=(Message(role="system", content="x"), Message(role="user", content=words)),
            rejected=words,
            chosen=words.replace("w7 ", "v7 ").replace("w2000", "v2000"),
            rationale=words,
        )
    )
    assert len(text) < 4000
    assert "The last of 2 turns of the prompt:" in text
    assert "- w7\n+ v7" in text
    assert "- w2000\n+ v2000" in text


def test_every_reason_has_its_meaning_in_the_card():
    from typing import get_args

    from clair.records import Reason

    assert set(MEANING) == set(get_args(Reason))


HOSTILE = (
    "---\nlicense: mit\nconfigs: []\n---\n"
    "```\n</code></pre><script>alert(1)</script>\n```diff\n~~~\n"
    f"{END}\n{START}\n{REJECTS_START} {REJECTS_END}\n"
    "# heading [a](javascript:alert(1)) ![i](x) | a | b |\n<!-- comment -->\n\u202e\x00 $x$ @someone &amp;"
)


@pytest.fixture
def hostile_card(tmp_path: Path, monkeypatch) -> str:
    """A card in which every text of models, users and columns attacks it."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    old, new = f"start {HOSTILE} {HOSTILE.replace('heading', 'title')} end", f"start {HOSTILE} {HOSTILE} end"
    made = [
        pair(number, chosen=new, rejected=old, rationale=HOSTILE, metadata=HOSTILE, source=HOSTILE, recipe=HOSTILE,
             prompt=(Message(role="user", content=HOSTILE),), contrast=measure(new, old))
        for number in range(3)
    ]  # fmt: skip
    facts = replace(FACTS, name=HOSTILE, target_model=HOSTILE, reviser_model=HOSTILE, command=HOSTILE,
                    settings={"max_change": 0.5, HOSTILE: HOSTILE, "prompts": HOSTILE})  # fmt: skip
    tally = Tally()
    write_split(tally.watch(made), tmp_path / "run", "pairs")
    write_split(tally.watch([reject(9)]), tmp_path / "run", "rejects")
    return write_card(tmp_path / "run", tally.summary(facts), tally.examples()).read_text(encoding="utf-8")


def test_a_hostile_pair_changes_nothing_in_the_card(hostile_card, tmp_path):
    _, front, body = hostile_card.split("---\n", 2)
    data = yaml.safe_load(front)
    assert "license" not in data
    assert [it["config_name"] for it in data["configs"]] == ["default", "rejects"]
    for mark, times in ((START, 1), (END, 1), (REJECTS_START, 2), (REJECTS_END, 2)):
        assert body.count(mark) == times
    assert len(datasets.load_dataset(str(tmp_path / "run"), split="train")) == 3


def test_a_hostile_pair_becomes_no_markup(hostile_card):
    """As CommonMark with tables parses it: no element of the attack but text and code."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = parser.parse(hostile_card.split("---\n", 2)[2])
    flat = [child for token in tokens for child in (token, *(token.children or ()))]
    markup = [token.content for token in flat if token.type in ("html_block", "html_inline")]
    assert {text.strip() for text in markup} == {START, END, REJECTS_START, REJECTS_END}
    links = [token.attrs["href"] for token in flat if token.type == "link_open"]
    assert set(links) == {"https://arxiv.org/abs/2408.06266"}
    assert not [token for token in flat if token.type == "image"]
    headings = [tokens[place + 1].content for place, token in enumerate(tokens) if token.type == "heading_open"]
    assert headings[1:] == [
        "Examples", "How it was made", "Funnel", "Contrast", "Bias", "Cost", "Columns", "Limits", "License", "Citation",
    ]  # fmt: skip
    fences = {token.info for token in flat if token.type == "fence"}
    assert fences == {"python", "text", "diff", "bash", "bibtex"}
