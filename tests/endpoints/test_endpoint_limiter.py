"""Permits under real asyncio. The controllers are real; there is no server, the tests end the requests."""

from __future__ import annotations

import asyncio
import time

import pytest

from clair.endpoints.controller import Controller
from clair.endpoints.limiter import Limiter


def limiter(*limits: int, rpm: float | None = None, tpm: float | None = None) -> Limiter:
    controllers = [Controller(start=limit, maximum=limit) for limit in limits]
    return Limiter(controllers, rpm=rpm, tpm=tpm, clock=time.monotonic)


async def test_the_limit_holds_and_waiters_come_first_in_first_out() -> None:
    permits, order = limiter(2), []

    async def ask(number: int) -> None:
        permit = await permits.acquire()
        order.append(number)
        assert permits.in_flight <= 2
        await asyncio.sleep(0)
        permits.release(permit, "ok")

    await asyncio.gather(*[ask(number) for number in range(50)])
    assert order == list(range(50))
    assert permits.in_flight == 0


@pytest.mark.parametrize("limit", [1, 2, 3, 8])
async def test_a_fixed_limit_is_used_up(limit: int) -> None:
    permits = limiter(limit)
    for _ in range(limit):
        await asyncio.wait_for(permits.acquire(), timeout=10)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(permits.acquire(), timeout=0.05)


async def test_replicas_get_equal_shares() -> None:
    permits = limiter(10, 10, 10)
    taken = [await permits.acquire() for _ in range(9)]
    assert sorted(permit.replica for permit in taken) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    permits.release(taken[1], "ok")
    assert (await permits.acquire()).replica == taken[1].replica


async def test_a_failing_replica_is_left_alone() -> None:
    """A dead replica has the fewest requests outstanding; without the pause it would get them all."""
    permits = limiter(4, 4)
    for _ in range(6):
        permit = await permits.acquire()
        permits.release(permit, "failed" if permit.replica == 0 else "ok")
    assert [(await permits.acquire()).replica for _ in range(4)] == [1, 1, 1, 1]


async def test_waiting_for_a_pause_ends_by_itself() -> None:
    permits = limiter(1)
    for _ in range(3):
        permits.release(await permits.acquire(), "failed")
    before = time.monotonic()
    await asyncio.wait_for(permits.acquire(), timeout=10)
    assert time.monotonic() - before >= 0.45


async def test_a_canceled_waiter_takes_no_permit() -> None:
    permits = limiter(1)
    held = await permits.acquire()
    waiting = [asyncio.create_task(permits.acquire()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    permits.release(held, "ok")
    assert (await waiting[1]).replica == 0
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]


async def test_a_permit_granted_to_a_waiter_that_is_canceled_goes_to_the_next() -> None:
    permits = limiter(1)
    held = await permits.acquire()
    waiting = [asyncio.create_task(permits.acquire()) for _ in range(2)]
    await asyncio.sleep(0)
    permits.release(held, "ok")  # grants the first waiter, which has not run yet
    waiting[0].cancel()
    await asyncio.wait_for(waiting[1], timeout=10)
    assert permits.in_flight == 1


async def test_requests_per_minute_are_spread() -> None:
    permits = limiter(100, rpm=600)  # ten a second
    before = time.monotonic()
    for _ in range(14):
        permits.release(await permits.acquire(), "ok")
    assert time.monotonic() - before >= 0.38


async def test_tokens_per_minute_are_corrected_by_what_was_used() -> None:
    permits = limiter(100, tpm=6000)  # a hundred a second
    permits.release(await permits.acquire(10_000), "ok", used_tokens=100)
    before = time.monotonic()
    await asyncio.wait_for(permits.acquire(20), timeout=10)
    assert time.monotonic() - before >= 0.18
