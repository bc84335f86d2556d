"""The target and the reviser that every contender talks to, as a process of its own.

    python -m tests.benchmarks.peers.world --latency 0.05

Prompts are "Tell me about row N."; the answers are functions of N, so that every pair can be checked. The revision
comes in the shape of the CLAIR paper's prompt, which all contenders read. Besides the chat, `GET /v1/stats` says
what was asked so far, and `POST /v1/kill` has a client killed at the very moment of a request; `stats` and `kill`
send them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tests.servers.chat import Body, ChatServer, Fault, Reply, error

WORDS, WRONG_WORD = 200, 90
REASONING = "The answer is sound but for one word in the middle, which names the wrong row; the rest can stay. "
MARKER = "**Corrected Student Solution:**"


class Stats(NamedTuple):
    """What the server saw. `other` requests belong to no row; `dropped` ones were in flight when the client died."""

    requests: int
    distinct: int
    other: int
    dropped: int
    max_in_flight: int
    cpu_s: float


class Order(NamedTuple):
    """SIGKILL to a process group when so many requests have come."""

    group: int
    at: int


def write_prompts(path: Path, count: int) -> Path:
    """`count` prompts as JSONL."""
    path.write_text("".join(json.dumps({"prompt": prompt(n)}) + "\n" for n in range(count)), encoding="utf-8")
    return path


def prompt(number: int) -> str:
    return f"Tell me about row {number}."


def rejected(number: int) -> str:
    """The target's answer: 200 words, one of them wrong."""
    return _words(number, f"wrong{number}")


def chosen(number: int) -> str:
    """The reviser's answer: one word of the target's changed."""
    return _words(number, f"right{number}")


def _words(number: int, odd: str) -> str:
    return " ".join(odd if place == WRONG_WORD else f"word{number}x{place}" for place in range(WORDS))


def stats(url: str) -> Stats:
    """Ask the server at `url` what it saw."""
    with urllib.request.urlopen(f"{url}/stats", timeout=60) as reply:
        return Stats(**json.load(reply))


def kill(url: str, order: Order) -> None:
    """Have the server carry out `order`; it does so once."""
    data = json.dumps(order._asdict()).encode()
    urllib.request.urlopen(urllib.request.Request(f"{url}/kill", data=data), timeout=60).close()


class World(ChatServer):
    """The two models, and the count of what each row cost."""

    def __init__(self, latency_s: float) -> None:
        super().__init__(self._say, latency_s=latency_s, models=("target", "reviser"), keep_bodies=False)
        self._asked: Counter[tuple[str, int]] = Counter()
        self._other = self._dropped = 0
        self._order: Order | None = None

    def respond(self, connection: Any, method: str, path: str, headers: dict[str, str], raw: bytes) -> None:
        if path == "/v1/stats":
            connection.send(Fault(body=self._stats()._asdict()))
        elif path == "/v1/kill":
            self._order = Order(**json.loads(raw))
            connection.send(Fault(body={}))
        else:
            super().respond(connection, method, path, headers, raw)

    def _stats(self) -> Stats:
        asked = self._asked
        return Stats(
            asked.total(), len(asked), self._other, self._dropped, self.max_in_flight, cpu_s=time.process_time()
        )

    def _say(self, body: Body) -> Reply | Fault:
        found = re.search(r"about row (\d+)\.", " ".join(message["content"] for message in body["messages"]))
        if found is None:
            self._other += 1
            return error(400, "messages name no row")
        model, number = body["model"], int(found[1])
        self._asked[model, number] += 1
        self._obey()
        if model == "target":
            return Reply(rejected(number), usage=(10, 2 * WORDS))
        return Reply(f"{REASONING * 3}\n\n{MARKER}\n\n{chosen(number)}", usage=(3 * WORDS, 3 * WORDS))

    def _obey(self) -> None:
        if self._order is not None and self._asked.total() >= self._order.at:
            os.killpg(self._order.group, signal.SIGKILL)
            self._dropped, self._order = self.in_flight + 1, None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, required=True)
    with World(parser.parse_args().latency) as server:
        print(server.base_url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
