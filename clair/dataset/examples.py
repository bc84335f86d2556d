"""A few pairs for the card: drawn by a hash of their ids, so that nobody picked them, and shown short.

draw = Draw()
for pair in pairs: draw.add(pair)
text = "\\n\\n".join(example(pair) for pair in draw.drawn())
"""

from __future__ import annotations

import hashlib
import heapq
import textwrap
from collections.abc import Iterator

from clair.contrast import Span, diff_spans
from clair.dataset.markdown import block, code
from clair.dataset.secrets import find_secrets
from clair.records import Pair

EXAMPLES = 3
LONGEST_TEXT = 600  # characters of a prompt or a rationale that are shown
LONGEST_ANSWER = 50_000  # characters; a longer answer would take long to compare and show little
WIDTH = 80  # characters of a line; more would have to be scrolled on the Hub
CONTEXT = 2  # lines shown beside a change
LONGEST_CHANGE = 8  # lines of one side of a change
LONGEST_DIFF = 40  # lines in all
CUT = "[…]"


class Draw:
    """Keeps the pairs that come first by hash, whatever their order. Those with secrets are left out."""

    def __init__(self, size: int = EXAMPLES) -> None:
        self._size = size
        self._kept: list[tuple[int, str, Pair]] = []

    def add(self, pair: Pair) -> None:
        """Consider one pair."""
        rank = -int.from_bytes(hashlib.sha256(b"clair example " + pair.id.encode()).digest(), "big")
        if len(self._kept) == self._size and rank <= self._kept[0][0]:
            return
        if _fit_to_show(pair):
            push = heapq.heappush if len(self._kept) < self._size else heapq.heapreplace
            push(self._kept, (rank, pair.id, pair))

    def drawn(self) -> list[Pair]:
        """The pairs, first by hash first."""
        return [pair for _, _, pair in sorted(self._kept, key=lambda it: -it[0])]


def _fit_to_show(pair: Pair) -> bool:
    texts = [*(message["content"] for message in pair.prompt), pair.chosen, pair.rejected, pair.rationale]
    return max(map(len, texts[-3:-1])) <= LONGEST_ANSWER and not any(map(find_secrets, texts))


def example(pair: Pair) -> str:
    """One pair as Markdown: the last question, the answers as a diff, the reasoning."""
    turns = len(pair.prompt)
    said = "The prompt:" if turns == 1 else f"The last of {turns} turns of the prompt:"
    contrast = pair.contrast
    parts = [
        f"Pair {code(pair.id)}, {1 - contrast.word_similarity:.1%} of the words changed in {contrast.edits} "
        f"place{'' if contrast.edits == 1 else 's'}. {said}",
        block("\n".join(_wrapped(_short(pair.prompt[-1]["content"]))), "text"),
        "The answer, `-` as in `rejected`, `+` as in `chosen`:",
        block(diff_text(pair.rejected, pair.chosen), "diff"),
    ]
    if pair.rationale.strip():
        parts += ["The reasoning:", block("\n".join(_wrapped(_short(pair.rationale))), "text")]
    return "\n\n".join(parts)


def diff_text(rejected: str, chosen: str) -> str:
    """Both answers in the lines of a diff, cut at the words that changed, with a little of what is around them."""
    spans = diff_spans(rejected, chosen)
    lines = [line for place, span in enumerate(spans) for line in _lines(span, place, len(spans) - 1)]
    return "\n".join(lines if len(lines) <= LONGEST_DIFF else [*lines[:LONGEST_DIFF], f"  {CUT}"])


def _lines(span: Span, place: int, last: int) -> Iterator[str]:
    if span.kind == "changed":
        yield from (f"- {line}" for line in _first(_wrapped(span.rejected)))
        yield from (f"+ {line}" for line in _first(_wrapped(span.chosen)))
        return
    lines = _wrapped(span.shown)
    before, after = (CONTEXT if place > 0 else 0), (CONTEXT if place < last else 0)
    if len(lines) > before + after + 1:
        lines = [*lines[:before], CUT, *lines[len(lines) - after :]]
    yield from (f"  {line}" for line in lines)


def _first(lines: list[str]) -> list[str]:
    return lines if len(lines) <= LONGEST_CHANGE else [*lines[:LONGEST_CHANGE], CUT]


def _wrapped(text: str) -> list[str]:
    """The lines of a text, long ones broken, without empty ones at its ends."""
    lines: list[str] = []
    for line in text.strip("\n").splitlines():
        lines += [line] if len(line) <= WIDTH else textwrap.wrap(line, WIDTH) or [""]
    if lines and not text.startswith("\n"):
        lines[0] = lines[0].lstrip()
    while lines and not lines[-1].strip():
        lines.pop()
    while lines and not lines[0].strip():
        lines.pop(0)
    return lines


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT].rstrip()} {CUT}"
