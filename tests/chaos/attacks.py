"""What the attacks share: a hostile server, the command as a victim, and what must hold when the attack is over.

CLAIR_CHAOS_ROUNDS is how often each attack is repeated (1 by default, so that it runs with the tests), CLAIR_CHAOS_SEED
the first seed. What the server does is drawn from the seed; which request meets it depends on timing, as in life.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clair.api import run_async
from clair.cli.generate import command as generate
from clair.cli.options import settings_from
from clair.engines import agenerate_with
from tests.pipeline.runs import STARTED, arguments, pairs, reasons
from tests.servers import world
from tests.servers.chat import Body, ChatServer, Fault, Reply, _completion, error

ROUNDS = int(os.environ.get("CLAIR_CHAOS_ROUNDS", "1"))
SEED = int(os.environ.get("CLAIR_CHAOS_SEED", "0"))
SEEDS = range(SEED, SEED + ROUNDS)

CONCURRENCY = 4
IN_FLIGHT = 8 + 2 * CONCURRENCY * 5 // 4
"""Rows that may be in flight; of each, at most one answer is not committed yet."""
DEADLINE_S = 120.0

HUGE = b'{"choices": [{"message": {"content": "' + b"x" * 50 * 2**20
BOMB = gzip.compress(bytes(50 * 2**20))
STAGES = {"truncated": "sample", "too_different": "gate", "unchanged": "parse"}


class Hostile:
    """The world behind a server that refuses, breaks off, stalls and lies in a `share` of the requests.

    Of `capacities`, each holds for `step_s` seconds: so many requests a second, the rest get a 429. `answered` counts
    how often each question got an answer that is one.
    """

    def __init__(
        self,
        seed: int,
        *,
        share: float = 0.15,
        capacities: tuple[float, ...] = (100.0, 20.0, 100.0),
        step_s: float = 1.0,
    ) -> None:
        self.answered: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self.share = share
        self._chance = random.Random(seed)
        self._capacities, self._step_s = capacities, step_s
        self._began = self._filled_at = time.monotonic()
        self._level = 10.0

    def answer(self, body: Body) -> Reply | Fault:
        if not self._admits():
            return self._refusal()
        reply = world.answer(body)
        assert isinstance(reply, Reply)
        if self._chance.random() >= self.share:
            self.answered[question(body)] += 1
            return reply
        whole = _completion(body, reply, 0)
        raw = json.dumps(whole).encode()
        answers = self._lies_that_answer(whole, raw)
        faults = {**answers, **self._faults(raw)}
        name = self._chance.choice(sorted(faults))
        self.met[name] += 1
        self.answered[question(body)] += name in answers
        return faults[name]

    def _admits(self) -> bool:
        now = time.monotonic()
        place = min(int((now - self._began) / self._step_s), len(self._capacities) - 1)
        rate = self._capacities[place]
        self._level = min(rate / 2, self._level + (now - self._filled_at) * rate)
        self._filled_at = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True

    def _refusal(self) -> Fault:
        self.met["429"] += 1
        hints: list[dict[str, str]] = [{}, {"Retry-After": "0"}, {"retry-after-ms": "100"}, {"Retry-After": "soon"}]
        return error(429, headers=self._chance.choice(hints))

    def _lies_that_answer(self, whole: Body, raw: bytes) -> dict[str, Fault]:
        choice = whole["choices"][0]
        wild = {"prompt_tokens": -(10**30), "completion_tokens": "many", "total_tokens": None}
        return {
            "two choices": Fault(body={**whole, "choices": [choice, {**choice, "index": 1}]}),
            "wild usage": Fault(body={**whole, "usage": wild}),
            "another model": Fault(body={**whole, "model": "\x1b[31mother"}),
            "odd type": Fault(body=raw, headers={"Content-Type": "text/html; charset=utf-16"}),
        }

    def _faults(self, raw: bytes) -> dict[str, Fault]:
        half = self._chance.randrange(1, len(raw))
        return {
            "reset": Fault(reset=True),
            "stall": Fault(stall_s=60.0),
            "cut off": Fault(body=raw, cut_after=half),
            "promised too little": Fault(body=raw, headers={"Content-Length": str(half)}),
            "promised nonsense": Fault(body=raw, headers={"Content-Length": "-5"}),
            "not UTF-8": Fault(body=raw.replace(b'"content": "', b'"content": "\xff', 1)),
            "no JSON": Fault(body=raw[:half]),
            "50 MB": Fault(body=HUGE),
            "gzip bomb": Fault(body=BOMB, headers={"Content-Encoding": "gzip"}),
            "gzip that is none": Fault(body=raw, headers={"Content-Encoding": "gzip"}),
            "500": error(500),
            "503 in HTML": Fault(status=503, body=b"<html>\xff</html>"),
        }


def question(body: Body) -> str:
    """What names a question: the model and what it is asked."""
    return repr((body["model"], body["messages"]))


def row_of(asked: str) -> int:
    """The row that a question is about."""
    found = re.search(r"about row (\d+)\.", asked)
    assert found is not None
    return int(found[1])


def hostile_command(prompts: Path, run: Path, server: ChatServer, *more: str) -> list[str]:
    """`clair generate`, patient with this server."""
    patience = ["--timeout-s", "3", "--concurrency", str(CONCURRENCY)]
    return arguments(prompts, run, server.base_url, *patience, *more)


def launch(
    words: list[str], *, env: Mapping[str, str] | None = None, through: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """The command as a process of its own, perhaps `through` another; killed after the test if it is still there."""
    process = subprocess.Popen(
        [*through, sys.executable, "-m", "clair", *words],
        env={**os.environ, "HF_HUB_OFFLINE": "1", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    return process


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end; the exit status, and what was said on stderr."""
    _, stderr = process.communicate(timeout=DEADLINE_S)
    return process.returncode, stderr


def run_here(command: list[str]) -> None:
    """The same command in this process, which needs no second to start: for invocations that nobody attacks."""
    with generate.make_context("generate", command[1:]) as context:
        options = {name: value for name, value in context.params.items() if name not in ("fork", "dry_run", "as_json")}
        settings = settings_from(options)
    run_async(agenerate_with(settings))


def refused_in_one_sentence(code: int, stderr: str) -> bool:
    """Whether it ended with exit 1 and one line that names the trouble, and without a traceback."""
    assert "Traceback" not in stderr, stderr
    return code == 1 and stderr.splitlines()[-1].startswith("clair: ")


def complete(command: list[str], *, tries: int = 6) -> None:
    """The same command again, until no row is left that only the server kept from ending: it must not take long."""
    for _ in range(tries):
        run_here(command)
        if all(reason in STAGES for _, reason in reasons(_run_of(command)).values()):
            return
    raise AssertionError("the server's faults never pass")


def assert_whole(run: Path, rows: int) -> None:
    """Every row is there once, in order, and says what it says in a calm world."""
    expected = [world.expected_kind(number) for number in range(rows)]
    found = pairs(run)
    assert [row["source_index"] for row in found] == [n for n in range(rows) if expected[n] == "pair"]
    for row in found:
        number = row["source_index"]
        assert row["chosen"][0]["content"] == world.revision(number)
        assert row["rejected"][0]["content"] == world.response(number)
    assert reasons(run) == {n: (STAGES[kind], kind) for n, kind in enumerate(expected) if kind != "pair"}
    assert len({row["id"] for row in found}) == len(found)


def bought_twice(answered: Counter[str]) -> int:
    """How many answers were bought although the same question had been answered before."""
    return sum(times - 1 for times in answered.values() if times)


def _run_of(command: list[str]) -> Path:
    return Path(command[command.index("-o") + 1])


def figures(run: Path) -> dict[str, Any]:
    """run.json."""
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found
