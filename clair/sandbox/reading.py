"""Rendered prompts, read as a model would: what stands between the lines that carry the request's token.

Everything between such lines is untrusted, and without the token nothing in it can pass for the end of a block.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from clair.records import Message

_TOKEN = re.compile(r"^<(?:conversation|answer)-([0-9a-f]{8,})>$", re.MULTILINE)


class Reply(NamedTuple):
    """The text of a chat completion and why it ends ("stop" or "length")."""

    text: str
    finish_reason: str


class Shown(NamedTuple):
    """The first user message of a rendered prompt and its token."""

    text: str
    token: str

    def block(self, name: str) -> str | None:
        """What stands between the lines `<name-token>` and `</name-token>`, None if they are not there."""
        tag = f"{name}-{self.token}"
        found = re.search(rf"^<{tag}>\n(.*?)\n</{tag}>$", self.text, re.MULTILINE | re.DOTALL)
        return None if found is None else found[1]

    @property
    def question(self) -> str:
        """The last turn of the conversation, or all of it if it is not shown turn by turn."""
        conversation = self.block("conversation") or ""
        opening = f"<user-{self.token}>"
        return conversation[conversation.rfind(opening) :] if opening in conversation else conversation

    def after(self, *names: str) -> str:
        """The instructions behind the last of these blocks."""
        ends = [self.text.rfind(f"</{name}-{self.token}>") for name in names]
        return self.text[max(ends) :] if max(ends) >= 0 else self.text


def read_shown(messages: Sequence[Message]) -> Shown | None:
    """The rendered prompt that a chat begins with, None if it is an ordinary question."""
    text = next((message["content"] for message in messages if message["role"] == "user"), "")
    found = _TOKEN.search(text)
    return Shown(text, found[1]) if found else None


def last_user_text(messages: Sequence[Message]) -> str:
    """The last thing the user said."""
    return next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")


def is_first(messages: Sequence[Message]) -> bool:
    """Whether the chat begins here: nothing was replied yet."""
    return all(message["role"] != "assistant" for message in messages)
