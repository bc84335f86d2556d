"""`--max-cost` over real HTTP: never exceeded by what the server charges, resumable, refused where it cannot be kept.

Real: `clair.generate`, client, HTTP, server, ledger. Doubles: the two models; they charge the most that a request can.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clair.errors import BudgetExhausted, UsageError
from tests.pipeline.conftest import Generate
from tests.pipeline.runs import digests, pairs, reasons
from tests.servers import world
from tests.servers.chat import ChatServer, Fault, Reply

INPUT_USD, OUTPUT_USD = 1.0, 10.0  # per million tokens
PRICES = {"target": (INPUT_USD, OUTPUT_USD), "reviser": (INPUT_USD, OUTPUT_USD)}
LONGEST = 60  # tokens of an answer
ROWS = 60


class Till:
    """The world behind a cash register: counts what the answers cost."""

    def __init__(self) -> None:
        self.charged_usd = 0.0
        self.dearest_usd = 0.0

    def answer(self, body: dict[str, Any]) -> Reply | Fault:
        reply = world.answer(body)
        assert isinstance(reply, Reply)
        # No tokenizer makes more tokens than bytes; with these, a request costs close to the worst case.
        tokens = len(json.dumps(body["messages"], ensure_ascii=False).encode()), LONGEST
        cost_usd = (tokens[0] * INPUT_USD + tokens[1] * OUTPUT_USD) / 1e6
        self.charged_usd += cost_usd
        self.dearest_usd = max(self.dearest_usd, cost_usd)
        return Reply(reply.text, finish_reason=reply.finish_reason, usage=tokens)


OPTIONS: dict[str, Any] = {"prices": PRICES, "max_tokens": LONGEST, "reviser_max_tokens": LONGEST}


@pytest.mark.parametrize("concurrency", [1, 8, None])
def test_the_limit_is_used_but_never_exceeded_and_the_run_goes_on_with_a_higher_one(
    server: ChatServer, generate_world: Generate, tmp_path: Path, concurrency: int | None
):
    till = Till()
    server.answer = till.answer
    options = {**OPTIONS, "concurrency": concurrency}
    for limit_usd in (0.05, 0.1):
        with pytest.raises(BudgetExhausted, match=rf"of {limit_usd:.4f} USD spent.*Raise --max-cost and run the same"):
            generate_world(tmp_path / "run", ROWS, max_cost=limit_usd, **options)
        assert limit_usd - 1.5 * till.dearest_usd < till.charged_usd <= limit_usd
        assert 0 < len(pairs(tmp_path / "run")) < ROWS
    summary = generate_world(tmp_path / "run", ROWS, max_cost=10.0, **options)
    assert len(pairs(tmp_path / "run")) + len(reasons(tmp_path / "run")) == ROWS
    assert summary.cost_usd.value == pytest.approx(till.charged_usd)


def test_a_server_that_does_not_say_what_it_used_is_taken_to_have_used_the_most(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    till = Till()

    def silent(body: dict[str, Any]) -> Reply | Fault:
        reply = till.answer(body)
        return Reply(reply.text, finish_reason=reply.finish_reason, usage=None) if isinstance(reply, Reply) else reply

    server.answer = silent
    with pytest.raises(BudgetExhausted):
        generate_world(tmp_path / "run", ROWS, max_cost=0.05, **OPTIONS)
    assert till.charged_usd <= 0.05
    assert {row["cost_usd"] for row in pairs(tmp_path / "run")} == {None}


def test_a_limit_that_is_used_up_already_buys_nothing_and_keeps_the_dataset(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    generate_world(tmp_path / "run", 10, **OPTIONS)
    bought, before = server.count, digests(tmp_path / "run")
    generate_world(tmp_path / "run", 10, max_cost=1e-9, **OPTIONS)  # nothing is missing, so nothing is asked
    assert server.count == bought
    with pytest.raises(BudgetExhausted):
        generate_world(tmp_path / "run", 10, max_cost=1e-9, samples=2, **OPTIONS)
    assert server.count == bought
    changed = digests(tmp_path / "run")
    assert {name for name in before if before[name] != changed[name]} <= {"README.md", "run.json"}


@pytest.mark.parametrize("missing", [{"prices": {"target": (1.0, 1.0)}}, {"max_tokens": None}])
def test_a_limit_that_cannot_be_kept_is_refused_by_name(
    server: ChatServer, generate_world: Generate, tmp_path: Path, missing: dict[str, Any]
):
    with pytest.raises(UsageError, match=r"--max-cost 1\.0 cannot be kept.*prices"):
        generate_world(tmp_path / "run", 10, **{**OPTIONS, "max_cost": 1.0, **missing})
    assert server.count == 0
