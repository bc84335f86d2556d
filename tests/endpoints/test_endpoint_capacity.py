"""A server that allows so many requests a second, and then another number: how fast the limiter finds it.

Real: limiter and controller, on a real event loop whose clock is simulated (`virtual.py`). Double: the server, a token
bucket that refuses what is too much after 20 ms. Six hundred callers want answers all the time.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable

import pytest

from clair.endpoints.controller import ADAPTIVE_MAXIMUM, ADAPTIVE_START, Controller
from clair.endpoints.limiter import Limiter
from tests.endpoints.virtual import run_virtually

CALLERS = 600
SECONDS = 90
STEPS = {0: 100.0, 30: 20.0, 60: 100.0}
"""From which second on how many requests a second are allowed."""


def capacity(now: float) -> float:
    return STEPS[max(step for step in STEPS if step <= now)]


class RateLimitedServer:
    """A bucket of `burst_s` seconds' worth of requests; answers take `latency_s`, 30 % more or less."""

    def __init__(self, *, latency_s: float, burst_s: float, seed: int) -> None:
        self.answered: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()
        self._latency_s, self._burst_s = latency_s, burst_s
        self._level, self._filled_at = capacity(0.0) * burst_s, 0.0
        self._random = random.Random(seed)

    async def ask(self) -> bool:
        loop = asyncio.get_running_loop()
        if not self._admits(loop.time()):
            await asyncio.sleep(0.02)
            self.refused[int(loop.time())] += 1
            return False
        await asyncio.sleep(self._latency_s * self._random.uniform(0.7, 1.3))
        self.answered[int(loop.time())] += 1
        return True

    def _admits(self, now: float) -> bool:
        rate = capacity(now)
        self._level = min(rate * self._burst_s, self._level + (now - self._filled_at) * rate)
        self._filled_at = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True

    def goodput(self, seconds: Iterable[int]) -> float:
        """Answers as a share of what was allowed in these seconds."""
        seconds = list(seconds)
        return sum(self.answered[second] for second in seconds) / sum(map(capacity, seconds))

    @property
    def refused_share(self) -> float:
        refused = self.refused.total()
        return refused / (refused + self.answered.total())


async def press(server: RateLimitedServer) -> None:
    """Keep asking, as many at once as the limiter allows, with the waits of the retry layer after a refusal."""
    loop, waits = asyncio.get_running_loop(), random.Random(0)
    limiter = Limiter([Controller(start=ADAPTIVE_START, maximum=ADAPTIVE_MAXIMUM)], clock=loop.time)

    async def caller() -> None:
        refusals = 0
        while True:
            permit = await limiter.acquire()
            answered = await server.ask()
            limiter.release(permit, "ok" if answered else "rate_limited")
            refusals = 0 if answered else refusals + 1
            if refusals:
                await asyncio.sleep(min(60.0, 2.0 ** (refusals - 1)) * waits.uniform(0.5, 1.0))

    callers = [asyncio.create_task(caller()) for _ in range(CALLERS)]
    await asyncio.sleep(SECONDS)
    for task in callers:
        task.cancel()
    await asyncio.gather(*callers, return_exceptions=True)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("burst_s", [0.5, 1.0])
@pytest.mark.parametrize("latency_s", [0.3, 0.5, 1.0, 2.0])
def test_ten_seconds_after_each_step_nine_tenths_of_the_new_capacity_are_used(
    latency_s: float, burst_s: float, seed: int
) -> None:
    server = RateLimitedServer(latency_s=latency_s, burst_s=burst_s, seed=seed)
    run_virtually(press(server))
    assert server.refused_share < 0.03
    for step in STEPS:
        assert server.goodput(range(step + 10, step + 30)) > 0.9, (step, server.answered)


def test_a_server_that_tolerates_no_burst_is_asked_evenly() -> None:
    """A tenth of a second's worth at once, at most: a burst of 32 would be refused at a third of the rate."""
    server = RateLimitedServer(latency_s=0.5, burst_s=0.1, seed=0)
    run_virtually(press(server))
    assert server.refused_share < 0.03
    assert server.goodput(range(10, 30)) > 0.85


def test_the_same_seed_gives_the_same_seconds() -> None:
    first, second = (RateLimitedServer(latency_s=0.5, burst_s=1.0, seed=9) for _ in range(2))
    run_virtually(press(first))
    run_virtually(press(second))
    assert (first.answered, first.refused) == (second.answered, second.refused)
