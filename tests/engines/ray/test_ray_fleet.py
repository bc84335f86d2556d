"""Many workers make what one process makes: the same files, within the same limits, whatever becomes of a worker.

Real: the pipeline, driver and workers with their messages, client, HTTP, server, ledger, files. Doubles: Ray
(`near.NearCluster`: workers in this process), what the two models say (`tests.servers.world`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clair.api import generate
from clair.engines.ray import fleet
from clair.engines.ray.mail import Mail
from clair.engines.ray.messages import Keys
from clair.engines.ray.worker import RemoteLedger
from clair.errors import BudgetExhausted, RunStopped, UsageError
from clair.ledger.store import StoredReply
from tests.engines.ray.near import NearCluster, run_near
from tests.engines.ray.nodes import Counting
from tests.pipeline.runs import digests, reasons
from tests.servers import world

ROWS = 60
PRICES = {"target": (1.0, 2.0), "reviser": (10.0, 20.0)}


class Alone(NamedTuple):
    """What one process makes of the rows: files, requests, and how many of these look like another."""

    data: dict[str, str]
    asked: int
    again: int


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    folder, counting = tmp_path_factory.mktemp("alone"), Counting()
    with counting.server(0.0) as server:
        generate(**options(folder, server.base_url), out=folder / "run")
    return Alone(data(folder / "run"), counting.asked.total(), counting.asked_again)


@pytest.fixture
def counting() -> Counting:
    return Counting()


def options(tmp_path: Path, url: str, rows: int = ROWS) -> dict[str, Any]:
    prompts = tmp_path / "prompts.jsonl"
    if not prompts.exists():
        world.write_prompts(prompts, rows)
    return {"prompts": str(prompts), "target": f"target@{url}", "reviser": f"reviser@{url}"}


def data(run: Path) -> dict[str, str]:
    """The dataset's files: without what tells when the run was and what it is called."""
    return {name: digest for name, digest in digests(run).items() if name.endswith(".parquet")}


def test_the_dataset_is_that_of_one_process_byte_for_byte(tmp_path: Path, counting: Counting):
    prompts = tmp_path / "prompts.jsonl"
    lines = world.write_prompts(prompts, ROWS).read_text().splitlines()
    prompts.write_text("\n".join([*lines[:50], lines[7], lines[20], *lines[50:]]) + "\n")
    with counting.server(0.0) as server:
        given = options(tmp_path, server.base_url)
        here = generate(**given, out=tmp_path / "here")
        asked = server.count
        there, progress = run_near(NearCluster(), tmp_path / "there", **given)
    assert data(tmp_path / "there") == data(tmp_path / "here")
    assert (there.rows, there.pairs, there.rejects) == (here.rows, here.pairs, here.rejects)
    assert {reasons(tmp_path / "there")[n][1] for n in (50, 51)} == {"duplicate_prompt"}
    assert server.count == 2 * asked
    assert progress.bought == asked
    assert there.stages == here.stages


@pytest.mark.parametrize("wanted", [41])
def test_target_pairs_ends_at_the_same_row_as_one_process(tmp_path: Path, counting: Counting, wanted: int):
    with counting.server(0.001) as server:
        given = {**options(tmp_path, server.base_url), "target_pairs": wanted}
        generate(**given, out=tmp_path / "here")
        run_near(NearCluster(), tmp_path / "there", seats=3, **given)
    assert data(tmp_path / "there") == data(tmp_path / "here")


def test_the_rows_of_a_lost_worker_end_elsewhere_and_only_what_was_in_its_hands_is_bought_again(
    tmp_path: Path, counting: Counting, alone: Alone, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fleet, "PAUSE_S", 0.01)
    cluster = NearCluster()

    async def kill_twice(_: Any) -> None:
        """One of the first two with a third of the questions asked, then the one that replaced it."""
        for hired in (2, 3):
            while counting.asked.total() < alone.asked // 3 or len(cluster.workers) < hired:
                await asyncio.sleep(0.005)
            cluster.workers[-1].kill()

    with counting.server(0.1) as server:
        given = {**options(tmp_path, server.base_url), "concurrency": 8}
        _, progress = run_near(cluster, tmp_path / "run", meanwhile=kill_twice, **given)
    assert data(tmp_path / "run") == alone.data
    lost = [int(note.split("its ")[1].split()[0]) for note in progress.notes if "was lost" in note]
    assert len(lost) == 2
    assert len(cluster.workers) == 4
    assert counting.asked_again - alone.again <= sum(lost)


def test_workers_that_are_lost_again_and_again_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fleet, "PAUSE_S", 0.001)
    cluster = NearCluster(doomed=True)
    with Counting().server(0.0) as server, pytest.raises(RunStopped, match=r"5 workers were lost.*killed by the test"):
        run_near(cluster, tmp_path / "run", **options(tmp_path, server.base_url))
    assert cluster.closed


def test_a_run_goes_on_here_and_there_and_buys_nothing_twice(tmp_path: Path, counting: Counting, alone: Alone):
    with counting.server(0.0) as server:
        given = options(tmp_path, server.base_url)
        generate(**given, limit=20, out=tmp_path / "run")
        run_near(NearCluster(), tmp_path / "run", limit=40, **given)
        generate(**given, out=tmp_path / "run")
    assert data(tmp_path / "run") == alone.data
    assert (counting.asked.total(), counting.asked_again) == (alone.asked, alone.again)


def test_what_workers_buy_on_other_servers_is_found_again(tmp_path: Path, counting: Counting):
    """Ten rows on one server, the others by workers on another one; then all of them under another gate."""
    with counting.server(0.0) as a, Counting().server(0.0) as b:
        generate(**options(tmp_path, a.base_url, 30), limit=10, out=tmp_path / "run")
        run_near(NearCluster(), tmp_path / "run", **options(tmp_path, b.base_url))
        asked = a.count, b.count
        summary = generate(**options(tmp_path, b.base_url), max_change=0.6, out=tmp_path / "run")
        assert (summary.rows, a.count, b.count) == (30, *asked)


def test_a_gate_that_changes_is_applied_without_a_question(tmp_path: Path, counting: Counting):
    with counting.server(0.0) as server:
        given = options(tmp_path, server.base_url, 40)
        run_near(NearCluster(), tmp_path / "run", **given)
        asked = server.count
        summary, _ = run_near(NearCluster(), tmp_path / "run", max_change=0.001, **given)
    assert server.count == asked
    assert summary.pairs == 0


def test_a_stopped_run_keeps_what_was_in_flight_and_goes_on(tmp_path: Path, counting: Counting, alone: Alone):
    async def stop_early(stops: list[Any]) -> None:
        while counting.asked.total() < 60:
            await asyncio.sleep(0.005)
        stops[0]()

    with counting.server(0.02) as server:
        given = options(tmp_path, server.base_url)
        summary, _ = run_near(NearCluster(), tmp_path / "run", meanwhile=stop_early, **given)
        assert summary.rows < ROWS
        run_near(NearCluster(), tmp_path / "run", **given)
    assert data(tmp_path / "run") == alone.data
    assert (counting.asked.total(), counting.asked_again) == (alone.asked, alone.again)


def test_the_budget_is_one_for_all_workers(tmp_path: Path, counting: Counting):
    with counting.server(0.0) as server:
        given = {**options(tmp_path, server.base_url), "prices": PRICES, "max_tokens": 50, "reviser_max_tokens": 50}
        whole = generate(**given, out=tmp_path / "whole")
        half = whole.cost_usd.value / 2
        counting.asked.clear()
        with pytest.raises(BudgetExhausted, match="the budget is used up"):
            run_near(NearCluster(), tmp_path / "run", seats=3, max_cost=half, **given)
        spent = sum(_price(question) * count for question, count in counting.asked.items())
        assert 0 < spent <= half
        run_near(NearCluster(), tmp_path / "run", max_cost=20 * half, **given)
    assert data(tmp_path / "run") == data(tmp_path / "whole")


def _price(question: str) -> float:
    prompt, completion = PRICES[question.split()[1]]
    return (world.USAGE[0] * prompt + world.USAGE[1] * completion) / 1e6


def test_money_in_the_hands_of_a_lost_worker_counts_as_spent(
    tmp_path: Path, counting: Counting, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fleet, "PAUSE_S", 0.01)
    cluster = NearCluster()

    async def kill(_: Any) -> None:
        while counting.asked.total() < 40:
            await asyncio.sleep(0.005)
        cluster.workers[0].kill()

    with counting.server(0.1) as server:
        given = {**options(tmp_path, server.base_url, 40), "prices": PRICES, "max_tokens": 50, "concurrency": 8}
        summary, _ = run_near(cluster, tmp_path / "run", meanwhile=kill, max_cost=10.0, **given)
    assert summary.rows == 40
    assert 1 <= summary.stages["unanswered"].requests <= 16
    assert summary.stages["unanswered"].cost_usd > 0


def test_what_a_worker_cannot_open_is_said_and_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ours = fleet.shares
    monkeypatch.setattr(fleet, "shares", lambda opened, seats: [it._replace(version="0") for it in ours(opened, seats)])
    with Counting().server(0.0) as server, pytest.raises(UsageError, match="the driver has 0"):
        run_near(NearCluster(), tmp_path / "run", **options(tmp_path, server.base_url))


def test_keys_do_not_show_themselves():
    assert repr(Keys(b"secret", {"OPENAI_API_KEY": "sk-1234567890"})) == "Keys(***)"


def test_requests_per_minute_are_those_of_all_workers_together(tmp_path: Path, counting: Counting):
    """At 600 a minute ten may go at once; the others come at ten a second, whoever sends them."""
    with counting.server(0.0) as server:
        given = options(tmp_path, server.base_url, 15)
        _, progress = run_near(NearCluster(), tmp_path / "run", seats=3, limit=15, rpm=600, **given)
    by_model = Counter(question.split()[1] for question in counting.asked.elements())
    assert progress.elapsed_s >= (max(by_model.values()) - 10) / 10


def test_another_checker_on_a_worker_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tmp_path.joinpath("rate.py").write_text("def rate(messages, answer, metadata): return len(answer)\n")
    monkeypatch.chdir(tmp_path)
    ours = fleet.shares
    monkeypatch.setattr(fleet, "shares", lambda opened, seats: [it._replace(checker="x") for it in ours(opened, seats)])
    with pytest.raises(UsageError, match="the checker rate:rate is not the driver's"):
        run_near(NearCluster(), tmp_path / "run", limit=3, recipe="best_of_n", checker="rate:rate", candidates=2)


def test_an_answer_that_came_to_a_worker_with_two_rows_stays_until_both_are_done():
    worker, reply = RemoteLedger(Mail()), StoredReply(b"raw", 0.5)
    for _ in range(2):
        worker.learn({b"k": reply})
    worker.forget({b"k": reply})
    assert worker.get(b"k") == reply
    worker.forget({b"k": reply})
    assert worker.get(b"k") is None
