"""Three servers of one model, one slow, one that dies and returns: how much of what lives is used, and by whom.

Real: limiter and controllers, on a real event loop whose clock is simulated (`virtual.py`). Doubles: the servers, which
serve so many requests at once and refuse others with 429, and refuse connections while they are dead. Three hundred
callers want answers all the time. The same over real HTTP: `python -m tests.benchmarks replicas`.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from clair.endpoints.controller import ADAPTIVE_MAXIMUM, ADAPTIVE_START, Controller, End
from clair.endpoints.limiter import Limiter
from tests.endpoints.virtual import run_virtually

CALLERS = 300
DIES, RETURNS, ENDS = 30, 60, 90


class Slots:
    """A server with `slots` requests at once, `latency_s` each, 30 % more or less."""

    def __init__(self, slots: int, latency_s: float, *, dies: bool = False, seed: int = 0) -> None:
        self.answered: Counter[int] = Counter()
        self.refused = self.dead_tries = 0
        self._slots, self._latency_s, self._dies = slots, latency_s, dies
        self._busy = 0
        self._random = random.Random(seed)

    @property
    def capacity(self) -> float:
        return self._slots / self._latency_s

    def _is_dead(self, now: float) -> bool:
        return self._dies and DIES <= now < RETURNS

    async def ask(self) -> End:
        loop = asyncio.get_running_loop()
        if self._is_dead(loop.time()):
            self.dead_tries += 1
            return "failed"
        if self._busy >= self._slots:
            await asyncio.sleep(0.02)
            self.refused += 1
            return "rate_limited"
        self._busy += 1
        try:
            await asyncio.sleep(self._latency_s * self._random.uniform(0.7, 1.3))
        finally:
            self._busy -= 1
        if self._is_dead(loop.time()):
            return "failed"
        self.answered[int(loop.time())] += 1
        return "ok"

    def rate(self, start: int, end: int) -> float:
        return sum(self.answered[second] for second in range(start, end)) / (end - start)


async def press(servers: list[Slots]) -> None:
    loop, waits = asyncio.get_running_loop(), random.Random(0)
    controllers = [Controller(start=ADAPTIVE_START, maximum=ADAPTIVE_MAXIMUM) for _ in servers]
    limiter = Limiter(controllers, clock=loop.time)

    async def caller() -> None:
        failed_at: set[int] = set()
        refusals = 0
        while True:
            permit = await limiter.acquire(avoid=failed_at)
            end = await servers[permit.replica].ask()
            limiter.release(permit, end)
            if end == "ok":
                failed_at, refusals = set(), 0
            else:
                failed_at.add(permit.replica)
            if end == "rate_limited":
                refusals += 1
                await asyncio.sleep(min(60.0, 2.0 ** (refusals - 1)) * waits.uniform(0.5, 1.0))

    callers = [asyncio.create_task(caller()) for _ in range(CALLERS)]
    await asyncio.sleep(ENDS)
    for task in callers:
        task.cancel()
    await asyncio.gather(*callers, return_exceptions=True)


@pytest.mark.parametrize("seed", range(2))
def test_what_lives_is_used_and_a_server_that_returns_works_again_within_seconds(seed: int) -> None:
    steady, dying = Slots(40, 0.5, seed=seed), Slots(40, 0.5, dies=True, seed=seed + 100)
    slow = Slots(20, 2.0, seed=seed + 200)
    servers = [steady, dying, slow]
    run_virtually(press(servers))
    for server in servers:
        assert server.rate(10, DIES) > 0.9 * server.capacity
    for server in (steady, slow):
        assert server.rate(DIES, RETURNS) > 0.9 * server.capacity
    assert dying.dead_tries <= 12  # three failures, then one try after pauses of 0.5, 1, 2, 4, 5, 5, ... seconds
    assert min(second for second in dying.answered if second >= RETURNS) <= RETURNS + 6
    assert dying.rate(RETURNS + 10, ENDS) > 0.9 * dying.capacity
    refused, answered = sum(s.refused for s in servers), sum(s.answered.total() for s in servers)
    assert refused < 0.03 * answered


def test_equal_servers_get_equal_shares() -> None:
    servers = [Slots(30, 0.5, seed=seed) for seed in range(3)]
    run_virtually(press(servers))
    answers = [server.answered.total() for server in servers]
    assert max(answers) < 1.03 * min(answers)
