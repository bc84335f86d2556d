"""The budget: worst cases reserved, waiting while money is only reserved, refusal when it is really gone."""

from __future__ import annotations

import asyncio

import pytest

from clair.errors import BudgetExhausted
from clair.pipeline.budget import Budget


async def test_without_a_limit_nothing_is_refused_and_unknown_costs_do_no_harm():
    budget = Budget(None)
    async with budget.reserve(None):
        budget.spend(None)
    async with budget.reserve(1e9):
        budget.spend(2.5)
    assert budget.spent_usd == 2.5


async def test_a_request_that_fits_exactly_is_sent():
    budget = Budget(1.0, spent_usd=0.75)
    async with budget.reserve(0.25):
        assert budget.reserved_usd == 0.25
        budget.spend(0.25)
    assert (budget.spent_usd, budget.reserved_usd) == (1.0, 0.0)


async def test_a_request_that_cannot_fit_is_refused_with_the_figures():
    budget = Budget(1.0, spent_usd=0.9)
    with pytest.raises(BudgetExhausted, match=r"0\.9000 of 1\.0000 USD spent.*up to 0\.2000.*--max-cost"):
        async with budget.reserve(0.2):
            pass


async def test_a_request_waits_for_money_that_is_only_reserved():
    budget = Budget(1.0)
    answered = asyncio.Event()
    order = []

    async def first():
        async with budget.reserve(0.8):
            await answered.wait()
            budget.spend(0.1)
            order.append("first settled")

    async def second():
        async with budget.reserve(0.8):
            order.append("second sent")

    tasks = [asyncio.create_task(first()), asyncio.create_task(second())]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == []
    answered.set()
    await asyncio.gather(*tasks)
    assert order == ["first settled", "second sent"]


async def test_a_failed_request_gives_its_reservation_back():
    budget = Budget(1.0)
    with pytest.raises(RuntimeError):
        async with budget.reserve(0.8):
            raise RuntimeError("no answer")
    async with budget.reserve(1.0):
        pass
    assert budget.spent_usd == 0.0


async def test_many_concurrent_requests_never_overspend():
    budget = Budget(1.0)
    refused = 0

    async def request(cost: float):
        nonlocal refused
        try:
            async with budget.reserve(0.3):
                assert budget.spent_usd + budget.reserved_usd <= 1.0
                await asyncio.sleep(0)
                budget.spend(cost)
        except BudgetExhausted:
            refused += 1

    await asyncio.gather(*(request(0.125) for _ in range(20)))
    assert budget.spent_usd == 0.75
    assert refused == 14
