"""Permits to send: waits until a replica has room and the rate limits allow it. First come, first served.

The replica with the fewest requests outstanding gets the next one, among equals the one that got none for longest.

The rules are in `controller.py` (in flight, per replica) and `bucket.py` (per minute, per endpoint); this is
the part that waits. A permit is held while a request is on the wire, never while a caller waits to try again.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from clair.endpoints.bucket import TokenBucket
from clair.endpoints.controller import Controller, End


class NotSent(Exception):
    """A question that was not sent, or not sent again, because the limiter is closed. Nothing was bought."""


@dataclass(slots=True)
class Permit:
    """The right to send one request to replica number `replica`. Give it back with `Limiter.release`."""

    replica: int
    started_at: float
    tokens: float


class Limiter:
    """Hands out permits over `controllers`, one per replica. `rpm`, `tpm`: limits per minute or None.

    `most`: how many at a time over all replicas, for there may be fewer than replicas.
    """

    def __init__(
        self,
        controllers: Sequence[Controller],
        *,
        most: int | None = None,
        rpm: float | None = None,
        tpm: float | None = None,
        clock: Callable[[], float],
    ) -> None:
        self._controllers = controllers
        self._most = math.inf if most is None else most
        self._requests = None if rpm is None else TokenBucket(rpm)
        self._tokens = None if tpm is None else TokenBucket(tpm)
        self._clock = clock
        self._waiting: deque[tuple[asyncio.Future[Permit], float, Collection[int]]] = deque()
        self._taken = 0
        self._last_taken = [0] * len(controllers)
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def in_flight(self) -> int:
        """Requests on the wire."""
        return sum(controller.in_flight for controller in self._controllers)

    @property
    def waiting(self) -> int:
        """Questions that wait for a permit."""
        return len(self._waiting)

    @property
    def limit(self) -> int:
        """Requests that may be on the wire now: one for a replica that is out."""
        limits = (1 if controller.is_out else controller.limit for controller in self._controllers)
        return int(min(sum(limits), self._most))

    async def acquire(self, tokens: float = 0.0, *, avoid: Collection[int] = ()) -> Permit:
        """Wait for a permit. `tokens` is the estimated size of request and answer, for `tpm`.

        The replicas in `avoid` are taken only if no other one is free, and if they are out, not before all are.
        Raises NotSent once the limiter is closed.
        """
        if self._closed:
            raise NotSent
        if not self._waiting:
            permit = self._try(tokens, avoid)
            if isinstance(permit, Permit):
                return permit
        future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, tokens, avoid))
        self._wake()
        try:
            permit = await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.release(future.result(), "neutral")
            raise
        if self._closed:
            self.release(permit, "neutral")
            raise NotSent
        return permit

    def release(
        self,
        permit: Permit,
        end: End,
        *,
        retry_after_s: float | None = None,
        used_tokens: float | None = None,
    ) -> None:
        """Give a permit back and say how the request ended. `used_tokens` corrects the estimate."""
        controller = self._controllers[permit.replica]
        controller.ended(self._clock(), started_at=permit.started_at, end=end, retry_after_s=retry_after_s)
        if self._tokens is not None and used_tokens is not None:
            self._tokens.settle(estimated=permit.tokens, used=used_tokens)
        self._wake()

    def close(self) -> None:
        """No permit is given any more: NotSent for everyone who waits for one or asks for one later."""
        self._closed = True
        while self._waiting:
            future, _, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(NotSent())

    def _try(self, tokens: float, avoid: Collection[int]) -> Permit | float | None:
        """A permit; or the time at which one may be free; or None: when a request ends."""
        if self.in_flight >= self._most:
            return None
        now = self._clock()
        times = [self._free_at(number, now, avoid) for number in range(len(self._controllers))]
        free = [number for number, time in enumerate(times) if time == now]
        if not free:
            return min((time for time in times if time is not None), default=None)
        wait_s = max(
            self._requests.wait_s(now, 1.0) if self._requests else 0.0,
            self._tokens.wait_s(now, tokens) if self._tokens else 0.0,
        )
        if wait_s > 0:
            return now + wait_s
        return self._take(min(free, key=lambda number: self._rank(number, avoid)), now, tokens)

    def _free_at(self, number: int, now: float, avoid: Collection[int]) -> float | None:
        """When this replica takes a question that avoids some: its first one back is no question that failed there."""
        controller = self._controllers[number]
        if controller.is_out and number in avoid and not all(other.is_out for other in self._controllers):
            return None
        return controller.free_at(now)

    def _rank(self, number: int, avoid: Collection[int]) -> tuple[bool, int, int]:
        return number in avoid, self._controllers[number].in_flight, self._last_taken[number]

    def _take(self, replica: int, now: float, tokens: float) -> Permit:
        if self._requests:
            self._requests.take(1.0)
        if self._tokens:
            self._tokens.take(tokens)
        self._taken += 1
        self._last_taken[replica] = self._taken
        self._controllers[replica].started(now)
        return Permit(replica, now, tokens)

    def _wake(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            future, tokens, avoid = self._waiting[0]
            if not future.done():
                permit = self._try(tokens, avoid)
                if not isinstance(permit, Permit):
                    self._wake_at(permit)
                    return
                future.set_result(permit)
            self._waiting.popleft()

    def _wake_at(self, time: float | None) -> None:
        if time is not None:
            delay_s = max(0.001, time - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._wake)
