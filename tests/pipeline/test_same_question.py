"""Rows that ask the same: one answer is bought, kept, counted and used by all of them.

Real: `clair.generate`, workers and driver with their messages, client, HTTP, server, ledger, files. Doubles: the
models, which never say the same twice, and Ray (`near.NearCluster`: workers in this process).
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clair.api import generate
from clair.dataset.summary import RunSummary
from tests.engines.ray.near import NearCluster, run_near
from tests.pipeline.runs import pairs, reasons, write_jsonl
from tests.servers.chat import Body, ChatServer, Fault, Reply, error

PROMPTS, ANSWERS = 5, 4


class Fickle:
    """Answers each request otherwise; the first `refused` of each question are refused for their content."""

    def __init__(self, refused: int = 0) -> None:
        self.refused = refused
        self.asked: Counter[str] = Counter()

    def __call__(self, body: Body) -> Reply | Fault:
        question = json.dumps(body["messages"])
        self.asked[question] += 1
        if self.asked[question] <= self.refused:
            return error(400, "blocked", code="content_filter")
        return Reply(f"The answer that was given as number {self.asked.total()} of all.", latency_s=0.05)


def options(folder: Path, server: ChatServer, **more: Any) -> dict[str, Any]:
    """Each prompt with several answers of other models, as datasets of ranked answers have them."""
    numbers = [(i, j) for i in range(PROMPTS) for j in range(ANSWERS)]
    rows = [{"prompt": f"Question {i}?", "given": f"Answer {j} to {i}."} for i, j in numbers]
    given = {"prompts": str(write_jsonl(folder / "prompts.jsonl", rows)), "reviser": f"m@{server.base_url}"}
    recipe = {"recipe": "stronger_preferred", "response_column": "given", "prices": {"m": (1000.0, 1000.0)}}
    return {**given, **recipe, **more}


def make(folder: Path, server: ChatServer, *, by_workers: bool = False, **more: Any) -> RunSummary:
    if by_workers:
        summary, _ = run_near(NearCluster(), folder / "run", **options(folder, server, **more))
        assert isinstance(summary, RunSummary)
        return summary
    return generate(**options(folder, server, **more), out=str(folder / "run"))


def chosen(run: Path) -> list[str]:
    return [pair["chosen"][0]["content"] for pair in pairs(run)]


@pytest.mark.parametrize("by_workers", [False, True], ids=["here", "workers"])
def test_one_answer_is_bought_and_used_by_all(tmp_path: Path, by_workers: bool):
    with ChatServer(Fickle()) as server:
        summary = make(tmp_path, server, by_workers=by_workers)
        assert server.count == PROMPTS
        spent = summary.stages["revise"]
        assert (spent.requests, spent.cost_usd) == (PROMPTS, pytest.approx(PROMPTS * 15 * 1000 / 1e6))
        found = chosen(tmp_path / "run")
        assert len(found) == PROMPTS * ANSWERS
        assert len(set(found)) == PROMPTS

        make(tmp_path, server, by_workers=by_workers, max_length_ratio=50.0)
        assert (server.count, chosen(tmp_path / "run")) == (PROMPTS, found)


def test_where_the_first_gets_no_answer_the_others_ask_for_themselves(tmp_path: Path):
    with ChatServer(Fickle(refused=2)) as server:
        make(tmp_path, server)
        assert server.count == 3 * PROMPTS
    assert len(pairs(tmp_path / "run")) == 2 * PROMPTS
    assert Counter(reasons(tmp_path / "run").values()) == {("revise", "content_filter"): 2 * PROMPTS}
