"""Texts for the page. Everything is real."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.report.text import CONTEXT, LIMIT, cut, diff, dollars, visible

WORDS = st.lists(st.sampled_from(("a", "b", "c", "\n", "  ", "dd"))).map(" ".join)


def sides(pieces):
    """Both texts that a diff without gaps stands for."""
    parts = [(piece, piece) if isinstance(piece, str) else piece for piece in pieces]
    return "".join(old for old, _ in parts), "".join(new for _, new in parts)


def test_a_diff_is_text_changes_and_text():
    assert diff("It is 4 here", "It is 5 here") == ["It is", " ", ("4", "5"), " here"]
    assert diff("one two", "one\ntwo") == ["one\ntwo"]
    assert diff("b", "a b") == [("", "a"), " b"]


@given(WORDS, WORDS)
def test_a_diff_holds_both_texts(rejected, chosen):
    old, new = sides(diff(rejected, chosen))
    assert (old.split(), new.split()) == (rejected.split(), chosen.split())


def test_a_long_text_is_shown_around_its_change():
    start, end = "start " * 100_000, " end" * 100_000
    pieces = diff(f"{start}wrong{end}", f"{start}right{end}")
    assert pieces[0] == len(start) - CONTEXT
    assert pieces[-1] == len(end) - CONTEXT
    assert ("wrong", "right") in pieces
    assert sum(len(piece) for piece in pieces if isinstance(piece, str)) == 2 * CONTEXT


def test_a_long_text_without_spaces_is_shown_around_its_change():
    same = "猫" * LIMIT
    around = same[:CONTEXT]
    left_out = LIMIT - CONTEXT
    assert diff(f"{same}坐{same}", f"{same}跳{same}") == [left_out, around, ("坐", "跳"), around, left_out]


def test_long_texts_that_differ_everywhere_are_cut_and_the_cut_is_counted():
    rejected, chosen = "a " * 50_000, "b " * 30_000
    pieces = diff(rejected, chosen)
    shown = sum(len(text) for piece in pieces if isinstance(piece, tuple) for text in piece)
    gaps = sum(piece for piece in pieces if isinstance(piece, int))
    shared = sum(len(piece) for piece in pieces if isinstance(piece, str))
    assert shown <= 2 * LIMIT
    assert shown + gaps + 2 * shared == len(rejected) + len(chosen)


def test_what_cannot_be_seen_is_spelled_out():
    assert visible("a\x00b\u202ec\r\nd\te") == "a⟨U+0000⟩b⟨U+202E⟩c\nd\te"
    assert cut("abcdef", 4) == "abcd […2 more characters are not shown]"
    assert cut("abcd", 4) == "abcd"


@pytest.mark.parametrize(
    ("usd", "expected"),
    [(0.0, "$0.00"), (1234.5, "$1,234.50"), (0.0123, "$0.0123"), (0.00012, "$0.000120"), (None, "unknown")],
)
def test_dollars(usd, expected):
    assert dollars(usd) == expected


def test_an_unknown_sum_says_what_is_known():
    assert dollars(None, known=0.5) == "unknown ($0.5000 known)"
    assert dollars(0.002, times=1000) == "$2.00"
