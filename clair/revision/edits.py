"""The `edits` protocol: the reviser gives search/replace blocks; the program copies everything else.

    search, divider, replace = marker_lines(response, token) reply = parse(reply_text, response=response,
    token=token)     # RevisionError if a block cannot be used revised = apply(response, reply.edits)
    # or one pair per edit: apply(response, [edit])

A block is

    <<<<<<< SEARCH
    words to replace, which occur exactly once in the response
    =======
    new words
    >>>>>>> REPLACE

and where the response itself holds a line like one of these three, all three carry the request's token.
Every search is located in the response as it was; the text outside of the places found stays byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice, pairwise
from typing import NamedTuple

from clair.errors import RevisionError
from clair.records import Edit
from clair.revision.locate import Haystack, Place, quote
from clair.revision.rewrite import clean_rationale
from clair.revision.whitespace import adopt_newlines, deepened, indentation_before, refit

MAX_TOLD = 5  # problems named in one feedback

_EMPTY_FENCE = re.compile(r"^[ \t]*```\w*[ \t]*\r?\n(?:[ \t]*\r?\n)?[ \t]*```[ \t]*\r?$", re.MULTILINE)
_ANY_MARKER = re.compile(r"^[ \t]*(?:<{5,9}[ \t]*SEARCH|={5,9}|>{5,9}[ \t]*REPLACE)[ \t]*\r?$", re.MULTILINE)


class Block(NamedTuple):
    """A search/replace block as it was written."""

    search: str
    new_text: str


class EditedReply(NamedTuple):
    """What a reply holds: the reasoning and the located edits, sorted by place, none touching another's
    words.
    """

    rationale: str
    edits: tuple[Edit, ...]


def marker_lines(response: str, token: str) -> tuple[str, str, str]:
    """The three marker lines for this response: with the token if it holds such a line itself."""
    suffix = f" {token}" if _ANY_MARKER.search(response) else ""
    return f"<<<<<<< SEARCH{suffix}", f"======={suffix}", f">>>>>>> REPLACE{suffix}"


def marks(response: str, token: str) -> re.Pattern[str]:
    """The first and last lines of blocks, for `after_reasoning`."""
    suffix = re.escape(marker_lines(response, token)[1].removeprefix("======="))
    kinds = r"(?P<opens><{5,9}[ \t]*SEARCH)|>{5,9}[ \t]*REPLACE"
    return re.compile(rf"^[ \t]*(?:{kinds}){suffix}[ \t]*\r?$", re.MULTILINE)


def parse(reply: str, *, response: str, token: str) -> EditedReply:
    """The reasoning and the edits of a reply, located in the response.

    Raises RevisionError: `no_edit_block`, `unclosed_marker`, `malformed_edit`, `search_not_found`,
    `search_ambiguous` or `edits_overlap`. If several blocks are wrong, the feedback names them all.
    """
    rationale, blocks = read_blocks(reply, marker_lines(response, token))
    return EditedReply(rationale, locate(blocks, response))


def apply(response: str, edits: Iterable[Edit]) -> str:
    """The response with the edits made. They must not overlap; all refer to `response` as it is."""
    parts, at = [], 0
    for start, end, new_text in sorted(edits):
        parts += [response[at:start], new_text]
        at = end
    return "".join([*parts, response[at:]])


def inverted(response: str, edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """The edits that make `response` again out of `apply(response, edits)`."""
    shift, found = 0, []
    for start, end, new_text in sorted(edits):
        found.append(Edit(start + shift, start + shift + len(new_text), response[start:end]))
        shift += len(new_text) - (end - start)
    return tuple(found)


def locate(blocks: Iterable[Block], response: str) -> tuple[Edit, ...]:
    """The edits of the blocks, sorted by place; a block given twice is one, and one that changes nothing is none.

    Raises RevisionError.
    """
    haystack = Haystack(response)
    edits: list[Edit] = []
    problems: list[RevisionError] = []
    for block in dict.fromkeys(blocks):
        try:
            edits.append(_locate(block, haystack))
        except RevisionError as problem:
            problems.append(problem)
    if problems:
        raise _all_of(problems)
    edits.sort()
    for before, after in pairwise(edits):
        if after.start < before.end:
            raise _overlap(response[after.start : before.end])
    return tuple(edit for edit in edits if edit.new_text != response[edit.start : edit.end])


def read_blocks(reply: str, markers: tuple[str, str, str]) -> tuple[str, list[Block]]:
    """The reasoning (all text outside of blocks) and the blocks of a reply. Raises RevisionError."""
    lines = reply.split("\n")
    kinds = _kinds(lines, markers)
    outside: list[str] = []
    blocks: list[Block] = []
    at = 0
    while at < len(lines):
        if kinds[at] == "search":
            divider, end = _parts(kinds, at, markers)
            blocks.append(_block(lines, at, divider, end, markers))
            at = end
        elif kinds[at] == "replace":
            raise _malformed(f"a line {markers[2]!r} stands outside of a block", markers)
        else:
            outside.append(lines[at])
        at += 1
    if not blocks:
        raise RevisionError(
            "no_edit_block",
            "the reply has no search/replace block",
            feedback=f"The reply holds no edit. {_how(markers)}",
        )
    return clean_rationale(_EMPTY_FENCE.sub("", "\n".join(outside))), blocks


def _kinds(lines: list[str], markers: tuple[str, str, str]) -> list[str | None]:
    """For each line its kind or None; a marker may be indented, or off by two in its length."""
    kinds = r"(?P<search><{5,9}[ \t]*SEARCH)|(?P<divider>={5,9})|(?P<replace>>{5,9}[ \t]*REPLACE)"
    token = re.escape(markers[1].removeprefix("======="))
    marker = re.compile(rf"[ \t]*(?:{kinds}){token}[ \t]*\r?")
    return [found.lastgroup if (found := marker.fullmatch(line)) else None for line in lines]


def _parts(kinds: list[str | None], search: int, markers: tuple[str, str, str]) -> tuple[int, int]:
    """Where the divider and the last line of the block are that begins at `search`."""
    marked = list(islice((at for at in range(search + 1, len(kinds)) if kinds[at]), 2))
    expected = ["divider", "replace"]
    for at, kind in zip(marked, expected, strict=False):
        if kinds[at] != kind:
            raise _malformed("a block does not have its three marker lines, once each and in order", markers)
    if len(marked) < len(expected):
        raise RevisionError(
            "unclosed_marker",
            f"the last block has no line {markers[1 + len(marked)]!r}",
            feedback=f"The last block did not come to its end. {_how(markers)}",
        )
    return marked[0], marked[1]


def _block(lines: list[str], search: int, divider: int, end: int, markers: tuple[str, str, str]) -> Block:
    texts = lines[search + 1 : divider], lines[divider + 1 : end]
    if lines[search].endswith("\r"):
        texts = [line.removesuffix("\r") for line in texts[0]], [line.removesuffix("\r") for line in texts[1]]
    block = Block("\n".join(texts[0]), "\n".join(texts[1]))
    if not block.search.strip():
        raise _malformed("a block has no words to replace", markers)
    return block


def _locate(block: Block, haystack: Haystack) -> Edit:
    place = haystack.find(block.search)
    new_text = _fitted(block, place, haystack.response)
    if new_text is None:
        raise RevisionError(
            "search_not_found",
            f"the indentation of {quote(block.search)} is not that of the response",
            feedback=f"The words to replace {quote(block.search)} do not have the indentation and line "
            "breaks that "
            "they have in the answer. Copy them from it character for character.",
        )
    return Edit(place.start, place.end, adopt_newlines(new_text, haystack.response))


def _fitted(block: Block, place: Place, response: str) -> str | None:
    """The new words with the indentation of the place; None if that cannot be told."""
    indent = indentation_before(response, place.start)
    if not place.exact:
        found = response[place.start : place.end]
        return refit(block.new_text, search=block.search, found=found, indent=indent)
    if indent and block.search[0] in " \t":
        return deepened(block.new_text, search=block.search, outside=indent)
    return block.new_text


def _all_of(problems: list[RevisionError]) -> RevisionError:
    told = problems[:MAX_TOLD]
    return RevisionError(
        told[0].reason,
        "; ".join(problem.detail for problem in told),
        feedback=" ".join(problem.feedback for problem in told),
    )


def _overlap(words: str) -> RevisionError:
    return RevisionError(
        "edits_overlap",
        f"two edits change {quote(words)}",
        feedback=f"Two blocks change the same words {quote(words)}. Join them in one block.",
    )


def _malformed(what: str, markers: tuple[str, str, str]) -> RevisionError:
    return RevisionError("malformed_edit", what, feedback=f"{what[0].upper()}{what[1:]}. {_how(markers)}")


def _how(markers: tuple[str, str, str]) -> str:
    search, divider, replace = markers
    return (
        f"Give one block for each edit: the line {search}, then the words to replace, the line {divider}, "
        "the new "
        f"words, the line {replace}."
    )
