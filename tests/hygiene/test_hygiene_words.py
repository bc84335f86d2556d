"""What counts as a word, and when two runs of words count as the same. Pure, no doubles."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.hygiene.words import fingerprints, words

SIZES = {1, 2, 3, 5, 8, 13}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ali's bill: $1,200!", ["alis", "bill", "1200"]),
        ("don\u2019t  DON'T\ndont", ["dont", "dont", "dont"]),
        ("half-price, 3,4 and 12,345.50", ["half", "price", "3", "4", "and", "12345", "50"]),
        ("Stra\u00dfe STRASSE", ["strasse", "strasse"]),
        ("cafe\u0301 caf\u00e9 \uff23\uff21\uff26\u00c9", ["caf\u00e9", "caf\u00e9", "caf\u00e9"]),
        ("天気はいい", ["天", "気", "は", "い", "い"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("😀 --- \u200b", []),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]):
    assert words(text) == [unicodedata.normalize("NFKC", word) for word in expected]


@given(st.lists(st.text("abcxyz", min_size=1), max_size=20), st.data())
def test_case_punctuation_and_spacing_make_no_difference(plain: list[str], data: st.DataObject):
    gap = st.sampled_from([" ", "\n", ", ", " - ", "! ", "\t(", ") "])
    dressed = "".join(data.draw(st.sampled_from([word, word.upper()])) + data.draw(gap) for word in plain)
    assert words(dressed) == plain


@given(st.text())
def test_the_words_of_words_are_the_words(text: str):
    once = words(text)
    assert words(" ".join(once)) == once


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_fingerprints_are_equal_exactly_where_the_words_are(text: list[str]):
    found = fingerprints(text, SIZES)
    assert set(found) == {size for size in SIZES if size <= len(text)}
    for size, numbers in found.items():
        runs = [tuple(text[start : start + size]) for start in range(len(text) - size + 1)]
        assert len(numbers) == len(runs)
        assert len(set(numbers.tolist())) == len(set(runs))
        again = fingerprints([*"xy", *text], {size})[size]
        assert np.array_equal(numbers, again[2:])
