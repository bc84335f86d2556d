"""Text from models and files, made safe for a terminal, and word diffs in color."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""C0 and C1 controls (but tab and newline) and the bidirectional overrides: what could drive or disguise a terminal."""


def printable(text: str) -> str:
    """`text` with every control character shown as its code point instead of obeyed."""
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r\n", "\n"))


def word_diff(rejected: str, chosen: str, *, styled: bool = True) -> Text:
    """Both answers in one text: removed words struck through in red, added words in green.

    Where styles are not shown, in a file or a pipe, `[-removed-]` and `{+added+}` as `git diff --word-diff` has them.
    """
    from rich.text import Text

    from clair.contrast import diff_spans

    removed, added = ("{}", "{}") if styled else ("[-{}-]", "{{+{}+}}")
    text = Text()
    for span in diff_spans(rejected, chosen):
        if span.kind == "equal":
            text.append(printable(span.shown))
            continue
        for words, form, style in ((span.rejected, removed, "red strike"), (span.chosen, added, "bold green")):
            if words:
                space = words[: -len(words.lstrip())]
                text.append(space).append(form.format(printable(words[len(space) :])), style=style)
    return text
