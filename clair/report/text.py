"""Texts of models and users made fit for a page: nothing invisible, nothing endless, diffs as short lists.

Escaping is not done here: the page holds these texts as JSON data or as text nodes, never as markup.
"""

from __future__ import annotations

import re
from bisect import bisect_left

from clair.contrast import diff_spans
from clair.words import words

LIMIT = 16_000
"""Characters of one text that are shown; what is longer is cut where the page says so."""

CONTEXT = 1_000  # characters kept on either side of the changes when a text is cut

Op = str | tuple[str, str] | int
"""A piece of a diff: text in both answers, (removed, added), or how many characters are left out here."""

_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


def visible(text: str) -> str:
    """The text with controls, invisible characters and marks that reorder others written as <U+202E> and the like."""
    return _HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text.replace("\r\n", "\n"))


def cut(text: str, limit: int = LIMIT) -> str:
    """The visible text, its rest beyond `limit` characters replaced by a note."""
    if len(text) <= limit:
        return visible(text)
    return f"{visible(text[:limit])} […{len(text) - limit:,} more characters are not shown]"


def diff(rejected: str, chosen: str) -> list[Op]:
    """How `chosen` came from `rejected`, by words.

    Texts beyond `LIMIT` are shown around their changes: the ends that both have in common are shortened first.
    """
    if len(rejected) <= LIMIT and len(chosen) <= LIMIT:
        return _spans(rejected, chosen)
    head = _common(rejected, chosen)
    tail = _common(rejected[head:][::-1], chosen[head:][::-1])
    old, new = rejected[head : len(rejected) - tail], chosen[head : len(chosen) - tail]
    room = LIMIT - 2 * CONTEXT
    left_out = max(0, len(old) - room) + max(0, len(new) - room)
    before, after = rejected[:head], rejected[len(rejected) - tail :] if tail else ""
    pieces: list[Op] = [len(before[:-CONTEXT]), visible(before[-CONTEXT:])]
    pieces += [*_spans(old[:room], new[:room]), left_out]
    pieces += [visible(after[:CONTEXT]), len(after[CONTEXT:])]
    return [piece for piece in pieces if piece]


def _spans(rejected: str, chosen: str) -> list[Op]:
    pieces: list[Op] = []
    for span in diff_spans(rejected, chosen):
        if span.kind == "equal":
            pieces.append(visible(span.shown))
            continue
        old, new = visible(span.rejected), visible(span.chosen)
        before = old[: len(old) - len(old.lstrip())]
        if before and new.startswith(before):  # white space that both have is no change
            pieces.append(before)
            old, new = old.removeprefix(before), new.removeprefix(before)
        pieces.append((old, new))
    return pieces


def _common(one: str, other: str) -> int:
    """Length of the common beginning, back to the last end of a word in it so that no word is split."""
    shorter = min(len(one), len(other))
    same = bisect_left(range(1, shorter + 1), True, key=lambda size: one[:size] != other[:size])
    while same and not one[same - 1].isspace() and len(words(one[same - 1 : same + 1])) < 2:
        same -= 1
    return same


def dollars(usd: float | None, *, known: float | None = None, times: int = 1) -> str:
    """US dollars as text; `known` is the known part of an unknown sum."""
    if usd is None:
        return f"unknown (${known:,.4f} known)" if known else "unknown"
    usd *= times
    return f"${usd:,.2f}" if usd >= 1 or not usd else f"${usd:.4f}" if usd >= 0.01 else f"${usd:.6f}"
