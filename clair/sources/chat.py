"""Conversations from input columns: validated, in one form.

Understood are OpenAI messages (`role`, `content` as text or as a list of text parts) and ShareGPT turns
(`from`, `value`). Tool calls, images and other parts cannot be sent to a target as text, so they make a bad
row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from clair.records import Message
from clair.sources.record import BadRow, kind

ROLES = ("system", "user", "assistant", "tool")
SHAREGPT = {"human": "user", "gpt": "assistant", **{role: role for role in ROLES}}


def to_messages(value: Any) -> tuple[Message, ...]:
    """A list of turns as messages, in order.

    Raises:
        BadRow: not a list of turns, an unknown role, content that is not text.
    """
    if not isinstance(value, list):
        raise BadRow(f"expected a list of messages, got {kind(value)}")
    return tuple(_to_message(turn, number) for number, turn in enumerate(value, 1))


def _to_message(turn: Any, number: int) -> Message:
    if not isinstance(turn, Mapping):
        raise BadRow(f"message {number} must be an object with role and content, got {kind(turn)}")
    if turn.get("tool_calls") or turn.get("function_call"):
        raise BadRow(f"message {number} calls a tool; conversations with tool calls are not supported")
    if turn.get("role") is None and turn.get("from") is not None:
        return Message(role=_role(turn["from"], SHAREGPT, number), content=_text(turn.get("value"), number))
    role = _role(turn.get("role"), {role: role for role in ROLES}, number)
    return Message(role=role, content=_text(turn.get("content"), number))


def _role(name: Any, known: Mapping[str, str], number: int) -> str:
    if not isinstance(name, str) or name not in known:
        raise BadRow(f"message {number} has the role {name!r}, expected one of {', '.join(known)}")
    return known[name]


def _text(content: Any, number: int) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_part(part, number) for part in content)
    raise BadRow(f"the content of message {number} must be text, got {kind(content)}")


def _part(part: Any, number: int) -> str:
    text = part.get("text") if isinstance(part, Mapping) and part.get("type", "text") == "text" else None
    if not isinstance(text, str):
        raise BadRow(f"message {number} has a part that is not text")
    return text


def check_text(texts: Iterable[str]) -> None:
    """Refuse what cannot be sent: NUL characters and lone surrogates (from escapes such as \\ud800).

    Raises:
        BadRow: one of the texts has such a character.
    """
    for text in texts:
        if "\x00" in text:
            raise BadRow("the text has a NUL character")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise BadRow(f"the text has a lone surrogate ({text[error.start]!a})") from error
