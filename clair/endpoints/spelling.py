"""How one server spells a request. Bodies are made, and named by their content key, in one spelling for all servers.

    spelling = Spelling("https://api.openai.com/v1")
    assert spelling.of({"max_tokens": 5}) == {"max_completion_tokens": 5}

Reasoning models of OpenAI refuse `max_tokens`, wherever they are served; many other servers know nothing else, or pass
over what they do not know, and would then answer at any length. So the first guess goes by the host, and a server that
refuses one name by name gets the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from clair.endpoints.classify import Longest
from clair.endpoints.spec import is_openai_host

CANONICAL: Longest = "max_tokens"
OPENAI: Longest = "max_completion_tokens"


class Spelling:
    """The name under which a server takes the limit on an answer's length."""

    def __init__(self, base_url: str) -> None:
        self._longest = OPENAI if is_openai_host(base_url) else CANONICAL
        self._refused: set[Longest] = set()

    def of(self, body: Mapping[str, object]) -> dict[str, object]:
        """`body` as this server reads it."""
        return {self._longest if name == CANONICAL else name: value for name, value in body.items()}

    def mended(self, refused: Longest | None) -> bool:
        """Whether a request of which the server refused this name passes if it is sent again."""
        if refused is None:
            return False
        self._refused.add(refused)
        (other,) = set(get_args(Longest)) - {refused}
        if other in self._refused:
            return False
        self._longest = other
        return True
