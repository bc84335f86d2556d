"""Text as comparable words, and runs of words as 64-bit numbers.

    words("Ali's bill: $1,200!")                    # ["alis", "bill", "1200"]
    fingerprints(words(text), {5, 13})[13]          # one number for each 13 words in a row

Two texts that differ in case, punctuation, spacing or Unicode form alone have the same words. Two different runs of
words get the same number with probability 2^-64; 10 million runs compared with 10 million others collide once in
about 180,000 comparisons of that size.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]

APOSTROPHES = "'\u2019\u02bc\uff07"
_GROUPED_DIGITS = re.compile(r"(?<=\d),(?=\d{3})")
_UNSPACED = re.compile(r"HIRAGANA|KATAKANA|CJK|THAI|LAO|KHMER|MYANMAR|BOPOMOFO")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class _Characters(dict[int, str | None]):
    """What `str.translate` makes of each character; filled as characters occur."""

    def __missing__(self, point: int) -> str | None:
        self[point] = made = _translated(chr(point))
        return made


def _translated(character: str) -> str | None:
    if character in APOSTROPHES:
        return None
    category = unicodedata.category(character)
    if category[0] in "PSZC":
        return " "
    if category == "Lo" and _UNSPACED.match(unicodedata.name(character, "")):
        return f" {character} "  # scripts without spaces: a letter stands for a word
    return character


_CHARACTERS = _Characters()


def words(text: str) -> list[str]:
    """The words of a text: case-folded, in one Unicode form, without punctuation and symbols.

    "don't" is "dont" and "1,200" is "1200"; every other sign separates words. In scripts that are written without
    spaces each letter is a word.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return _GROUPED_DIGITS.sub("", plain).translate(_CHARACTERS).split()


def fingerprints(text: Sequence[str], sizes: Collection[int]) -> dict[int, Numbers]:
    """For each size n that is not longer than the text, len(text) - n + 1 numbers: one for each n words in a row."""
    singles = np.fromiter(map(_number, text), dtype=np.uint64, count=len(text))
    found: dict[int, Numbers] = {}
    runs = np.zeros(len(text) + 1, dtype=np.uint64)
    for size in range(1, min(max(sizes, default=0), len(text)) + 1):
        runs = runs[:-1] * _MULTIPLIER + singles[size - 1 :]
        if size in sizes:
            found[size] = runs
    return found


def _number(word: str) -> int:
    return _remembered(word) if len(word) <= 32 else hash64(word)


def hash64(text: str) -> int:
    """A text as 64 bits of its hash."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


_remembered = lru_cache(maxsize=1 << 16)(hash64)
