"""White space that a reviser is not asked about: line endings, both ends of the answer, indentation."""

from __future__ import annotations

import re


def adopt_newlines(text: str, like: str) -> str:
    r"""`text` with the line endings of `like`, where `like` uses one kind only: all \r\n, or none."""
    pairs = like.count("\r\n")
    if not pairs:
        return text.replace("\r\n", "\n")
    return re.sub(r"\r?\n", "\r\n", text) if pairs == like.count("\n") else text


def with_ends_of(response: str, text: str) -> str:
    """`text` between the white space at the start and at the end of `response`."""
    core = response.strip()
    if not core:
        return text.strip()
    before = response[: len(response) - len(response.lstrip())]
    return before + text.strip() + response[len(response.rstrip()) :]


def refit(new_text: str, *, search: str, found: str) -> str | None:
    """`new_text` made for `search`, fitted to the place `found`: the same words, other white space.

    `found` begins and ends with a word. White space at the ends of `search` lies outside of it, so it is
    taken off `new_text` too; and where the lines of `found` are all indented deeper by the same amount, so
    become those of `new_text`. None if the indentation of several new lines cannot be told.
    """
    before = search[: len(search) - len(search.lstrip())]
    after = search[len(search.rstrip()) :]
    if before:
        new_text = new_text.removeprefix(before) if new_text.startswith(before) else new_text.lstrip()
    if after:
        new_text = new_text.removesuffix(after) if new_text.endswith(after) else new_text.rstrip()
    if "\n" not in new_text:
        return new_text
    extra = _deeper(search.strip().split("\n"), found.split("\n"))
    if extra is None:
        return None
    first, *rest = new_text.split("\n")
    return "\n".join([first, *(extra + line if line.strip() else line for line in rest)])


def _deeper(searched: list[str], found: list[str]) -> str | None:
    """The indentation that each line of `found` after the first has on top of that of `searched`."""
    if not any(_indent(line) for line in found[1:]):
        return "" if not any(_indent(line) for line in searched[1:]) else None
    if len(searched) != len(found):
        return None
    extras = set()
    for old, new in zip(found[1:], searched[1:], strict=True):
        if old.strip() and new.strip():
            if not _indent(old).endswith(_indent(new)):
                return None
            extras.add(_indent(old)[: len(_indent(old)) - len(_indent(new))])
    return extras.pop() if len(extras) == 1 else None


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]
