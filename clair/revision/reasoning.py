"""Where a reply begins whose model reasons aloud: after the `</think>` of a server that leaves it in the text.

    after_reasoning(reply)                                          # of a judge, or a critique
    after_reasoning(reply, response=response, marks=marks)          # of a reviser; RevisionError: still reasoning

A draft that the model withdrew in its reasoning must not be taken for its answer. Chat templates may open the
reasoning in the prompt, so the reply may have the closing tag alone. A tag within a block or between marker lines is a
part of the answer, not of the reply: for these `marks` matches a marker line, with a group `opens` where one begins.
"""

from __future__ import annotations

import re

from clair.errors import RevisionError

_OPENING = "<think>"
_CLOSING = "</think>"
_TAG = re.compile(r"^[ \t]*</?think>|</?think>[ \t]*\r?$", re.MULTILINE)  # elsewhere in a line it is spoken of
_WITHIN_A_LINE = re.compile(_CLOSING)


def after_reasoning(reply: str, *, response: str = "", marks: re.Pattern[str] | None = None) -> str:
    """The reply without the reasoning that it begins with; as it is if there is none.

    Raises RevisionError: `unfinished` if the reasoning has no end, `empty` if nothing follows it.
    """
    leads = reply.lstrip().startswith(_OPENING)
    if not leads and _CLOSING not in reply:
        return reply
    end = _end(reply, leads=leads, quotes=_CLOSING in response, marks=marks)
    if end is None:
        if leads:
            raise _unclosed()
        return reply
    answer = reply[end:].strip()
    if not answer:
        raise _nothing_after()
    return answer


def _end(reply: str, *, leads: bool, quotes: bool, marks: re.Pattern[str] | None) -> int | None:
    """Where the reasoning ends: after its last closing tag.

    If the response has such tags itself the reply may quote it, so then after the tag that closes the first one.
    """
    tags = _own_tags(_TAG, reply, marks)
    closings = [tag.end() for tag in tags if _CLOSING in tag[0]]
    if leads and not closings:
        return next((tag.end() for tag in _own_tags(_WITHIN_A_LINE, reply, marks)), None)
    if not quotes or not closings:
        return closings[-1] if closings else None
    depth = int(_CLOSING in tags[0][0])
    if not leads and not depth:
        return None
    for tag in tags:
        depth += -1 if _CLOSING in tag[0] else 1
        if depth == 0:
            return tag.end()
    return None


def _own_tags(pattern: re.Pattern[str], reply: str, marks: re.Pattern[str] | None) -> list[re.Match[str]]:
    """The tags that no block or answer holds: the next marker line after such a one, if there is one, opens."""
    lines = list(marks.finditer(reply)) if marks else []
    tags, at = [], 0
    for tag in pattern.finditer(reply):
        while at < len(lines) and lines[at].start() < tag.end():
            at += 1
        if at == len(lines) or lines[at]["opens"]:
            tags.append(tag)
    return tags


def _unclosed() -> RevisionError:
    return RevisionError(
        "unfinished",
        f"the reply is reasoning without end: it begins with {_OPENING} and has no {_CLOSING}",
        feedback=f"The reply ended within its reasoning, before any answer. Close it with {_CLOSING}, then answer.",
    )


def _nothing_after() -> RevisionError:
    return RevisionError(
        "empty",
        f"the reply has no text after its reasoning, which ends with {_CLOSING}",
        feedback=f"The reply had nothing after its reasoning. Give the answer after {_CLOSING}.",
    )
