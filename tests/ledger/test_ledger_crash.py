"""kill -9 at random moments: what was acknowledged is readable. Real: process, SIGKILL, files. Nothing is doubled.

A child puts answers from many tasks and writes each number to a pipe once its put has returned.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from clair.ledger import Ledger, fork

ROUNDS = 8
CHILD = """
import asyncio, os, random, sys
from pathlib import Path
from clair.ledger import Ledger

async def worker(ledger, numbers):
    for n in numbers:
        key = b"%032d" % n
        raw = random.Random(n).randbytes(n % 5000)
        await ledger.put(key, stage="s", model="m", raw=raw, prompt_tokens=1, completion_tokens=1, cost_usd=1.0)
        await ledger.put_outcome(str(n), n, kind="pair", reason=None, body=raw, derivation="d")
        os.write(1, b"%d\\n" % n)

async def main(run, start):
    with Ledger.open(run, create=True) as ledger:
        numbers = iter(range(start, start + 10**6))
        await asyncio.gather(*(worker(ledger, numbers) for _ in range(64)))

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


def acknowledged_before_kill(run: Path, start: int, *, acknowledgments: int, pause_s: float) -> list[int]:
    """Start the child, wait for some acknowledgments and a moment more, kill it; all that it acknowledged."""
    command = [sys.executable, "-c", CHILD, str(run), str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as child:
        assert child.stdout is not None
        text = b""
        while text.count(b"\n") < acknowledgments:
            text += os.read(child.stdout.fileno(), 65536)
        time.sleep(pause_s)
        child.kill()
        text += child.stdout.read()
        assert child.wait() == -signal.SIGKILL
    return [int(line) for line in text.split()]


def test_what_was_acknowledged_survives_kill_nine_and_totals_stay_true(tmp_path: Path):
    chance = random.Random(3)
    acknowledged: list[int] = []
    for round_number in range(ROUNDS):
        acknowledged += acknowledged_before_kill(
            tmp_path / "run",
            round_number * 10**6,
            acknowledgments=chance.randrange(1, 400),
            pause_s=chance.random() * 0.1,
        )
        with Ledger.open(tmp_path / "run", create=False) as ledger:
            for number in acknowledged:
                raw = random.Random(number).randbytes(number % 5000)
                stored, outcome = ledger.get(b"%032d" % number), ledger.outcome(str(number))
                assert stored is not None
                assert stored.raw == raw
                assert outcome is not None
                assert outcome.body == raw
            spent = ledger.totals().by_stage["s"]
            assert spent.replies == spent.prompt_tokens == spent.cost_usd
            assert len(acknowledged) <= spent.replies <= len(acknowledged) + 64 * (round_number + 1)
            outcomes = ledger.begin_pass()
            assert len(acknowledged) <= outcomes <= spent.replies


def test_a_killed_run_can_be_forked_before_it_is_opened_again(tmp_path: Path):
    acknowledged = acknowledged_before_kill(tmp_path / "run", 0, acknowledgments=50, pause_s=0.0)
    fork(tmp_path / "run", tmp_path / "new")
    with Ledger.open(tmp_path / "new", create=False) as ledger:
        assert all(ledger.get(b"%032d" % number) is not None for number in acknowledged)
