"""The `rewrite` protocol: the reviser writes the whole improved answer between two marker lines.

    opening, closing = marker_lines(token)
    revision = parse(reply_text, response=response, token=token)      # RevisionError if there is none

The marker lines carry the request's token, so neither the response nor the reasoning holds one by chance. A
reply without them is read in the shapes that replies to the CLAIR reference prompt take: the answer follows
the last top-level `{corrected_student_solution}` (also bold, a heading, without braces, with or without
colon) and the reasoning may begin with `{teacher_reasoning}`. A marker that the response brought along, or
that stands in prose or in a code block of the reasoning, is none; where that cannot be told apart, the reply
is refused.
"""

from __future__ import annotations

import re

from clair.errors import RevisionError
from clair.records import Revision
from clair.revision.whitespace import adopt_newlines, with_ends_of

_DECORATION = r"[ \t*_#>`]*"


def marker_lines(token: str) -> tuple[str, str]:
    """The lines before and after the improved answer."""
    return f"<revised-{token}>", f"</revised-{token}>"


def marks(token: str) -> re.Pattern[str]:
    """Both marker lines, for `after_reasoning`."""
    opening, closing = map(re.escape, marker_lines(token))
    return re.compile(f"(?P<opens>{opening})|{closing}")


def parse(reply: str, *, response: str, token: str) -> Revision:
    """The reasoning and the revised answer in a reply. The response's own white space at both ends is kept.

    Raises RevisionError: `no_marker`, `unclosed_marker` or `empty`.
    """
    found = _between_marker_lines(reply, token) or _after_reference_marker(reply, response)
    if found is None:
        raise RevisionError(
            "no_marker",
            "the reply has no marker of where the improved answer begins",
            feedback=f"No new answer was found. {_how(token)}",
        )
    rationale, text = found
    if not text.strip():
        raise RevisionError(
            "empty",
            "there is no text at the place of the improved answer",
            feedback=f"There was no text at the place of the new answer. {_how(token)}",
        )
    return Revision(clean_rationale(rationale), with_ends_of(response, adopt_newlines(text, response)))


def clean_rationale(text: str) -> str:
    """Reasoning without the `{teacher_reasoning}` label and without the opening of a code fence left at its
    end.
    """
    text = _REASONING_LABEL.sub("", text.strip(), count=1)
    return _FENCE_AT_END.sub("", text).strip()


def _between_marker_lines(reply: str, token: str) -> tuple[str, str] | None:
    opening, closing = map(re.escape, marker_lines(token))
    openings = list(re.finditer(rf"^(?:{_DECORATION}{opening}{_DECORATION}\r?$|[ \t]*{opening})", reply, re.MULTILINE))
    if not openings:
        return None
    closings = list(re.finditer(rf"^{_DECORATION}{closing}{_DECORATION}\r?$|{closing}[ \t]*\r?$", reply, re.MULTILINE))
    if not closings or closings[-1].start() < openings[-1].end():
        raise RevisionError(
            "unclosed_marker",
            "the marker line after the improved answer is missing",
            feedback=f"The new answer did not come to its end. {_how(token)}",
        )
    return reply[: openings[-1].start()], reply[openings[-1].end() : closings[-1].start()]


def _after_reference_marker(reply: str, response: str) -> tuple[str, str] | None:
    """Text before and after the marker, or None if it is missing or cannot be told from one the response
    brought.
    """
    markers = _top_level_markers(reply)
    own = len(_top_level_markers(response))
    if not markers or (own and len(markers) != own + 1):
        return None
    marker = markers[-1 - own]
    return reply[: marker.start()], reply[marker.end() :]


def _top_level_markers(text: str) -> list[re.Match[str]]:
    fences = [fence.start() for fence in _FENCE.finditer(text)]
    markers = []
    passed = 0
    for marker in _MARKER.finditer(text):
        while passed < len(fences) and fences[passed] < marker.start():
            passed += 1
        if passed % 2 == 0:
            markers.append(marker)
    return markers


def _label(words: str) -> str:
    """Pattern of a label at the start of a line: in braces, bold or a heading, ended by a colon, or a line
    by itself.
    """
    ended = r"(?:[ \t]?:(?:[*_]{1,3}(?=\s))?[ \t]*|[ \t]*\r?$)"
    return (
        rf"^[ \t]{{0,3}}(?:\#{{1,6}}[ \t]+)?[*_]{{0,3}}"
        rf"(?:\{{{words}\}}[*_]{{0,3}}{ended}|{words}[*_]{{0,3}}{ended})"
    )


_MARKER = re.compile(_label("corrected[ _]student[ _]solution"), re.IGNORECASE | re.MULTILINE)
_REASONING_LABEL = re.compile(r"\A" + _label("teacher[ _]reasoning")[1:], re.IGNORECASE | re.MULTILINE)
_FENCE = re.compile(r"^[ \t]{0,3}(?:```|~~~)", re.MULTILINE)
_FENCE_AT_END = re.compile(r"\n[ \t]*```\w*\s*\Z|\A```\w*\s*\Z")


def _how(token: str) -> str:
    opening, closing = marker_lines(token)
    return (
        f"Write the whole new answer between the lines {opening} and {closing}, each on a line of its "
        "own, "
        "and nothing after the second one."
    )
