"""One measured run of a contender on a fresh server: a whole one, or one that is killed and started again."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.measure import server
from tests.benchmarks.peers import meter, world
from tests.benchmarks.peers.contenders import Contender, Found, check, environment

POLL_S = 1.0
STUCK_S = 60.0


class Whole(NamedTuple):
    """A run from the first prompt to the last pair."""

    usage: meter.Usage
    seen: world.Stats
    found: Found


class Crash(NamedTuple):
    """A run that was killed at `killed`, the same command `again`, and what the server saw in all."""

    killed: world.Stats
    again: meter.Usage
    seen: world.Stats
    found: Found


class Watch:
    """Gives the order to kill, if there is one, and finds a run stuck when no new request has come for a minute."""

    def __init__(self, url: str, kill_at: int | None = None) -> None:
        self._url = url
        self._kill_at = kill_at
        self._requests = 0
        self._asked = self._moved = time.monotonic()

    def __call__(self, group: int) -> bool:
        if self._kill_at is not None:
            world.kill(self._url, world.Order(group, self._kill_at))
            self._kill_at = None
        now = time.monotonic()
        if now - self._asked < POLL_S:
            return False
        before, self._requests, self._asked = self._requests, world.stats(self._url).requests, now
        if self._requests > before:
            self._moved = now
        return now - self._moved > STUCK_S


def whole(contender: Contender, count: int, latency_s: float) -> Whole:
    """`count` prompts, uninterrupted."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, _server(latency_s) as url:
        folder = Path(name)
        usage = _run(contender, folder, count, url, Watch(url))
        return Whole(usage, world.stats(url), check(contender, folder, count))


def crash(contender: Contender, count: int, latency_s: float, kill_at: int) -> Crash:
    """`count` prompts, SIGKILL to all processes at `kill_at` requests, then the same command again."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, _server(latency_s) as url:
        folder = Path(name)
        first = _run(contender, folder, count, url, Watch(url, kill_at))
        assert first.ending == "killed", first
        killed = world.stats(url)
        again = _run(contender, folder, count, url, Watch(url))
        return Crash(killed, again, world.stats(url), check(contender, folder, count))


def _server(latency_s: float) -> contextlib.AbstractContextManager[str]:
    return server("tests.benchmarks.peers.world", "--latency", str(latency_s))


def _run(contender: Contender, folder: Path, count: int, url: str, watch: Watch) -> meter.Usage:
    prompts, log = world.write_prompts(folder / "prompts.jsonl", count), folder / "log.txt"
    command = contender.command(prompts, url, folder)
    usage = meter.run(command, env=environment(folder), cwd=folder, log=log, stuck=watch)
    if usage.ending == "failed":
        print(f"{contender.name} failed:\n{log.read_text(errors='replace')[-1000:]}", file=sys.stderr, flush=True)
    return usage
