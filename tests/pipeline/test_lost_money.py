"""Money that brings no answer is money: tries that were charged for nothing, and requests in flight at a kill.

Real: the command or `clair.generate`, client, HTTP, server, ledger, SIGKILL. Doubles: the two models, and the till
that charges for every request that reaches the server, at nearly the most that it can cost.
"""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from clair.errors import BudgetExhausted
from clair.ledger import Ledger
from clair.ledger.rows import Spending
from tests.pipeline.conftest import Generate
from tests.pipeline.runs import arguments, clair, pairs, rejects, start, write_jsonl
from tests.pipeline.test_crash import settle, wait_for_requests
from tests.pipeline.test_max_cost import LONGEST, OPTIONS, PRICES, Till
from tests.servers import world
from tests.servers.chat import Body, ChatServer, Fault, Reply, error

NO_ANSWER = b"<html>\xff</html>"


class CheatingTill(Till):
    """Charges for every request, and answers every `each`-th one with `fault`."""

    def __init__(self, fault: Fault | Reply, *, each: int = 2) -> None:
        super().__init__()
        self.fault, self.each, self.asked = fault, each, 0

    def answer(self, body: Body) -> Reply | Fault:
        reply = super().answer(body)
        self.asked += 1
        return reply if self.asked % self.each else self.fault


CHARGED = {
    "no JSON": Fault(body=NO_ANSWER),
    "no choice": Fault(body={"choices": [], "usage": {"prompt_tokens": -1, "completion_tokens": 5}}),
    "compressed": Fault(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"}),
    "half a body": Fault(body={"choices": []}, cut_after=3),
    "reset": Fault(reset=True),
    "too late": Fault(stall_s=60.0),
}
"""Replies after which nobody knows what was charged."""


@pytest.mark.parametrize("name", CHARGED)
def test_tries_without_an_answer_count_at_the_most_that_they_can_cost(
    server: ChatServer, generate_world: Generate, tmp_path: Path, name: str
):
    till = CheatingTill(CHARGED[name])
    server.answer = till.answer
    options = {**OPTIONS, "concurrency": 4, "timeout_s": 0.5 if name == "too late" else 60.0}
    for limit_usd in (0.01, 0.02):
        with pytest.raises(BudgetExhausted):
            generate_world(tmp_path / "run", 60, max_cost=limit_usd, **options)
        assert limit_usd - 2 * till.dearest_usd < till.charged_usd <= limit_usd
    with Ledger.open(tmp_path / "run", create=False) as ledger:
        totals = ledger.totals()
    assert totals.by_stage["unanswered"].replies == till.asked // 2
    assert till.charged_usd <= totals.cost_usd <= 0.02
    figures = json.loads((tmp_path / "run" / "run.json").read_text())
    assert figures["stages"]["unanswered"]["requests"] == till.asked // 2


def test_a_useless_reply_that_states_its_usage_counts_as_stated(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    usage = {"prompt_tokens": 1000, "completion_tokens": 0}
    till = CheatingTill(Fault(body={"choices": [], "usage": usage}))
    server.answer = till.answer
    generate_world(tmp_path / "run", 4, max_cost=1.0, **OPTIONS)
    with Ledger.open(tmp_path / "run", create=False) as ledger:
        unanswered = ledger.totals().by_stage["unanswered"]
    assert unanswered == Spending(till.asked // 2, 0, 0, pytest.approx(till.asked // 2 * 0.001), 0)


@pytest.mark.parametrize(
    "fault", [error(429, headers={"Retry-After": "0"}), error(500), Fault(body={"error": {"code": 502}})]
)
def test_a_refusal_costs_nothing_and_leaves_nothing_set_aside(
    server: ChatServer, generate_world: Generate, tmp_path: Path, fault: Fault
):
    server.answer = CheatingTill(fault, each=3).answer
    generate_world(tmp_path / "run", 6, max_cost=1.0, max_retries=20, concurrency=4, **OPTIONS)
    with Ledger.open(tmp_path / "run", create=False) as ledger:
        assert set(ledger.totals().by_stage) == {"sample", "revise"}


def test_without_a_limit_they_are_counted_too(server: ChatServer, generate_world: Generate, tmp_path: Path):
    till = CheatingTill(Fault(body=NO_ANSWER))
    server.answer = till.answer
    generate_world(tmp_path / "run", 4)
    with Ledger.open(tmp_path / "run", create=False) as ledger:
        assert ledger.totals().by_stage["unanswered"] == Spending(till.asked // 2, unknown_cost=till.asked // 2)


def test_answers_of_unstated_usage_count_after_a_resume_as_before(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    till = Till()

    def silent(body: dict[str, Any]) -> Reply | Fault:
        reply = till.answer(body)
        return Reply(reply.text, finish_reason=reply.finish_reason, usage=None) if isinstance(reply, Reply) else reply

    server.answer = silent
    for limit_usd in (0.01, 0.02, 0.03):
        with pytest.raises(BudgetExhausted):
            generate_world(tmp_path / "run", 60, max_cost=limit_usd, **OPTIONS)
        assert limit_usd - 2 * till.dearest_usd < till.charged_usd <= limit_usd
    assert {row["cost_usd"] for row in pairs(tmp_path / "run")} == {None}


def test_a_run_that_is_killed_again_and_again_stays_within_its_limit(tmp_path: Path):
    """What was on the wire at a kill was charged, is bought again, and both count."""
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", 100)
    config = tmp_path / "config.yaml"
    prices = {name: list(price) for name, price in PRICES.items()}
    write_jsonl(config, [{"prices": prices, "max_tokens": LONGEST, "reviser_max_tokens": LONGEST}])  # JSON is YAML
    till, chance = Till(), random.Random(3)
    run = tmp_path / "run"
    with ChatServer(till.answer, models=("target", "reviser"), latency_s=0.05) as server:
        limited = ["--config", str(config), "--concurrency", "8"]
        command = arguments(prompts, run, server.base_url, *limited, "--max-cost", "0.2")
        for _ in range(3):
            process = start(*command)
            wait_for_requests(server, process, server.count + chance.randrange(5, 25))
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=10)
            settle(server)
        stopped = clair(*command)
        assert stopped.returncode == 1
        assert "the budget is used up" in stopped.stderr
        assert 0 < till.charged_usd <= 0.2
        with Ledger.open(run, create=False) as ledger:
            totals = ledger.totals()
        assert till.charged_usd <= totals.cost_usd <= 0.2
        assert totals.by_stage["unanswered"].replies <= 3 * 2 * 8  # two models
        done = clair(*arguments(prompts, run, server.base_url, *limited, "--max-cost", "10"))
        assert done.returncode == 0
    assert len(pairs(run)) + len(rejects(run)) == 100
