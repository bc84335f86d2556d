"""What counts as a word. Nothing is a double; `str.split` and the Unicode database are the reference."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.words import pieces, words

UNSPACED = re.compile("(?:CJK (?:UNIFIED|COMPAT)|HIRAGANA|KATAKANA|BOPOMOFO|THAI|LAO|KHMER|MYANMAR) ?")
LETTERS = [
    char
    for char in map(chr, range(0x0E00, 0x20000))
    if unicodedata.category(char) == "Lo" and UNSPACED.match(unicodedata.name(char, ""))
]
MARKS = [
    char
    for char in map(chr, range(0x0E00, 0x20000))
    if unicodedata.category(char) in ("Mn", "Mc") and UNSPACED.match(unicodedata.name(char, ""))
]
SARA_AM = ("\u0e33", "\u0eb3")  # letters by category that stand behind a consonant as its vowel


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("猫坐在 mat 上。", ["猫", "坐", "在", "mat", "上", "。"]),
        ("用Python3写的。", ["用", "Python3", "写", "的", "。"]),
        ("「東京」へ\u3000行く", ["「", "東", "京", "」", "へ", "行", "く"]),
        ("か\u3099ｶﾞ", ["か\u3099", "ｶﾞ"]),
        ("ที่นี่ น้ำ", ["ที่", "นี่", "น้ำ"]),
        ("ສະບາຍດີ", ["ສ", "ະ", "ບ", "າ", "ຍ", "ດີ"]),
        ("ភាសា៕", ["ភា", "សា", "៕"]),
        ("မြန်မာ ၁၂", ["မြ", "န်", "မာ", "၁၂"]),
        ("서울은 수도이다.", ["서울은", "수도이다."]),
        ("𠮷野家", ["𠮷", "野", "家"]),
        ("“It’s 12 °C,” he said – naïvely.", ["“It’s", "12", "°C,”", "he", "said", "–", "naïvely."]),
        ("", []),
    ],
)
def test_white_space_separates_words_and_in_scripts_without_it_each_letter_is_one(
    text: str, expected: list[str]
) -> None:
    assert words(text) == expected


def test_every_letter_of_such_a_script_is_a_word_and_its_marks_belong_to_it() -> None:
    assert len(LETTERS) > 28_000
    assert [
        char for char in LETTERS if char not in SARA_AM and words(f"a{char}{char}b") != ["a", char, char, "b"]
    ] == []
    assert [mark for mark in (*MARKS, *SARA_AM) if words(f"ก{mark}") != [f"ก{mark}"]] == []


@given(st.text(st.characters(max_codepoint=0x0DFF) | st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)))
def test_elsewhere_words_are_what_split_gives(text: str) -> None:
    assert words(text) == text.split()


mixed = st.text(st.sampled_from("ab \n\u3000\u200b。，é猫坐かｶﾞกำ่") | st.characters(exclude_categories=["Cs"]))


@given(mixed)
def test_pieces_rebuild_the_text_and_hold_the_words(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert [piece.strip() for piece in pieces(text) if piece.strip()] == words(text)
    assert "".join(words(text)) == "".join(text.split())


@given(mixed, mixed)
def test_words_of_two_texts_are_those_of_each(one: str, other: str) -> None:
    assert words(f"{one}\n{other}") == words(one) + words(other)


@pytest.mark.parametrize("word", ["cat", "猫"])
def test_much_white_space_at_the_end_takes_no_time(word: str) -> None:
    """A model that runs on in blanks: in the square of their number this would take minutes."""
    began = time.process_time()
    assert pieces(f"{word}{' ' * 100_000}") == [f"{word}{' ' * 100_000}"]
    assert time.process_time() - began < 1
