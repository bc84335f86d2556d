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
from collections.abc import Callable, Iterable
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
BREAKS = ["", "broken", "dropped", "half", "refused"]
PLANS = st.fixed_dictionaries(
    {},
    optional={
        **{f"{call}{when}": st.lists(st.sampled_from(BREAKS), max_size=2) for call in CALLS for when in ("", " after")},
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


@settings(max_examples=8 * ROUNDS, deadline=None, suppress_health_check=list(HealthCheck))
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


@pytest.mark.parametrize("kind", ["refused", "broken", "dropped", "half"])
def test_whatever_the_making_of_a_batch_is_answered_with_the_list_is_looked_at_before_another(
    tmp_path: Path, kind: str
):
    """A 429, too: a gateway that tried twice may pass on what the second try was told."""
    with BatchServer(call_fault=Faults({"POST /batches after": [kind]}), invisible_looks=3) as server:
        assert asyncio.run(answer_all(server.base_url, tmp_path, QUESTIONS, max_requests=4)) == ANSWERS
        assert set(server.submitted.values()) == {1}


def test_a_server_that_asks_to_come_back_in_an_hour_is_not_thought_to_have_done_nothing(tmp_path: Path):
    later = error(429, "slow down", headers={"Retry-After": "3600"})
    faults = iter([later])
    with BatchServer(call_fault=lambda call: next(faults, None) if call == "POST /batches after" else None) as server:
        with pytest.raises(EndpointUnusable, match="The server asks to wait 3600 s"):
            asyncio.run(answer_all(server.base_url, tmp_path, QUESTIONS, max_requests=4))
        assert asyncio.run(answer_all(server.base_url, tmp_path, QUESTIONS, max_requests=4)) == ANSWERS
        assert set(server.submitted.values()) == {1}


def test_a_server_that_forgets_metadata_is_asked_for_the_batch_of_the_file(tmp_path: Path):
    def fault(call: str) -> Fault | None:
        if call != "POST /batches after":
            return None
        for batch in server.made.values():
            batch.metadata.clear()
        return KINDS["dropped"] if len(server.made) == 1 else None

    with BatchServer(call_fault=fault) as server:
        assert asyncio.run(answer_all(server.base_url, tmp_path, QUESTIONS, max_requests=4)) == ANSWERS
        assert set(server.submitted.values()) == {1}


def test_an_input_file_that_is_gone_when_its_batch_is_to_be_made_is_sent_again(tmp_path: Path):
    with BatchServer(call_fault=Faults({"POST /batches": ["broken"] * 4})) as server:
        with pytest.raises(EndpointUnusable, match=r"no batch can be made.*oops"):
            asyncio.run(answer_all(server.base_url, tmp_path, QUESTIONS, max_requests=4))
        server.files.clear()
        with pytest.raises(EndpointUnusable, match=r"no batch can be made.*No such File"):
            asyncio.run(answer_all(server.base_url, tmp_path, QUESTIONS, max_requests=4))
        assert asyncio.run(answer_all(server.base_url, tmp_path, QUESTIONS, max_requests=4)) == ANSWERS
        assert set(server.submitted.values()) == {1}


def test_an_output_file_that_somebody_deleted_ends_one_command_and_not_all(tmp_path: Path):
    deleted: list[str] = []

    def fault(call: str) -> Fault | None:
        if call == "GET /files/ID/content" and not deleted:
            deleted.extend(file_id for file_id in server.files if "-out-" in file_id)
            for file_id in deleted:
                del server.files[file_id]
        return None

    with BatchServer(call_fault=fault) as server:
        with pytest.raises(RunStopped, match=r"has no file file-out-\d+ any more, with answers of batch.*0 of 4 are"):
            asyncio.run(answer_all(server.base_url, tmp_path, 4, max_requests=4))
        assert len(asyncio.run(answer_all(server.base_url, tmp_path, 4, max_requests=4))) == 4
        assert len(server.made) == 2


def test_a_file_that_comes_later_than_its_batchs_end_is_waited_for(tmp_path: Path):
    early: list[str] = []

    def fault(call: str) -> Fault | None:
        done = [batch for batch in server.made.values() if batch.ended]
        if call != "GET /batches/ID after" or not done or early:
            return None
        early.append(done[0].id)
        return Fault(body={**server._batch(done[0]), "output_file_id": None})

    with BatchServer(call_fault=fault) as server:
        assert asyncio.run(answer_all(server.base_url, tmp_path, QUESTIONS, max_requests=99)) == ANSWERS
        assert set(server.submitted.values()) == {1}


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_batch_that_the_server_does_not_know_is_looked_for_in_two_commands_before_it_is_given_up(
    tmp_path: Path, comes_back: bool
):
    """Also by commands that only look in: a key of another project would otherwise buy everything again."""
    with BatchServer(world.answer, models=("target", "reviser")) as server:
        by_batch(server, tmp_path / "run", 3, detach=True)
        server.made["batch_0001"].unseen = 10**6
        with pytest.raises(RunStopped, match=r"batch_0001 with 3 requests is not known to the server. If the API key"):
            by_batch(server, tmp_path / "run", 3, detach=True)
        assert len(server.made) == 1
        server.made["batch_0001"].unseen = 0 if comes_back else 10**6
        by_batch(server, tmp_path / "run", 3)
        assert len(pairs(tmp_path / "run")) == 3
        assert set(server.submitted.values()) == ({1} if comes_back else {2})


def test_a_batch_that_is_only_listed_is_read_all_the_same(tmp_path: Path):
    def fault(call: str) -> Fault | None:
        if call != "GET /batches/ID":
            return None
        for batch in server.made.values():
            server._advance(batch)
        return error(404)

    with BatchServer(call_fault=fault) as server:
        assert asyncio.run(answer_all(server.base_url, tmp_path, QUESTIONS, max_requests=99)) == ANSWERS
        assert set(server.submitted.values()) == {1}


def test_the_same_question_twice_at_once_is_in_one_file_once(tmp_path: Path):
    """Where the file before is being sent meanwhile: the server refuses a file with a custom_id twice."""
    with BatchServer() as server:
        found = asyncio.run(answer_all(server.base_url, tmp_path, QUESTIONS, max_requests=4, times=3))
        assert found == ANSWERS
        assert {batch.ending.status for batch in server.made.values()} == {"completed"}
        assert set(server.submitted.values()) == {1}


class Trap:
    """Springs at the call of this number: its client hears nothing any more, and `sprung` is set. It notes all calls,
    before they are carried out and after."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls: list[str] = []
        self.sprung = threading.Event()

    def __call__(self, call: str) -> Fault | None:
        self.calls.append(call)
        if len(self.calls) != self.number:
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


def trapped(command: Callable[[str, str], None], trap: Trap) -> BatchServer:
    answer, models = (echo, ("m",)) if command is ask else (world.answer, ("target", "reviser"))
    return BatchServer(answer, models=models, call_fault=trap, invisible_looks=2, looks_until_done=1)


LONG = pytest.mark.skipif(ROUNDS == 1, reason="the long form")


@pytest.mark.parametrize("command", [ask, pytest.param(generate_world, marks=LONG)])
def test_kill_minus_nine_at_any_call_submits_no_question_twice(tmp_path: Path, command: Callable[[str, str], None]):
    """Before each call is carried out and after it, in turn. In the short form at the first call of each kind, and
    before it only if it changes something at the server."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.engines.batch.test_batch_faults"])
    with trapped(command, calm := Trap(0)) as server:
        command(server.base_url, str(tmp_path / "calm" / "run"))
    points: Iterable[int] = range(1, len(calm.calls) + 1)
    if ROUNDS == 1:
        kinds = {call for call in calm.calls if call.startswith("POST") or call.endswith(" after")}
        points = sorted(calm.calls.index(call) + 1 for call in kinds)
    killed = []
    for number in points:
        run = str(tmp_path / str(number) / "run")
        with trapped(command, trap := Trap(number)) as server:
            process = processes.Process(target=command, args=(server.base_url, run))
            process.start()
            while process.is_alive() and not trap.sprung.wait(0.05):
                pass
            assert process.pid is not None
            if trap.sprung.is_set():
                os.kill(process.pid, signal.SIGKILL)
                killed.append(trap.calls[-1])
            process.join(20)
            command(server.base_url, run)
        assert server.doubled == []
        assert set(server.submitted.values()) == {1}, trap.calls[number - 1]
    assert {f"POST /{it}{when}" for it in ("files", "batches") for when in ("", " after")} <= set(killed)
    assert {f"GET /{it} after" for it in ("batches/ID", "files/ID/content")} <= set(killed)
