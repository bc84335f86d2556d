"""Simulated time for real asyncio code: hours pass in seconds, and every run is the same.

    result = run_virtually(main())          # asyncio.sleep, timeouts and loop.time() are on the simulated clock

Nothing waits: when every task sleeps, the clock jumps to the next one that wakes. So there must be no thread and no
socket in it; waiting for one raises RuntimeError.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Selector(selectors.DefaultSelector):
    """Does not wait for the time given but adds it to the clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("every task waits for something that simulated time does not bring")
        self.now += max(0.0, timeout)
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._virtual.now


def run_virtually(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on simulated time, which begins at 0."""
    loop = _Loop()
    try:
        return loop.run_until_complete(work)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
