"""A run on several machines that die: one of three loses its power in the middle, and so does the driver.

Real: Ray with its own simulation of machines (`tests.engines.ray.nodes`), the command, client, HTTP, ledger, files.
Doubles: the machines, the two models (`tests.servers.world`). CLAIR_CHAOS_ROUNDS above 1 (`make chaos`) runs it.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.chaos.attacks import ROUNDS
from tests.engines.ray.nodes import QUIET, Counting, Nodes
from tests.pipeline.runs import arguments, clair, digests, start
from tests.servers.world import write_prompts

pytestmark = pytest.mark.skipif(ROUNDS == 1, reason="minutes: make chaos")

ROWS = 5_000
CONCURRENCY = 48
LATENCY_S = 0.2
RAY = ["--engine", "ray", "--workers", "3"]
IN_HAND = 3 * 8 + 2 * CONCURRENCY * 5 // 4
"""Rows in the hands of three workers; of each, at most one answer is not with the driver yet."""


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prompts(tmp_path_factory.mktemp("ray") / "prompts.jsonl", ROWS)


@pytest.fixture(scope="module")
def alone(prompts: Path) -> tuple[dict[str, str], int, int]:
    """The dataset of one process, how many requests it takes, and how many of them look alike."""
    counting = Counting()
    with counting.server(0.0) as server:
        done = clair(*arguments(prompts, prompts.parent / "here", server.base_url))
    assert done.returncode == 0, done.stderr
    return data(prompts.parent / "here"), counting.asked.total(), counting.asked_again


def data(run: Path) -> dict[str, str]:
    return {name: digest for name, digest in digests(run).items() if name.endswith(".parquet")}


def test_one_of_three_machines_loses_its_power(prompts: Path, alone: tuple[dict[str, str], int, int], tmp_path: Path):
    pytest.importorskip("ray")
    expected, once, again = alone
    counting = Counting()
    counting.wait_for = once // 2
    with counting.server(LATENCY_S) as server, Nodes(3) as nodes:
        command = arguments(prompts, tmp_path / "run", server.base_url, *RAY, "--address", nodes.address)
        process = start(*command, "--concurrency", str(CONCURRENCY), env=QUIET)
        counting.wait_while(process)
        nodes.kill()
        _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert data(tmp_path / "run") == expected
    lost = [int(line.split("its ")[1].split()[0]) for line in said.splitlines() if "was lost" in line]
    bought_twice = counting.asked_again - again
    print(f"{once} requests, {bought_twice} bought twice, rows in the hands of the dead machine: {lost}")
    assert bought_twice <= sum(lost) <= IN_HAND


def test_the_driver_is_killed_and_the_same_command_resumes(
    prompts: Path, alone: tuple[dict[str, str], int, int], tmp_path: Path
):
    pytest.importorskip("ray")
    expected, once, again = alone
    counting = Counting()
    with counting.server(LATENCY_S) as server, Nodes(3) as nodes:
        command = arguments(prompts, tmp_path / "run", server.base_url, *RAY, "--address", nodes.address)
        for share in (4, 2):
            counting.enough.clear()
            counting.wait_for = once // share
            process = start(*command, "--concurrency", str(CONCURRENCY), env=QUIET)
            counting.wait_while(process)
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            time.sleep(5.0)  # until Ray has ended the workers: what they had sent counts
        done = clair(*command, "--concurrency", str(CONCURRENCY), env=QUIET)
    assert done.returncode == 0, done.stderr
    assert data(tmp_path / "run") == expected
    bought_twice = counting.asked_again - again
    print(f"{once} requests, {bought_twice} bought twice after two kills")
    assert bought_twice <= 2 * IN_HAND
