"""How many requests one server may have in flight: finds the number itself from how the server answers.

Pure: events and times come in, a limit comes out, so that tests run it against a simulated server. In short:
- Slow start: each success raises the limit by one while the limit is really used, so it doubles per round.
- From the first 429 on, the share of refusals is what is controlled: each request that is let in raises the limit a
  little, each refusal cuts it by so much more that the two balance at one refusal in fifty. So noise cancels out, and
  a server whose capacity has dropped refuses so much that a few refusals bring the limit down.
- Above the level at which refusals came, capacity has grown: there the limit grows quickly again.
- A refusal comes at once, an answer may take minutes. So a request counts as let in when it has been in flight for
  longer than refusals take, and growth per second does not depend on how long answers take.
- Requests are sent evenly: a server that counts requests per second refuses bursts that fit its rate.
- However many refusals a burst brings, what they leave in flight is what the server can do: no cut goes below that.
- Failures (5xx, timeouts, connections) stop growth for one round. After a run of them the server is out: it gets
  nothing for a time that doubles, then one request, until one of them succeeds. 429s without any success in between
  pause it as well.
- No growth where it buys nothing: if twice the requests in flight give no more answers per second, the server
  queues them, and the limit goes back to the smaller number for a while.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Literal

End = Literal["ok", "rate_limited", "failed", "gone", "neutral"]
"""How a request ended. "gone" is a failure that says that the server is of no use now. "neutral" says nothing about
the load: canceled, or refused for its content."""

ADAPTIVE_START = 32
ADAPTIVE_MAXIMUM = 4096

_GROWTH = 0.0015  # what a request that is let in adds to the limit, as a share of it
_CUT = 0.075  # what a refusal takes away: growth and cut balance at a share of 0.0015 / 0.075 = 2 % of refusals
_FASTER = 1.04  # times the level at which refusals came: capacity has grown
_SLOWEST, _FASTEST = 0.5, 4.0  # growth per second is the same for latencies between these, in seconds
_PACE = 1.08  # after a 429, requests are sent at most so many times as fast as the limit allows on average
_START_PACE = 3.0  # the same before: more than slow start needs to double in a round
_REFUSED_TO_PAUSE = 10
_SLACK_S = 0.02  # what a late timer may catch up on
_FIRST_GAP_S = 0.01  # between the first requests, of which nobody knows how long they take
_FAILURES_TO_BE_OUT = 3
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_LONGEST_OUT_S = 5.0  # a single request finds out, so it may be asked more often than one that refuses many
_BETTER = 1.1  # so much more throughput counts as more
_FEWEST_ANSWERS = 32  # in a round, or its rate is noise
_PLATEAU_ROUNDS = 20  # rounds to stay at the smaller limit before growth is tried again


class Controller:
    """The limit of one server. Call `started` for each request and `ended` with how it went."""

    def __init__(self, *, start: int, maximum: int) -> None:
        self._start = self._limit = float(start)
        self._maximum = maximum
        self._level: float | None = None
        self._cut_at = float("-inf")
        self._refusals = 0
        self._refusal_s: float | None = None
        self._young: deque[float] = deque()
        self._hold = 0
        self._failures = 0
        self._pauses = 0
        self._paused_from = float("-inf")
        self._gate = _ThroughputGate()
        self._latency_s: float | None = None
        self._next_at = float("-inf")
        self._trial_at: float | None = None
        self.paused_until = float("-inf")
        self.is_out = False
        """Whether the server is left out, except for one request at a time that finds out if it answers again."""
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """Requests that may be in flight."""
        return max(1, int(self._limit))

    def free_at(self, now: float) -> float | None:
        """When one more request may be sent, not before `now`; None: when one of those in flight has ended.

        A limit of 3.6 lets four be in flight: their pace keeps the average.
        """
        if self.is_out:
            return None if self._trial_at is not None else max(now, self.paused_until)
        if self.in_flight >= (self._limit - 0.2 if self._limit >= 2 else 1):
            return None
        return max(now, self.paused_until, self._next_at)

    def started(self, now: float) -> None:
        """A request is sent."""
        self._let_in_older(now)
        self.in_flight += 1
        if self._refusal_s is not None:
            self._young.append(now)
        if self.is_out:
            self._trial_at = now
        if self._latency_s is not None and (self._level is not None or self._limit < self._maximum):
            pace = _START_PACE if self._level is None else _PACE
            self._next_at = max(self._next_at, now - _SLACK_S) + self._latency_s / (pace * self._limit)
        elif self._latency_s is None and self._limit < self._maximum:
            self._next_at = max(self._next_at, now) + _FIRST_GAP_S

    def ended(self, now: float, *, started_at: float, end: End, retry_after_s: float | None = None) -> None:
        """A request that was sent at `started_at` is over."""
        self._let_in_older(now)
        in_flight = self.in_flight
        self.in_flight -= 1
        is_young = self._is_young(started_at)
        is_trial = self._trial_at is not None and started_at >= self._trial_at
        if is_trial:
            self._trial_at = None
        if end in ("ok", "rate_limited") and self.is_out:
            self._take_back(is_trial=is_trial)
        if end == "ok":
            if is_young:
                self._let_in(now, started_at)
            self._succeeded(now, started_at, used=in_flight >= self.limit)
        elif end == "rate_limited":
            self._rate_limited(now, started_at, in_flight, retry_after_s)
        elif end in ("failed", "gone"):
            self._failed(now, started_at, is_gone=end == "gone")

    def _succeeded(self, now: float, started_at: float, *, used: bool) -> None:
        took_s = now - started_at
        self._latency_s = took_s if self._latency_s is None else self._latency_s + (took_s - self._latency_s) / 16
        self._failures = self._pauses = self._refusals = 0
        if started_at < self._cut_at:
            return
        if self._hold > 0:
            self._hold -= 1
            return
        smaller = self._gate.succeeded(now, self._limit)
        if smaller is not None:
            self._limit = smaller
        elif used and self._level is None:
            self._grow(1.0)

    def _let_in_older(self, now: float) -> None:
        """Requests that were sent so long ago that a refusal would have come."""
        while self._young and self._refusal_s is not None and now - self._young[0] > 2 * self._refusal_s + 0.01:
            self._let_in(now, self._young.popleft())

    def _is_young(self, started_at: float) -> bool:
        """Whether the request that ends was not yet known to be let in."""
        if not self._young or started_at < self._young[0]:
            return False
        with suppress(ValueError):
            self._young.remove(started_at)
        return True

    def _let_in(self, now: float, started_at: float) -> None:
        """The server has not refused a request."""
        self._refusals = 0
        is_used = self.in_flight >= self.limit or self._next_at > now
        if is_used and self._level is not None and started_at >= self._cut_at and self._hold <= 0:
            self._grow(self._gain(self._limit / self._level))

    def _gain(self, place: float) -> float:
        """What a request that is let in adds to the limit, at so many times the level of the last refusals."""
        if place < 0.8:
            return 0.25
        faster = min(1.0, 3 * max(0.0, place - _FASTER)) * min(_FASTEST, max(_SLOWEST, self._latency_s or 1.0))
        return _GROWTH * self._limit + faster

    def _grow(self, by: float) -> None:
        if not self._gate.is_closed:
            self._limit = min(float(self._maximum), self._limit + by)

    def _rate_limited(self, now: float, started_at: float, in_flight: int, retry_after_s: float | None) -> None:
        took_s = now - started_at
        self._refusal_s = took_s if self._refusal_s is None else max(took_s, 0.9 * self._refusal_s)
        self._refusals += 1
        if started_at >= self._cut_at:
            if self._refusals > (1 if self._limit < 2 else _REFUSED_TO_PAUSE):
                self._pause(now, retry_after_s)
                self._cut_at = now
                return
            level = min(self._limit, float(in_flight)) if self._level is None else self._level
            self._level = level + 0.3 * (self._limit - level)
            self._cut_at, self._hold = now, 0
            self._gate = _ThroughputGate()
        self._cut(in_flight)

    def _cut(self, in_flight: int) -> None:
        assert self._level is not None
        self._limit = max(1.0, min(self._limit, (1 - _CUT) * max(self._limit, in_flight - 1.0)))
        self._level = min(self._level, self._limit / 0.8)

    def _failed(self, now: float, started_at: float, *, is_gone: bool) -> None:
        self._hold = self.limit
        if started_at <= self._paused_from and not (is_gone and not self.is_out):
            return
        self._failures += 1
        if is_gone or self.is_out or self._failures >= _FAILURES_TO_BE_OUT:
            self.leave_out(now)

    def leave_out(self, now: float) -> None:
        """Send nothing for a while, then one request at a time until one succeeds."""
        self._failures, self._trial_at = 0, None
        self.is_out = True
        self._pause(now, min(_LONGEST_OUT_S, _FIRST_PAUSE_S * 2**self._pauses))

    def _take_back(self, *, is_trial: bool) -> None:
        """The server answers. If it was down, for no earlier request succeeded, it starts slowly again."""
        self.is_out = False
        if is_trial:
            self._limit, self._hold = min(self._limit, self._start), 0
            self._gate = _ThroughputGate()

    def _pause(self, now: float, wait_s: float | None) -> None:
        if wait_s is None:
            wait_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**self._pauses)
        self._pauses = min(self._pauses + 1, 10)
        self._paused_from = now
        self.paused_until = max(self.paused_until, now + wait_s)


class _ThroughputGate:
    """Closes while a larger limit brings no more answers per second. A round is so many answers as the limit."""

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
        least = self._round_limit if self.is_closed else max(self._round_limit, _FEWEST_ANSWERS)
        if self._answers < least or now <= self._round_at:
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
