"""What the readers of all formats yield: one input record, or why there is none."""

from __future__ import annotations

from typing import Any, NamedTuple

LONGEST_MESSAGE = 500


class BadRow(Exception):
    """One input record cannot become a row. Says why, not where. Stays inside `sources`."""


class Record(NamedTuple):
    """One record as it was read. Exactly one of `value` and `problem` is not None.

    `source` is a file name or dataset id, `source_index` the zero-based number of the record in it, `place`
    the same for people ("line 7", "row 7").
    """

    source: str
    source_index: int
    place: str
    value: dict[str, Any] | None
    problem: str | None = None

    def explain(self, reason: str) -> str:
        return printable(f"{self.source}, {self.place}: {reason}")


class Raw(NamedTuple):
    """A `Record` before it is numbered, as a reader of one file format yields it."""

    place: str
    value: dict[str, Any] | None
    problem: str | None = None


def printable(text: str) -> str:
    """Text of unknown origin for a message: not too long, and nothing a terminal cannot encode."""
    return text[:LONGEST_MESSAGE].encode("utf-8", "backslashreplace").decode("utf-8")


def kind(value: object) -> str:
    """The name of a JSON-like value's type, for messages."""
    names = {
        type(None): "null",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), type(value).__name__)
