"""Rows for tests of hygiene: a prompt, and where it stands."""

from __future__ import annotations

from clair.records import Message, Row


def row(text: str, place: int = 0, *, system: str | None = None, response: str | None = None) -> Row:
    """A prompt of one user turn, after a system message if one is given."""
    setup = [] if system is None else [Message(role="system", content=system)]
    return turns(*setup, Message(role="user", content=text), place=place, response=response)


def turns(*messages: Message, place: int = 0, response: str | None = None, answers: tuple[str, ...] = ()) -> Row:
    """A prompt of several turns."""
    return Row(
        id=f"id{place}",
        ordinal=place,
        messages=messages,
        sample_index=0,
        source="prompts.jsonl",
        source_index=place,
        response=response,
        answers=answers,
    )


def count(first: int, last: int) -> str:
    """Different words in a row: "w1 w2 w3"."""
    return " ".join(f"w{number}" for number in range(first, last + 1))
