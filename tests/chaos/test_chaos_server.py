"""A server that refuses, stalls, resets and lies, and signals at random moments: complete in the end, nothing doubled.

Real: the command as a process, signals, client, HTTP, server, ledger, files. Doubles: the two models, and the server's
malice, drawn from a seed.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.chaos.attacks import (
    DEADLINE_S,
    IN_FLIGHT,
    ROUNDS,
    SEEDS,
    Hostile,
    assert_whole,
    bought_twice,
    complete,
    finish,
    hostile_command,
    launch,
)
from tests.pipeline.test_crash import settle
from tests.servers import world
from tests.servers.chat import ChatServer

ROWS = 60


@pytest.mark.parametrize("seed", SEEDS)
def test_a_hostile_server_costs_patience_and_nothing_else(tmp_path: Path, seed: int):
    """No question is bought again once it was answered, and no lie is taken for an answer."""
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", ROWS)
    hostile = Hostile(seed, share=0.3)
    with ChatServer(hostile.answer, models=("target", "reviser"), latency_s=0.01, keep_bodies=False) as server:
        command = hostile_command(prompts, tmp_path / "run", server)
        code, stderr = finish(launch(command))
        assert code == 0, stderr
        complete(command)
    assert_whole(tmp_path / "run", ROWS)
    assert set(hostile.answered.values()) == {1}
    assert len(hostile.met) >= 8, "the seed is too kind"


@pytest.mark.parametrize("seed", SEEDS)
def test_signals_at_random_moments_cost_at_most_what_was_in_flight(tmp_path: Path, seed: int):
    """SIGKILL loses what is on the wire; SIGINT and SIGTERM lose nothing, for they drain and commit first."""
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", ROWS)
    chance = random.Random(seed)
    hostile = Hostile(seed, share=0.1, step_s=2.0)
    signals = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT] * min(ROUNDS, 2)
    chance.shuffle(signals)
    with ChatServer(hostile.answer, models=("target", "reviser"), latency_s=0.05, keep_bodies=False) as server:
        command = hostile_command(prompts, tmp_path / "run", server)
        for number in signals:
            before = bought_twice(hostile.answered)
            process = launch(command)
            wait_for_a_moment(server, process, chance)
            process.send_signal(number)
            code, stderr = finish(process)
            settle(server)
            if number == signal.SIGKILL:
                assert code in (-number, 0)
            else:
                # By the default action, or Python's own words, where it comes before the program has begun to listen.
                assert code in (130, -number, 0) or "Could not import runpy module" in stderr, stderr
                assert "Traceback" not in stderr or code != 130, stderr
            assert bought_twice(hostile.answered) - before <= IN_FLIGHT
        complete(command)
    assert_whole(tmp_path / "run", ROWS)
    assert bought_twice(hostile.answered) <= signals.count(signal.SIGKILL) * IN_FLIGHT


def wait_for_a_moment(server: ChatServer, process: subprocess.Popen[str], chance: random.Random) -> None:
    """Some way into the run: mostly while requests are on the wire, at times while it starts or ends."""
    deadline = time.monotonic() + DEADLINE_S
    asked = server.count + chance.choice([0, 1, 10, 30, 60])
    while server.count < asked and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(chance.uniform(0.0, 0.3))
