"""Limits that all workers share, on simulated time: requests and tokens per minute, first come, first served."""

from __future__ import annotations

import asyncio

import pytest

from clair.engines.ray.leave import Gate, tokens_of
from clair.engines.ray.messages import Used
from clair.pipeline.answers import Stopping
from tests.endpoints.virtual import run_virtually


def passed_at(gate_of: dict[str, float | None], requests: int, tokens: float = 0.0) -> list[float]:
    """When each of so many requests, all waiting from the start, is let through."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        gate = Gate(**gate_of, clock=loop.time)

        async def one() -> float:
            await gate.passage(tokens)
            return loop.time()

        return list(await asyncio.gather(*(one() for _ in range(requests))))

    return run_virtually(main())


def test_without_limits_nothing_waits():
    assert passed_at({"rpm": None, "tpm": None}, 1000, tokens=1e9) == [0.0] * 1000


def test_requests_pass_evenly_and_in_their_order():
    times = passed_at({"rpm": 60, "tpm": None}, 61)
    assert times == sorted(times)
    assert times == pytest.approx(list(range(61)), abs=0.01)


def test_tokens_pass_at_their_rate_whatever_their_size():
    times = passed_at({"rpm": None, "tpm": 6000}, 4, tokens=1000)
    assert times == pytest.approx([0, 10, 20, 30], abs=0.01)


def test_an_estimate_that_was_too_high_is_given_back():
    async def main() -> float:
        loop = asyncio.get_running_loop()
        gate = Gate(rpm=None, tpm=6000, clock=loop.time)
        await gate.passage(1000)
        gate.settle(Used("target", estimated=1000, tokens=400))
        await gate.passage(1000)
        return loop.time()

    assert run_virtually(main()) == pytest.approx(4.0, abs=0.01)


def test_who_waits_at_a_gate_that_closes_is_turned_away():
    async def main() -> tuple[list[type], float]:
        loop = asyncio.get_running_loop()
        gate = Gate(rpm=1, tpm=None, clock=loop.time)
        waiting = [asyncio.create_task(gate.passage(0.0)) for _ in range(3)]
        await asyncio.sleep(5.0)
        assert gate.waiting == 2
        gate.close()
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        with pytest.raises(Stopping):
            await gate.passage(0.0)
        return [type(end) for end in ends], loop.time()

    assert run_virtually(main()) == ([type(None), Stopping, Stopping], pytest.approx(5.0))


def test_a_request_is_estimated_at_its_size_and_its_longest_answer():
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 100}]}
    size = len('{"model":"m","messages":[{"role":"user","content":""}]}') + 100
    assert tokens_of(body) == size / 4 + 500
    assert tokens_of({**body, "max_tokens": 7}) == (size + len(',"max_tokens":7')) / 4 + 7
