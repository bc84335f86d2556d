"""Text of unknown origin in Markdown, made harmless.

    table(["reason", "rows"], [[code(reason), "3"]])

`code` and `block` show any text literally; nothing in it can end the span, the cell or the fence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

START, END = "<!-- clair:card -->", "<!-- /clair:card -->"
"""Between these stands what clair writes. A card on the Hub keeps what others write outside of them."""
REJECTS_START, REJECTS_END = "<!-- clair:rejects -->", "<!-- /clair:rejects -->"
"""Between these stands what a publication without its rejects leaves out."""

_MARK = re.compile(r"<!--(?=\s*/?clair:)")


def code(text: str) -> str:
    """The text as an inline code span for one table cell or line. Line breaks become spaces."""
    flat = one_line(text)
    if not flat:
        return "(empty)"
    fence = "`" * (_longest_run(flat) + 1)
    padding = " " if flat.startswith("`") or flat.endswith("`") else ""
    # A pipe ends a cell even inside a code span; the renderer takes the backslash away again.
    return f"{fence}{padding}{flat}{padding}{fence}".replace("|", r"\|")


def block(text: str, language: str = "") -> str:
    """The text as a fenced code block."""
    printable = _printable(text)
    fence = "`" * max(3, _longest_run(printable) + 1)
    return f"{fence}{language}\n{printable.rstrip()}\n{fence}"


def plain(text: str) -> str:
    """The text as one line of prose: every character with a meaning in Markdown or HTML is escaped."""
    return re.sub(r"([\\`*_{}\[\]()#+!|<>&~$:@-])", r"\\\1", one_line(text))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; cells must be safe already (`code`, `plain` or our own words)."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def rejects_only(text: str) -> str:
    """The text, marked as one that only a publication with rejects has."""
    return f"{REJECTS_START}\n\n{text}\n\n{REJECTS_END}"


def one_line(text: str) -> str:
    """The text without line breaks and unprintable characters. In YAML a line `---` would end the front matter."""
    return " ".join(_printable(text).split())


def _printable(text: str) -> str:
    """Without control characters, lone surrogates, marks that reorder what is around them, and the card's own marks."""
    shown = "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)
    return _MARK.sub("<! --", shown)


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
