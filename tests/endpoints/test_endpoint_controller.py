"""The adaptive limit against simulated servers on a simulated clock. The controller is real, the servers are
not.

Two kinds of server: one that serves so many requests at once and answers 429 to the rest, as hosted APIs do,
and one that queues what it cannot serve at once, as local servers do.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.endpoints.controller import ADAPTIVE_MAXIMUM, Controller, End


@dataclass
class Simulation:
    """Requests as many as the limit allows, for `seconds`; counts answers and refusals in each second."""

    capacity: Callable[[float], int]
    seconds: int
    latency_s: float = 1.0
    queues: bool = False
    seed: int = 0
    controller: Controller = field(default_factory=lambda: Controller(start=32, maximum=ADAPTIVE_MAXIMUM))
    ok: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)

    def run(self) -> Simulation:
        self.ok, self.refused, self.limits = ([0] * self.seconds for _ in range(3))
        self._random, self._events, self._queue = random.Random(self.seed), [], deque()
        self._number = self._busy = 0
        self._wake_at = -1.0
        self._send(0.0)
        while self._events and self._events[0][0] < self.seconds:
            now, _, end, sent_at = heapq.heappop(self._events)
            self._arrive(now, end, sent_at)
        return self

    def _arrive(self, now: float, end: End | None, sent_at: float) -> None:
        if end == "ok":
            self._busy -= 1
            self.ok[int(now)] += 1
            if self._queue:
                self._serve(now, self._queue.popleft())
        elif end == "rate_limited":
            self.refused[int(now)] += 1
        if end is not None:
            self.controller.ended(now, started_at=sent_at, end=end, retry_after_s=1.0)
        self._send(now)
        self.limits[int(now)] = self.controller.limit

    def _send(self, now: float) -> None:
        while (free_at := self.controller.free_at(now)) == now:
            self.controller.started(now)
            if self._busy < self.capacity(now):
                self._serve(now, now)
            elif self.queues:
                self._queue.append(now)
            else:
                self._push(now + 0.02, "rate_limited", now)
        if free_at is not None and not now < self._wake_at <= free_at:
            self._wake_at = free_at
            self._push(free_at, None, now)

    def _serve(self, now: float, sent_at: float) -> None:
        self._busy += 1
        self._push(now + self.latency_s * self._random.uniform(0.7, 1.3), "ok", sent_at)

    def _push(self, at: float, end: End | None, sent_at: float) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, end, sent_at))


@pytest.mark.parametrize("seed", range(5))
def test_a_capacity_that_drops_and_returns_is_followed(seed: int) -> None:
    """100 -> 20 -> 100 at one second a request: under 3 % refused, back to 90 % within 10 s of each step."""
    done = Simulation(lambda t: 20 if 30 <= t < 60 else 100, 90, seed=seed).run()
    assert sum(done.refused) / (sum(done.ok) + sum(done.refused)) < 0.03
    assert sum(done.ok[10:30]) / 20 > 0.9 * 100
    assert sum(done.ok[40:60]) / 20 > 0.9 * 20
    assert sum(done.ok[70:90]) / 20 > 0.9 * 100


@pytest.mark.parametrize("capacity", [1, 5, 20, 100, 1000])
def test_a_fixed_capacity_is_used_and_seldom_exceeded(capacity: int) -> None:
    """After the first ten seconds, in which the start of 32 may be too many."""
    done = Simulation(lambda _: capacity, 200, seed=1).run()
    assert sum(done.refused[10:]) / sum(done.ok[10:]) < 0.035
    assert done.refused[0] <= 40
    assert sum(done.ok[100:]) / 100 > 0.9 * capacity


def test_slow_start_doubles_each_round_up_to_the_maximum() -> None:
    done = Simulation(lambda _: 10**9, 12).run()
    assert done.limits[-1] == ADAPTIVE_MAXIMUM
    assert done.limits[4] > 256


@pytest.mark.parametrize("slots", [4, 32, 256])
def test_a_queueing_server_is_not_flooded(slots: int) -> None:
    """A server that only queues: the limit stays near what it serves at once, at full throughput."""
    done = Simulation(lambda _: slots, 400, latency_s=2.0, queues=True, seed=2).run()
    settled = [limit for limit in done.limits[200:] if limit]
    assert sorted(settled)[len(settled) // 2] <= max(64, 4 * slots)
    assert sum(done.ok[100:]) / 300 > 0.9 * slots / 2.0


def test_one_burst_of_429_cuts_once() -> None:
    controller = Controller(start=10, maximum=10)
    for _ in range(20):
        controller.started(0.0)
    for _ in range(10):
        controller.ended(0.5, started_at=0.0, end="ok")
    controller.ended(1.0, started_at=0.0, end="rate_limited")
    assert controller.limit == 9
    controller.ended(1.1, started_at=0.0, end="rate_limited")
    assert controller.limit == 8  # nine were in flight, and that was too many as well
    controller.ended(1.2, started_at=0.0, end="neutral")
    assert (controller.limit, controller.in_flight) == (8, 7)


def test_success_of_requests_sent_before_a_cut_does_not_count() -> None:
    controller = Controller(start=4, maximum=100)
    for _ in range(4):
        controller.started(0.0)
    controller.ended(1.0, started_at=0.0, end="rate_limited")
    before = controller.limit
    for _ in range(3):
        controller.ended(1.5, started_at=0.5, end="ok")
        controller.started(1.5)
    assert controller.limit == before


def test_a_request_counts_as_let_in_once_a_refusal_would_have_come() -> None:
    """Answers take minutes here and refusals 0.1 s, so 0.3 s after it was sent a request is known to be let in."""
    controller = Controller(start=4, maximum=100)
    for _ in range(4):
        controller.started(0.0)
    controller.ended(0.1, started_at=0.0, end="rate_limited")
    assert (controller.limit, controller.in_flight) == (3, 3)
    before = controller._limit
    controller.ended(0.15, started_at=0.0, end="neutral")
    controller.started(0.2)
    controller.ended(0.4, started_at=0.0, end="neutral")
    assert controller._limit == before
    controller.started(0.45)
    controller.ended(0.5, started_at=0.0, end="neutral")
    assert controller._limit == before  # there is room: the limit is not used
    for _ in range(3):
        controller.started(0.5)
    controller.started(0.9)
    assert before < controller._limit < 1.01 * before


def test_a_server_that_is_out_gets_one_request_until_one_succeeds() -> None:
    controller = Controller(start=8, maximum=100)
    for _ in range(3):
        controller.started(0.0)
    for _ in range(3):
        controller.ended(0.1, started_at=0.0, end="failed")
    assert controller.is_out
    assert controller.free_at(0.1) == 0.6
    controller.started(0.6)
    assert controller.free_at(0.7) is None
    controller.ended(0.8, started_at=0.6, end="failed")
    assert controller.free_at(0.8) == 1.8
    controller.started(1.8)
    controller.ended(1.9, started_at=1.8, end="ok")
    assert not controller.is_out
    assert controller.limit == 8


def test_an_earlier_request_that_succeeds_takes_a_server_back_too() -> None:
    controller = Controller(start=8, maximum=100)
    for _ in range(4):
        controller.started(0.0)
    for _ in range(3):
        controller.ended(0.1, started_at=0.0, end="failed")
    controller.ended(0.2, started_at=0.0, end="ok")
    assert (controller.is_out, controller.limit) == (False, 8)


def test_a_server_that_is_gone_is_out_at_once_and_is_asked_every_five_seconds_at_the_latest() -> None:
    controller, now, waits = Controller(start=8, maximum=100), 0.0, []
    for _ in range(7):
        controller.started(now)
        controller.ended(now, started_at=now, end="gone")
        waits.append(controller.paused_until - now)
        now = controller.paused_until
    assert waits == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


def test_no_growth_while_the_limit_is_not_used() -> None:
    controller = Controller(start=4, maximum=100)
    for second in range(50):
        controller.started(float(second))
        controller.ended(second + 0.5, started_at=float(second), end="ok")
    assert controller.limit == 4


def test_a_run_of_failures_pauses_for_a_time_that_doubles() -> None:
    controller = Controller(start=4, maximum=4)
    now, pauses = 0.0, []
    for _ in range(3):
        for _ in range(3):
            controller.started(now)
            controller.ended(now, started_at=now, end="failed")
        pauses.append(controller.paused_until - now)
        assert controller.free_at(now) == controller.paused_until > now
        now = controller.paused_until
        assert controller.free_at(now) == now
    assert pauses == [0.5, 1.0, 2.0]


def test_429_without_any_success_between_pauses_as_long_as_the_server_asks() -> None:
    controller = Controller(start=1, maximum=1)
    for sent_at in (0.0, 1.0):
        controller.started(sent_at)
        controller.ended(sent_at + 0.1, started_at=sent_at, end="rate_limited", retry_after_s=30.0)
    assert controller.paused_until == 31.1


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.sampled_from(["ok", "rate_limited", "failed", "neutral"]), st.floats(0, 5)), max_size=200),
)
def test_the_limit_stays_between_one_and_the_maximum(start: int, events: list[tuple[End, float]]) -> None:
    controller, now = Controller(start=start, maximum=50), 0.0
    for end, duration in events:
        controller.started(now)
        now += duration
        controller.ended(now, started_at=now - duration, end=end)
        assert 1 <= controller.limit <= 50
        assert controller.in_flight == 0
