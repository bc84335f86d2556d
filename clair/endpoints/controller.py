"""How many requests one server may have in flight: finds the number itself from how the server answers.

Pure: events and times come in, a limit comes out, so that tests run it against a simulated server. In short:
- Slow start: each success raises the limit by one while the limit is really used, so it doubles per round.
- After a 429, requests are sent evenly: a server that counts requests per second refuses bursts that fit its rate.
- A reply 429 cuts the limit once per burst: requests that were sent before a cut neither cut again nor count
  as success; what the burst leaves in flight shows the capacity. The level that failed is remembered: growth
  is quick up to it, slow around it, and quick again beyond.
- Failures (5xx, timeouts, connections) stop growth for one round. A run of them, or 429s without any success
  in between, pauses the server for a time that doubles.
- No growth where it buys nothing: if twice the requests in flight give no more answers per second, the server
  queues them, and the limit goes back to the smaller number for a while.
"""

from __future__ import annotations

from typing import Literal

End = Literal["ok", "rate_limited", "failed", "neutral"]
"""How a request ended. "neutral" says nothing about the load: canceled, or refused for its content."""

ADAPTIVE_START = 32
ADAPTIVE_MAXIMUM = 4096

_CUT = 0.9  # the first cut: capacity is probably just below
_DEEP_CUT = 0.75  # another cut before a whole round of successes: capacity has dropped
_PROBE_REQUESTS = 100  # around the level that failed: at most about one 429 in so many requests
_PACE = 1.15  # after a 429, requests are sent at most so many times as fast as the limit allows on average
_SLACK_S = 0.02  # what a late timer may catch up on
_FIRST_GAP_S = 0.01  # between the first requests, of which nobody knows how long they take
_FAILURES_TO_PAUSE = 3
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_BETTER = 1.1  # so much more throughput counts as more
_PLATEAU_ROUNDS = 20  # rounds to stay at the smaller limit before growth is tried again


class Controller:
    """The limit of one server. Call `started` for each request and `ended` with how it went."""

    def __init__(self, *, start: int, maximum: int) -> None:
        self._limit = float(start)
        self._maximum = maximum
        self._ceiling: float | None = None
        self._cut_at = float("-inf")
        self._since_cut = 0
        self._burst_floor = 0.0
        self._hold = 0
        self._failures = 0
        self._pauses = 0
        self._paused_from = float("-inf")
        self._gate = _ThroughputGate()
        self._latency_s: float | None = None
        self._next_at = float("-inf")
        self.paused_until = float("-inf")
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """Requests that may be in flight."""
        return max(1, int(self._limit))

    def free_at(self, now: float) -> float | None:
        """When one more request may be sent, not before `now`; None: when one of those in flight has ended.

        A limit of 3.6 lets four be in flight: their pace keeps the average.
        """
        if self.in_flight >= (self._limit - 0.2 if self._limit >= 2 else 1):
            return None
        return max(now, self.paused_until, self._next_at)

    def started(self, now: float) -> None:
        """A request is sent."""
        self.in_flight += 1
        if self._ceiling is not None and self._latency_s is not None:
            self._next_at = max(self._next_at, now - _SLACK_S) + self._latency_s / (_PACE * self._limit)
        elif self._latency_s is None and self._limit < self._maximum:
            self._next_at = max(self._next_at, now) + _FIRST_GAP_S

    def ended(self, now: float, *, started_at: float, end: End, retry_after_s: float | None = None) -> None:
        """A request that was sent at `started_at` is over."""
        in_flight = self.in_flight
        self.in_flight -= 1
        if end == "ok":
            self._succeeded(now, started_at, used=in_flight >= self.limit)
        elif end == "rate_limited":
            self._rate_limited(now, started_at, in_flight, retry_after_s)
        elif end == "failed":
            self._failed(now, started_at)

    def _succeeded(self, now: float, started_at: float, *, used: bool) -> None:
        took_s = now - started_at
        self._latency_s = took_s if self._latency_s is None else self._latency_s + (took_s - self._latency_s) / 16
        self._failures = self._pauses = 0
        self._since_cut += 1
        if started_at < self._cut_at:
            return
        if self._hold > 0:
            self._hold -= 1
            return
        smaller = self._gate.succeeded(now, self._limit)
        if smaller is not None:
            self._limit = smaller
        elif used and not self._gate.is_closed:
            self._limit = min(float(self._maximum), self._limit + self._gain())

    def _gain(self) -> float:
        """What one success adds to the limit."""
        if self._ceiling is None:
            return 1.0
        place = self._limit / self._ceiling
        slow = 0.1 * self._ceiling / max(1.5 * self._ceiling, _PROBE_REQUESTS)
        if place < 0.95:
            return min(0.25, max(slow, 0.95 * self._ceiling - self._limit))
        return slow if place < 1.02 else min(1.0, 3 * (place - 1))

    def _rate_limited(self, now: float, started_at: float, in_flight: int, retry_after_s: float | None) -> None:
        if started_at < self._cut_at:
            self._burst(in_flight)
            return
        if self._since_cut == 0 and self._cut_at > float("-inf"):
            self._pause(now, retry_after_s)
            self._cut_at = now
            return
        base = min(self._limit, float(in_flight))
        deep = self._since_cut < base
        self._ceiling = base
        self._limit = max(1.0, base * (_DEEP_CUT if deep else _CUT))
        self._burst_floor = base / 4
        self._cut_at, self._since_cut, self._hold = now, 0, 0
        self._gate = _ThroughputGate()

    def _burst(self, in_flight: int) -> None:
        """More refusals of the same burst: what is left in flight shows where the server's capacity is."""
        assert self._ceiling is not None
        self._ceiling = max(self._burst_floor, min(self._ceiling, float(in_flight)))
        self._limit = max(1.0, min(self._limit, _CUT * self._ceiling))

    def _failed(self, now: float, started_at: float) -> None:
        self._hold = self.limit
        if started_at < self._paused_from:
            return
        self._failures += 1
        if self._failures >= _FAILURES_TO_PAUSE:
            self._failures = 0
            self._pause(now, None)

    def _pause(self, now: float, wait_s: float | None) -> None:
        if wait_s is None:
            wait_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**self._pauses)
        self._pauses = min(self._pauses + 1, 10)
        self._paused_from = now
        self.paused_until = max(self.paused_until, now + wait_s)


class _ThroughputGate:
    """Closes while a larger limit brings no more answers per second. A round is as many answers as the limit."""

    def __init__(self) -> None:
        self.is_closed = False
        self._round_at: float | None = None
        self._answers = 0
        self._best_rate = 0.0
        self._best_limit = 0.0
        self._rounds_left = 0

    def succeeded(self, now: float, limit: float) -> float | None:
        """Count an answer; the limit to go back to, if growth has turned out to bring nothing."""
        if self._round_at is None:
            self._round_at, self._round_limit = now, limit
        self._answers += 1
        if self._answers < self._round_limit or now <= self._round_at:
            return None
        rate = self._answers / (now - self._round_at)
        round_limit = self._round_limit
        self._round_at, self._answers, self._round_limit = now, 0, limit
        return self._judge(rate, round_limit, limit)

    def _judge(self, rate: float, round_limit: float, limit: float) -> float | None:
        if self.is_closed:
            self._rounds_left -= 1
            if self._rounds_left <= 0:
                self.is_closed, self._best_rate, self._best_limit = False, rate, limit
            return None
        if rate > _BETTER * self._best_rate:
            self._best_rate, self._best_limit = rate, round_limit
            return None
        if round_limit < 2 * self._best_limit:
            return None
        self.is_closed, self._rounds_left = True, _PLATEAU_ROUNDS
        return self._best_limit
