"""A target and a reviser with known behavior, for tests of the whole pipeline over real HTTP.

Prompts are "Tell me about row N."; everything the two models say is a function of N, so a test can work out every
pair and reject by hand. The models are doubles; server, client, ledger and files are real.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import threading
from pathlib import Path
from typing import Any

from tests.servers.chat import ChatServer, Fault, Reply

USAGE = (100, 50)


def write_prompts(path: Path, count: int) -> Path:
    """`count` prompts as JSONL, with one more column."""
    lines = (json.dumps({"prompt": f"Tell me about row {n}.", "topic": f"t{n % 3}"}) for n in range(count))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def answer(body: dict[str, Any]) -> Reply | Fault:
    """What "target" or "reviser" says to a request."""
    conversation = " ".join(message["content"] for message in body["messages"])
    found = re.search(r"about row (\d+)\.", conversation)
    assert found is not None, conversation
    number = int(found[1])
    return _target(number) if body["model"] == "target" else _reviser(number, body["messages"])


def response(number: int) -> str:
    """The target's answer: 70 words, one of them wrong."""
    words = [f"word{number}x{place}" for place in range(70)]
    words[35] = f"wrong{number}"
    return " ".join(words)


def revision(number: int) -> str:
    """The reviser's improved answer: one word of the response changed."""
    return response(number).replace(f"wrong{number}", f"right{number}")


def expected_kind(number: int) -> str:
    """How row `number` ends: "pair", or the reject's reason."""
    if number % 25 == 11:
        return "truncated"
    if number % 25 == 19:
        return "too_different"
    if number % 25 == 21:
        return "unchanged"
    return "pair"


def _target(number: int) -> Reply:
    finish = "length" if expected_kind(number) == "truncated" else "stop"
    return Reply(response(number), finish_reason=finish, usage=USAGE)


def _reviser(number: int, messages: list[dict[str, str]]) -> Reply:
    edits = "SEARCH" in " ".join(message["content"] for message in messages)
    asked_again = any(message["role"] == "assistant" for message in messages)
    kind = expected_kind(number)
    if kind == "too_different" or (number % 10 == 3 and not asked_again):
        text = " ".join(f"new{number}x{place}" for place in range(70))
        return Reply(_reply(number, edits, response(number), text), usage=USAGE)
    if kind == "unchanged":
        return Reply(_reply(number, edits, "word", "word", whole=response(number)), usage=USAGE)
    return Reply(_reply(number, edits, f"wrong{number}", f"right{number}"), usage=USAGE)


def _reply(number: int, edits: bool, search: str, replace: str, *, whole: str | None = None) -> str:
    reasoning = f"Row {number} has one mistake."
    if edits:
        if whole is not None:
            search = replace = whole.split()[0] + " " + whole.split()[1]
        return f"{reasoning}\n\n<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n"
    text = whole if whole is not None else response(number).replace(search, replace)
    return f"{reasoning}\n\n**Corrected Student Solution:**\n\n{text}"


def main() -> None:
    """Serve the world as a process of its own (for benchmarks: its CPU time is then not the client's)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.0)
    options = parser.parse_args()
    with ChatServer(answer, latency_s=options.latency, models=("target", "reviser"), keep_bodies=False) as server:
        print(server.base_url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
