"""Whatever the Batch API does wrong, every question ends with the answer to itself, and none is submitted twice.

Real: the `openai` client, HTTP, lanes, records, ledger, and the kernel's SIGKILL. Doubles: the model, which says what
it was asked, and the server of the Batch API (`tests.servers.batch`). `make chaos` runs the long form.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clair.errors import EndpointUnusable, RunStopped
from tests.engines.batch.conftest import by_batch, shards
from tests.engines.batch.questions import answer_all
from tests.pipeline.runs import pairs
from tests.servers import world
from tests.servers.batch import BatchServer, Ending
from tests.servers.chat import Fault, echo, error

ROUNDS = int(os.environ.get("CLAIR_CHAOS_ROUNDS", "1"))
QUESTIONS = 9
ANSWERS = {number: f"QUESTION {number}" for number in range(QUESTIONS)}

BAD_LINES: list[tuple[int, dict[str, Any]] | None] = [
    None,
    (500, {"error": {"message": "crashed"}}),
    (429, {"error": {"message": "slow down"}}),
    (200, {"choices": []}),
    (0, {}),
]

ENDINGS = st.builds(
    Ending,
    status=st.sampled_from(["completed", "completed", "expired", "cancelled", "failed"]),
    answered=st.sampled_from([0.0, 0.4, 1.0]),
    failures=st.dictionaries(st.integers(0, QUESTIONS - 1), st.sampled_from(BAD_LINES), max_size=4),
    errors=st.just(({"code": "server_error", "message": "x", "line": None},)),
    seed=st.integers(0, 99),
    twice=st.booleans(),
    strangers=st.integers(0, 3),
    cut=st.sampled_from([0, 1, 30, 400]),
)


KINDS = {
    "refused": error(429, "slow down", headers={"Retry-After": "0"}),
    "broken": error(500, "oops"),
    "dropped": Fault(reset=True),
    "half": Fault(body={"object": "list", "data": []}, cut_after=9),
}


class Faults:
    """Faults of the first calls of each kind, in order; "" lets a call through."""

    def __init__(self, plan: dict[str, list[str]]) -> None:
        self._plan = {call: list(kinds) for call, kinds in plan.items()}

    def __call__(self, call: str) -> Fault | None:
        kinds = self._plan.get(call, [])
        kind = kinds.pop(0) if kinds else ""
        return KINDS.get(kind)


CALLS = ["POST /files", "POST /batches", "GET /batches", "GET /batches/ID", "GET /files", "GET /files/ID/content"]
BREAKS = ["", "broken", "dropped", "half"]
PLANS = st.fixed_dictionaries(
    {},
    optional={
        # A server that refuses has done nothing; one that breaks may have.
        **{call: st.lists(st.sampled_from([*BREAKS, "refused"]), max_size=2) for call in CALLS},
        **{f"{call} after": st.lists(st.sampled_from(BREAKS), max_size=2) for call in CALLS},
    },
)


async def answered_by_commands(server: BatchServer, run: Path) -> dict[int, str]:
    """The answers, after as many commands as it takes."""
    for _ in range(20):
        try:
            return await answer_all(server.base_url, run, QUESTIONS, max_requests=4)
        except (RunStopped, EndpointUnusable):
            continue
    raise AssertionError("twenty commands were not enough")


@settings(max_examples=12 * ROUNDS, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ENDINGS, max_size=5), PLANS, st.integers(0, 2))
def test_every_question_ends_with_its_own_answer_and_none_is_submitted_twice(
    endings: list[Ending], plan: dict[str, list[str]], invisible_looks: int
):
    with (
        tempfile.TemporaryDirectory() as folder,
        BatchServer(endings=endings, invisible_looks=invisible_looks, call_fault=Faults(plan), page=2) as server,
    ):
        assert asyncio.run(answered_by_commands(server, Path(folder))) == ANSWERS
        assert server.doubled == []


@pytest.mark.parametrize(
    "ending",
    [
        Ending(answered=0.5, status="expired", seed=1),
        Ending(failures={n: (500, {"error": {"message": "crashed"}}) for n in range(99)}),  # an error file only
        Ending(seed=3, twice=True, strangers=7),
        Ending(cut=250, seed=4),
        Ending("failed", errors=({"code": "server_error", "message": "x", "line": None},)),
    ],
)
def test_a_run_ends_with_the_dataset_of_an_online_run(tmp_path: Path, calm: dict[str, str], ending: Ending):
    with BatchServer(world.answer, models=("target", "reviser"), endings=[ending], invisible_looks=2) as server:
        by_batch(server, tmp_path / "run")
    assert shards(tmp_path / "run") == calm
    assert server.doubled == []


def test_the_answer_to_the_making_of_a_batch_gets_lost_and_the_batch_is_found(tmp_path: Path, calm: dict[str, str]):
    faults = Faults({"POST /batches after": ["dropped"], "POST /files after": ["dropped"]})
    with BatchServer(
        world.answer, models=("target", "reviser"), call_fault=faults, invisible_looks=3, page=1
    ) as server:
        by_batch(server, tmp_path / "run")
        assert len(server.made) == 3
    assert shards(tmp_path / "run") == calm
    assert set(server.submitted.values()) == {1}


class Trap:
    """Springs at one call: its client hears nothing any more, and `sprung` is set."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.sprung = threading.Event()

    def __call__(self, call: str) -> Fault | None:
        self.left -= 1
        if self.left != 0:
            return None
        self.sprung.set()
        return Fault(stall_s=3600)


def ask(url: str, run: str) -> None:
    """Three questions in two batches, without a pipeline around them."""
    assert asyncio.run(answer_all(url, Path(run), 3, max_requests=2)) == {n: f"QUESTION {n}" for n in range(3)}


def generate_world(url: str, run: str) -> None:
    """A whole run, both models by batch."""
    by_batch(url, Path(run), 6, batch_parts="target,reviser", batch_requests=4)
    assert len(pairs(Path(run))) == 6


LONG = pytest.mark.skipif(ROUNDS == 1, reason="the long form")


@pytest.mark.parametrize("command", [ask, pytest.param(generate_world, marks=LONG)])
def test_kill_minus_nine_at_any_call_submits_no_question_twice(tmp_path: Path, command: Callable[[str, str], None]):
    """Before each call is carried out and after it, in turn."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.engines.batch.test_batch_faults"])
    number, killed = 0, []
    while True:
        number += 1
        trap = Trap(number)
        run = str(tmp_path / str(number) / "run")
        answer, models = (echo, ("m",)) if command is ask else (world.answer, ("target", "reviser"))
        with BatchServer(answer, models=models, call_fault=trap, invisible_looks=2, looks_until_done=1) as server:
            process = processes.Process(target=command, args=(server.base_url, run))
            process.start()
            while process.is_alive() and not trap.sprung.wait(0.05):
                pass
            if not trap.sprung.is_set():
                process.join(20)
                break
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join(20)
            killed.append(server.calls[-1])
            command(server.base_url, run)
        assert server.doubled == []
        assert set(server.submitted.values()) == {1}, killed[-1]
    assert process.exitcode == 0
    assert {"POST /files", "POST /batches", "GET /batches/ID", "GET /files/ID/content"} <= set(killed)
    assert len(killed) >= 20
