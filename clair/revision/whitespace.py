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


def indentation_before(text: str, at: int) -> str | None:
    """What stands before `at` on its line, if that is nothing but spaces and tabs, else None."""
    before = text[text.rfind("\n", 0, at) + 1 : at]
    return None if before.strip(" \t") else before


def deepened(new_text: str, *, search: str, outside: str) -> str | None:
    """`new_text` for a `search` that begins within an indentation, of which `outside` stands before it.

    The first line of `new_text` has that before it already. Its further lines get it too, unless `search` has further
    lines: these are exactly what stands in the text, and so tell how the lines of `new_text` are indented. None if the
    first line of `search` and the further ones tell different things, and `new_text` does not begin like `search`; or
    if `outside` would be left before the next line.
    """
    if not new_text.strip():
        return None if search.rstrip(" \t").endswith("\n") else new_text
    if not search.partition("\n")[0].strip():
        return new_text
    if "\n" in search.strip():
        return new_text if _indent(new_text) == _indent(search) else None
    return _rest_indented(new_text, outside)


def refit(new_text: str, *, search: str, found: str, indent: str | None = None) -> str | None:
    """`new_text` made for `search`, fitted to the place `found`: the same words, other white space.

    `found` begins and ends with a word; `indent` is the white space before it if it begins a line, else None. White
    space at the ends of `search` lies outside of it, so it is taken off `new_text` too; and where the lines of `found`
    are all indented deeper by the same amount, so become those of `new_text`. None if the indentation of several new
    lines cannot be told.
    """
    before = search[: len(search) - len(search.lstrip())]
    after = search[len(search.rstrip()) :]
    if before:
        new_text = new_text.removeprefix(before) if new_text.startswith(before) else new_text.lstrip()
    if after:
        new_text = new_text.removesuffix(after) if new_text.endswith(after) else new_text.rstrip()
    if "\n" not in new_text:
        return new_text
    if "\n" in search.strip() or "\n" in found:
        extra = _deeper(search.strip().split("\n"), found.split("\n"))
    else:
        extra = _deeper_line(before.rpartition("\n")[2], indent, new_text)
    return None if extra is None else _rest_indented(new_text, extra)


def _rest_indented(text: str, extra: str) -> str:
    """`text` with `extra` before each line with words but the first."""
    first, *rest = text.split("\n")
    return "\n".join([first, *(extra + line if line.strip() else line for line in rest)])


def _deeper_line(searched: str, found: str | None, new_text: str) -> str | None:
    """The indentation that a single line has on top of the `searched` one."""
    if not searched or found is None:
        return ""
    if found.endswith(searched):
        return found.removesuffix(searched)
    return None if any(_indent(line) for line in new_text.split("\n")[1:]) else ""


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
