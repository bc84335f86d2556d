"""Whole runs by batch: the dataset is that of an online run, each question is submitted once, money and limits hold.

Real: `clair.generate`, the `openai` client, HTTP, ledger, files. Doubles: the two models, and the server of the Batch
API (`tests.servers.batch`).
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clair.engines import agenerate_with
from clair.errors import BudgetExhausted, EndpointUnusable, LedgerError, RunStopped, UsageError
from clair.ledger import Ledger
from clair.pipeline.forecast import forecast
from clair.pipeline.progress import Progress
from clair.settings import resolve
from tests.engines.batch.conftest import by_batch, online, shards
from tests.pipeline.runs import pairs, rejects
from tests.servers import world
from tests.servers.batch import BatchServer, Ending
from tests.servers.chat import Fault, Reply

MODELS = ("target", "reviser")
PRICES = {"target": (1.0, 2.0), "reviser": (10.0, 40.0)}


def test_the_dataset_is_that_of_an_online_run_and_each_question_is_submitted_once(tmp_path: Path, calm: dict[str, str]):
    with BatchServer(world.answer, models=MODELS) as server:
        done = by_batch(server, tmp_path / "run")
    assert shards(tmp_path / "run") == calm
    assert done.summary.rows == 60
    # 58 finished answers of the target, online; the reviser's first questions, 8 re-asks, 2 second ones.
    assert server.count == 60
    assert [len(batch.lines) for batch in server.made.values()] == [58, 8, 2]
    assert set(server.submitted.values()) == {1}
    assert {line["body"]["model"] for batch in server.made.values() for line in batch.lines} == {"reviser"}


def test_both_models_can_go_by_batch_one_model_a_file(tmp_path: Path, calm: dict[str, str]):
    with BatchServer(world.answer, models=MODELS) as server:
        by_batch(server, tmp_path / "run", batch_parts="target,reviser")
    assert shards(tmp_path / "run") == calm
    assert server.count == 0
    assert [len(batch.lines) for batch in server.made.values()] == [60, 58, 8, 2]


def test_a_batch_costs_half_and_what_the_config_says_where_it_says_so(tmp_path: Path):
    with BatchServer(world.answer, models=MODELS) as server:
        half = by_batch(server, tmp_path / "half", 4, prices=PRICES).summary
        told = by_batch(server, tmp_path / "told", 4, prices=PRICES, batch_prices={"reviser": (10.0, 40.0)}).summary
    # A row costs 100 tokens in and 50 out of each model; row 3 asks the reviser twice.
    assert half.cost_usd.value == pytest.approx((4 * (100 + 100) + 5 * (1000 + 2000) / 2) / 1e6)
    assert told.cost_usd.value == pytest.approx((4 * (100 + 100) + 5 * (1000 + 2000)) / 1e6)
    assert shards(tmp_path / "told") == online(tmp_path / "online", 4, prices=PRICES)


def test_the_forecast_uses_the_price_by_batch(tmp_path: Path):
    given = {
        "prompts": str(world.write_prompts(tmp_path / "p.jsonl", 10)),
        "target": "target@http://localhost:1/v1",
        "reviser": "reviser@http://localhost:1/v1",
        "prices": {"target": (0.0, 0.0), "reviser": (10.0, 40.0)},
    }
    here, batch = forecast(resolve(given)), forecast(resolve({**given, "engine": "batch"}))
    assert here.cost_usd
    assert batch.cost_usd == pytest.approx(here.cost_usd / 2)
    assert batch.basis.endswith("reviser by batch: at half the price, or as batch_prices say")


def test_detached_runs_submit_and_return_and_the_same_command_goes_on_until_it_is_done(
    tmp_path: Path, calm: dict[str, str]
):
    waiting = []
    with BatchServer(world.answer, models=MODELS) as server:
        for _ in range(20):
            done = by_batch(server, tmp_path / "run", detach=True)
            waiting.append(done.progress.waiting)
            if done.progress.waiting is None:
                break
            assert shards(tmp_path / "run").keys() <= calm.keys()
    assert waiting[0] == "58 requests are under way in 1 batch (batch_0001)"
    assert [len(batch.lines) for batch in server.made.values()] == [58, 8, 2]
    assert shards(tmp_path / "run") == calm
    assert set(server.submitted.values()) == {1}
    assert server.count == 60


def test_files_keep_to_the_number_of_requests_and_batches_to_the_tokens_enqueued(tmp_path: Path, calm: dict[str, str]):
    with BatchServer(world.answer, models=MODELS) as server:
        by_batch(server, tmp_path / "few", batch_requests=25)
        assert [len(batch.lines) for batch in server.made.values()][:3] == [25, 25, 8]
        assert shards(tmp_path / "few") == calm
    with BatchServer(world.answer, models=MODELS, most_tokens=20_000) as server:
        by_batch(server, tmp_path / "told", batch_tokens=20_000)
        assert all(batch.ending.status == "completed" for batch in server.made.values())
        assert shards(tmp_path / "told") == calm


def test_a_limit_on_enqueued_tokens_that_nobody_told_is_found_and_kept(tmp_path: Path, calm: dict[str, str]):
    with BatchServer(world.answer, models=MODELS, most_tokens=9_000) as server:
        by_batch(server, tmp_path / "run")
    assert shards(tmp_path / "run") == calm
    assert set(server.executed.values()) == {1}
    ends = Counter(batch.ending.status for batch in server.made.values())
    assert ends["failed"] < ends["completed"]


def test_one_request_that_is_too_much_for_the_queue_ends_the_run_with_a_sentence(tmp_path: Path):
    with (
        BatchServer(world.answer, models=MODELS, most_tokens=10) as server,
        pytest.raises(RunStopped, match=r"no room for a single request.*same command"),
    ):
        by_batch(server, tmp_path / "run", 3)


def test_target_pairs_takes_the_same_stretch_of_the_input_as_online(tmp_path: Path):
    with BatchServer(world.answer, models=MODELS) as server:
        by_batch(server, tmp_path / "run", target_pairs=21)
    assert shards(tmp_path / "run") == online(tmp_path / "online", target_pairs=21)
    assert len(pairs(tmp_path / "run")) == 21


def test_a_batch_that_somebody_canceled_keeps_what_it_has_and_is_not_submitted_again_unasked(
    tmp_path: Path, calm: dict[str, str]
):
    with BatchServer(world.answer, models=MODELS, endings=[Ending("cancelled", answered=0.5)]) as server:
        with pytest.raises(RunStopped, match=r"batch_0001 was canceled at the provider; 29 of 58 answers are kept"):
            by_batch(server, tmp_path / "run")
        assert len(server.made) == 1
        by_batch(server, tmp_path / "run")
    assert shards(tmp_path / "run") == calm
    assert set(server.executed.values()) == {1}


def test_a_batch_that_fails_validation_is_made_again_but_not_for_ever(tmp_path: Path, calm: dict[str, str]):
    failed = Ending("failed", errors=({"code": "invalid_json_line", "message": "not JSON", "line": 3},))
    with BatchServer(world.answer, models=MODELS, endings=[failed, failed]) as server:
        by_batch(server, tmp_path / "run")
    assert shards(tmp_path / "run") == calm
    with (
        BatchServer(world.answer, models=MODELS, endings=[failed] * 9) as server,
        pytest.raises(EndpointUnusable, match=r"batch_0003 failed \(invalid_json_line: not JSON"),
    ):
        by_batch(server, tmp_path / "stuck", 3)


def test_max_cost_is_never_exceeded_and_the_run_goes_on_with_a_higher_one(tmp_path: Path):
    options: dict[str, Any] = {
        "prices": {"target": (0.0, 0.0), "reviser": (2.0, 20.0)},
        "max_tokens": 60,
        "reviser_max_tokens": 60,
    }
    charged = []

    def answer(body: dict[str, Any]) -> Reply | Fault:
        reply = world.answer(body)
        assert isinstance(reply, Reply)
        if body["model"] == "reviser":
            tokens = sum(len(message["content"].encode()) for message in body["messages"])
            charged.append((tokens * 1.0 + 60 * 10.0) / 1e6)
            return Reply(reply.text, finish_reason=reply.finish_reason, usage=(tokens, 60))
        return reply

    with BatchServer(answer, models=MODELS) as server:
        for limit_usd in (0.03, 0.06):
            with pytest.raises(BudgetExhausted, match=rf"of {limit_usd:.4f} USD spent"):
                by_batch(server, tmp_path / "run", max_cost=limit_usd, **options)
            assert limit_usd - 1.5 * max(charged) < sum(charged) <= limit_usd
        done = by_batch(server, tmp_path / "run", max_cost=10.0, **options)
    assert done.summary.cost_usd.value == pytest.approx(sum(charged))
    assert set(server.submitted.values()) == {1}


def test_answers_that_cannot_be_used_count_towards_max_cost(tmp_path: Path):
    endless = [Ending(failures={place: (200, {"choices": []}) for place in range(99)})] * 99
    options: dict[str, Any] = {"prices": {"target": (0.0, 0.0), "reviser": (2.0, 20.0)}, "max_tokens": 60}
    with BatchServer(world.answer, models=MODELS, endings=endless) as server, pytest.raises(BudgetExhausted):
        by_batch(server, tmp_path / "run", 12, max_cost=0.02, reviser_max_tokens=60, **options)
    with Ledger.open(tmp_path / "run", create=False) as ledger:
        assert 0.01 < ledger.totals().cost_usd <= 0.02


def test_a_key_that_the_server_repeats_in_a_line_gets_into_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    key = "sk-right-123456"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    said = (400, {"error": {"message": f"{key} may not ask this", "type": "invalid_request_error"}})
    with BatchServer(world.answer, models=MODELS, api_key=key, endings=[Ending(failures={1: said})]) as server:
        by_batch(server, tmp_path / "run", 3)
    assert [row["detail"] for row in rejects(tmp_path / "run")] == ["HTTP 400: *** may not ask this"]
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert [path.name for path in files if key.encode() in path.read_bytes()] == []


def test_what_is_under_way_is_reserved_and_is_not_bought_by_another_engine(tmp_path: Path):
    with BatchServer(world.answer, models=MODELS) as server:
        by_batch(server, tmp_path / "run", detach=True)
        with pytest.raises(UsageError, match=r"58 requests of .* are under way in batches.*--engine batch"):
            by_batch(server, tmp_path / "run", engine="here")
        with pytest.raises(UsageError, match=r"58 requests to reviser@.* are under way.*collect them first"):
            by_batch(server, tmp_path / "run", batch_parts="target")
        by_batch(server, tmp_path / "run")
        by_batch(server, tmp_path / "run", engine="here")
    assert set(server.submitted.values()) == {1}


def given_answers(run: Path) -> dict[str, Any]:
    """Options under which every question of a run goes by batch: its answers are in its input."""
    rows = [json.loads(line) for line in world.write_prompts(run.parent / "asked.jsonl", 6).read_text().splitlines()]
    path = run.parent / "answered.jsonl"
    path.write_text("".join(json.dumps({**row, "answer": "It is so, and so on."}) + "\n" for row in rows))
    return {"prompts": str(path), "response_column": "answer", "target": None}


def test_settings_may_not_change_while_all_that_was_bought_is_under_way(tmp_path: Path):
    options = given_answers(tmp_path / "run")
    with BatchServer(world.answer, models=MODELS) as server:
        by_batch(server, tmp_path / "run", detach=True, **options)
        with pytest.raises(LedgerError, match=r"reviser_temperature: null -> 0\.7\n.*add --fork NEW"):
            by_batch(server, tmp_path / "run", reviser_temperature=0.7, **options)
        assert server.submitted.total() == 6
        assert by_batch(server, tmp_path / "run", **options).summary.rows == 6
        assert set(server.submitted.values()) == {1}


def test_settings_may_change_after_a_batch_that_was_refused_before_it_bought_anything(tmp_path: Path):
    options = given_answers(tmp_path / "run")
    failed = Ending("failed", errors=({"code": "model_not_found", "message": "no such model"},))
    with BatchServer(world.answer, models=MODELS, endings=[failed]) as server:
        with pytest.raises(EndpointUnusable):
            by_batch(server, tmp_path / "run", **options)
        done = by_batch(server, tmp_path / "run", reviser_temperature=0.7, **options)
    assert done.summary.rows == 6


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"target": "sandbox", "reviser": "sandbox"}, "the sandbox has no Batch API"),
        ({"batch_parts": "judge"}, "batch_parts names judge: this run asks reviser, target only"),
        ({"engine": "here", "detach": True}, "detach has no meaning with --engine here"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(tmp_path: Path, options: dict[str, Any], sentence: str):
    with BatchServer(world.answer, models=MODELS) as server, pytest.raises(UsageError, match=sentence):
        by_batch(server, tmp_path / "run", **options)


def test_a_run_that_is_stopped_while_it_waits_leaves_the_batches_alone_and_can_go_on(
    tmp_path: Path, calm: dict[str, str]
):
    class Stopper(Progress):
        """Stops the run, as Ctrl-C does, when it begins to wait."""

        stop: Any = None

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "waiting" and value is not None:
                self.stop()

    async def stopped(run: Path, url: str) -> str | None:
        progress = Stopper()
        given = {"prompts": str(run.parent / "prompts-60.jsonl"), "out": str(run), "engine": "batch"}
        models = {"target": f"target@{url}", "reviser": f"reviser@{url}", "batch_poll_s": 60}
        await agenerate_with(
            resolve({**given, **models}),
            progress=progress,
            on_stop=lambda stop: setattr(progress, "stop", stop),
        )
        return progress.waiting

    world.write_prompts(tmp_path / "prompts-60.jsonl", 60)
    with BatchServer(world.answer, models=MODELS) as server:
        waiting = asyncio.run(stopped(tmp_path / "run", server.base_url))
        assert waiting == "58 requests are under way in 1 batch (batch_0001)"
        assert len(server.made) == 1
        by_batch(server, tmp_path / "run")
    assert shards(tmp_path / "run") == calm
    assert set(server.submitted.values()) == {1}


def test_a_model_at_several_places_cannot_go_by_batch(tmp_path: Path):
    with BatchServer(world.answer, models=MODELS) as server, BatchServer(world.answer, models=MODELS) as other:
        places = f"reviser@{server.base_url},{other.base_url}"
        with pytest.raises(UsageError, match="the reviser is served at 2 places; a batch goes to one"):
            by_batch(server, tmp_path / "run", 3, reviser=places)
