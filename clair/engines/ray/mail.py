"""A worker's end of the line to the driver: what it has to say waits here until the driver fetches it.

await mail.ask(lambda number: Keep(number, ...))       # returns when the driver has done it
mail.post(Ended(...))                                  # needs no answer
events = await mail.collect()                          # for the driver
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

from clair.engines.ray.messages import Event

WINDOW_S = 0.02
"""Between two calls that carry many messages. A call costs the driver about a millisecond, whatever it carries."""
PATIENCE_S = 0.5  # a report with nothing in it, so that the gauges stay fresh
MOST = 1024  # messages in one call


class Mail:
    """Used from one event loop."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._posted = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._numbers = count()

    def post(self, event: Event) -> None:
        """Say something."""
        self._events.append(event)
        self._posted.set()

    async def ask(self, question: Callable[[int], Event]) -> int:
        """Say something and wait until the driver has settled it; returns its number. Raises its refusal."""
        number = next(self._numbers)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self.post(question(number))
        await future
        return number

    def settle(self, number: int, refusal: Exception | None) -> None:
        """What was asked under this number is done, or refused."""
        future = self._waiting.pop(number)
        if future.done():
            return
        if refusal is None:
            future.set_result(None)
        else:
            future.set_exception(refusal)

    async def collect(self) -> list[Event]:
        """What there is to say, once there is something; [] after half a second of silence."""
        if not self._events:
            self._posted.clear()
            try:
                await asyncio.wait_for(self._posted.wait(), PATIENCE_S)
            except asyncio.TimeoutError:
                return []
        events, self._events = self._events[:MOST], self._events[MOST:]
        return events


class Pace:
    """What comes alone is sent at once; after a call with many, the next waits until the window is over."""

    def __init__(self) -> None:
        self._next_at = 0.0

    async def wait(self) -> None:
        """Wait for the next call's turn."""
        delay_s = self._next_at - asyncio.get_running_loop().time()
        if delay_s > 0:
            await asyncio.sleep(delay_s)

    def sent(self, messages: int) -> None:
        """So many messages were sent in one call."""
        self._next_at = asyncio.get_running_loop().time() + (WINDOW_S if messages > 1 else 0.0)
