"""What a word is, for every figure and bound that counts words.

    words("The cat sat.")             # ["The", "cat", "sat."], as `str.split`
    words("猫坐在 mat 上。")           # ["猫", "坐", "在", "mat", "上", "。"]
    "".join(pieces(text)) == text     # the same words, each with the white space before it

White space separates words. In scripts that are written without spaces (Han, Hiragana, Katakana, Bopomofo, Thai, Lao,
Khmer, Myanmar) each letter with the marks that it carries is a word, and so is what stands between such letters: where
their words end is not told without a dictionary, and a sentence that counts as one word has no small edit.
"""

from __future__ import annotations

import re

_LETTERS = (
    "\u0e01-\u0e30\u0e32\u0e40-\u0e46"  # Thai
    "\u0e81-\u0eb0\u0eb2\u0ebd\u0ec0-\u0ec6\u0edc-\u0edf"  # Lao
    "\u1000-\u102a\u103f\u1050-\u1055\u105a-\u105d\u1061\u1065\u1066\u106e-\u1070\u1075-\u1081\u108e"  # Myanmar
    "\ua9e0-\ua9e4\ua9e6-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa76\uaa7a\uaa7e\uaa7f"
    "\u1780-\u17b3\u17d7\u17dc"  # Khmer
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9d\U0001aff0-\U0001b16f"  # Kana
    "\u3105-\u312f\u31a0-\u31bf"  # Bopomofo
    "\u3005-\u3007\u3021-\u3029\u3038-\u303c\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"  # Han
)
_MARKS = (
    "\u0e31\u0e33-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb3-\u0ebc\u0ec8-\u0ece"
    "\u102b-\u103e\u1056-\u1059\u105e-\u1060\u1062-\u1064\u1067-\u106d\u1071-\u1074\u1082-\u108d\u108f\u109a-\u109d"
    "\ua9e5\uaa7b-\uaa7d\u17b4-\u17d3\u17dd\u3099\u309a\uff9e\uff9f"
    "\u0300-\u036f\u200b-\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"
)
_LETTER = re.compile(f"[{_LETTERS}]")
_UNIT = f"[{_LETTERS}][{_MARKS}]*|[^\\s{_LETTERS}]+"
_WORD, _PIECE, _SPACED_PIECE = re.compile(_UNIT), re.compile(rf"\s*(?:{_UNIT})"), re.compile(r"\s*\S+")


def words(text: str) -> list[str]:
    """The words of a text, in order, punctuation included."""
    return text.split() if _spaced(text) else _WORD.findall(text)


def pieces(text: str) -> list[str]:
    """The words with the white space before each; the last has the white space at the end too."""
    # Without the end: white space that no word follows would be looked at once more from each of its characters.
    found = (_SPACED_PIECE if _spaced(text) else _PIECE).findall(text.rstrip())
    rest = text[sum(map(len, found)) :]
    if found:
        found[-1] += rest
    elif rest:
        found = [rest]
    return found


def _spaced(text: str) -> bool:
    return text.isascii() or not _LETTER.search(text)
