"""kill -9 at random moments: nothing lost, nothing doubled, at most what was in flight bought twice.

Real: the command as a process, the kernel's SIGKILL, the client, server, ledger and files. Doubles: the two models.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.runs import arguments, clair, digests, start
from tests.servers import world
from tests.servers.chat import ChatServer

ROWS = 500
KILLS = 20
CONCURRENCY = 4
ROWS_IN_FLIGHT = 8 + 2 * CONCURRENCY * 5 // 4
"""Of each row at most one answer is not committed yet: on the wire, or on its way to the disk."""


@pytest.mark.slow
def test_twenty_kills_cost_at_most_what_was_in_flight_and_leave_the_same_bytes(tmp_path: Path):
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", ROWS)
    chance = random.Random(7)
    lost = []
    with ChatServer(world.answer, models=("target", "reviser"), latency_s=0.02) as server:
        command = arguments(prompts, tmp_path / "killed", server.base_url, "--concurrency", str(CONCURRENCY))
        for _ in range(KILLS):
            asked, kept = server.count, replies(tmp_path / "killed")
            process = start(*command)
            wait_for_requests(server, process, asked + chance.randrange(1, 75))
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=10)
            assert process.returncode == -signal.SIGKILL
            settle(server)
            lost.append(server.count - asked - (replies(tmp_path / "killed") - kept))
        assert clair(*command).returncode == 0
        bought = Counter(repr((body["model"], body["messages"])) for body in server.bodies)
    assert max(lost) <= ROWS_IN_FLIGHT, lost
    assert sum(bought.values()) - len(bought) == sum(lost)
    with ChatServer(world.answer, models=("target", "reviser")) as server:
        assert clair(*arguments(prompts, tmp_path / "calm", server.base_url)).returncode == 0
        assert server.count == len(bought)
    killed, calm = digests(tmp_path / "killed"), digests(tmp_path / "calm")
    assert {name for name in calm if calm[name] != killed[name]} == {"README.md", "report.html", "run.json"}
    assert killed.keys() == calm.keys()


def replies(run: Path) -> int:
    """Answers that are in the ledger, as anyone who opens the file sees them."""
    if not (run / "ledger.sqlite").exists():
        return 0
    with closing(sqlite3.connect(run / "ledger.sqlite")) as ledger:
        (count,) = ledger.execute("SELECT count(*) FROM replies").fetchone()
    return int(count)


def wait_for_requests(server: ChatServer, process: subprocess.Popen[Any], count: int) -> None:
    deadline = time.monotonic() + 60
    while server.count < count:
        assert process.poll() is None, "the command ended before it was killed: use more rows"
        assert time.monotonic() < deadline
        time.sleep(0.001)


def settle(server: ChatServer) -> None:
    """Wait until the server has seen that the killed client is gone, so that nothing more of it arrives."""
    deadline = time.monotonic() + 10
    while server._open and time.monotonic() < deadline:
        time.sleep(0.005)
