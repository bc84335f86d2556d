"""The library: the same run as the command's, from functions, with and without an event loop.

Real: `clair.generate`, `clair.agenerate`, the builders, client, HTTP, server, files. Doubles: the two models.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import clair
from clair import builders
from clair.dataset.schema import PAIR_COLUMNS, REJECT_COLUMNS
from clair.errors import UsageError
from clair.pipeline.progress import Progress
from tests.pipeline.runs import digests, pairs
from tests.servers import world
from tests.servers.chat import ChatServer

PROMPTS = [f"Tell me about row {number}." for number in range(13)]
ACCEPTED = [number for number in range(13) if world.expected_kind(number) == "pair"]


@pytest.fixture
def models(server: ChatServer) -> dict[str, Any]:
    return {"target": f"target@{server.base_url}", "reviser": f"reviser@{server.base_url}"}


def test_generate_and_agenerate_make_the_same_run(models: dict[str, Any], tmp_path: Path):
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", 13)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = clair.generate(prompts=prompts, out=tmp_path / "a/run", max_change=0.3, **models)

    async def inside_a_loop() -> Any:
        ticks = asyncio.create_task(asyncio.sleep(0))
        summary = await clair.agenerate(prompts=prompts, out=tmp_path / "b/run", max_change=0.3, **models)
        assert ticks.done()
        return summary

    two = asyncio.run(inside_a_loop())
    assert (one.rows, one.pairs, one.rejects) == (two.rows, two.pairs, two.rejects) == (13, 12, one.rejects)
    a, b = digests(tmp_path / "a/run"), digests(tmp_path / "b/run")
    assert {name for name in a if a[name] != b[name]} == {"README.md", "run.json"}  # the command names the folder


async def test_two_runs_may_share_a_loop(models: dict[str, Any], tmp_path: Path):
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", 13)
    runs = (clair.agenerate(prompts=prompts, out=tmp_path / name, **models) for name in ("one", "two"))
    assert [summary.pairs for summary in await asyncio.gather(*runs)] == [12, 12]


async def test_a_canceled_run_goes_on_with_the_same_call(server: ChatServer, models: dict[str, Any], tmp_path: Path):
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", 60)
    server.latency_s = 0.05
    call: dict[str, Any] = {"prompts": prompts, "out": tmp_path / "run", "concurrency": 4, **models}
    task = asyncio.create_task(clair.agenerate(**call))
    while server.count < 30:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await clair.agenerate(**call)).rows == 60
    assert server.count <= 128 + 18  # at most the rows in flight were asked twice


def test_progress_can_be_watched(models: dict[str, Any], tmp_path: Path):
    progress = Progress()
    clair.generate(
        prompts=world.write_prompts(tmp_path / "prompts.jsonl", 13), out=tmp_path / "run", progress=progress, **models
    )
    assert (progress.total, progress.rows, progress.pairs, progress.rejects) == (13, 13, 12, {"truncated": 1})
    assert (progress.rows_in_flight, progress.requests_in_flight, progress.resumed) == (0, 0, 0)
    assert (progress.bought, progress.cost_known, progress.eta_s, progress.done) == (26, False, 0.0, 1.0)


def test_wrong_options_are_named(tmp_path: Path):
    with pytest.raises(UsageError, match="unknown option 'max_chnage'"):
        clair.generate(prompts="p.jsonl", target="m@http://h/v1", reviser="r@http://h/v1", max_chnage=0.2)
    with pytest.raises(UsageError, match=r"--max-change 2: Input should be less than or equal to 1"):
        clair.generate(prompts="p.jsonl", target="m@http://h/v1", reviser="r@http://h/v1", max_change=2)


def test_the_builder_makes_a_dataset_from_a_list_of_prompts(server: ChatServer, models: dict[str, Any], tmp_path: Path):
    found = builders.clair(PROMPTS, out=tmp_path / "run", **models)
    assert found.column_names == [column.name for column in PAIR_COLUMNS]
    assert found["chosen"] == [[{"role": "assistant", "content": world.revision(n)}] for n in ACCEPTED]
    assert found.to_list() == pairs(tmp_path / "run")
    bought = server.count
    assert builders.clair(PROMPTS, out=tmp_path / "run", **models).num_rows == 12
    assert server.count == bought
    refused = builders.load(tmp_path / "run", "rejects")
    assert refused.column_names == [column.name for column in REJECT_COLUMNS]
    assert refused["reason"] == ["truncated"]


async def test_the_builder_inside_a_loop_takes_records_of_any_iterable(models: dict[str, Any], tmp_path: Path):
    records = ({"messages": [{"role": "user", "content": text}], "tag": "a"} for text in PROMPTS[:3])
    found = await builders.aclair(records, out=tmp_path / "run", **models)
    assert found["metadata"] == ['{"tag":"a"}'] * 3


def test_the_builder_without_a_single_pair_gives_an_empty_dataset(models: dict[str, Any], tmp_path: Path):
    found = builders.clair([PROMPTS[11]], out=tmp_path / "run", **models)
    assert (found.num_rows, found.column_names) == (0, [column.name for column in PAIR_COLUMNS])


def test_the_builder_without_prompts_says_so(models: dict[str, Any], tmp_path: Path):
    with pytest.raises(UsageError, match="holds no prompts"):
        builders.clair([], out=tmp_path / "run", **models)
