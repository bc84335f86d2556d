"""A token bucket for limits such as requests or tokens per minute, and what a request may take from it.

Pure: the time comes in with each call.

One second's worth may be used at once, so that load is spread evenly and no minute gets more than the limit
plus a second's worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class TokenBucket:
    """Lets through `per_minute` units a minute. More than one second's worth waits for a full bucket."""

    def __init__(self, per_minute: float) -> None:
        self._rate = per_minute / 60.0
        self._burst = max(1.0, self._rate)
        self._level = self._burst
        self._filled_at: float | None = None

    def wait_s(self, now: float, amount: float) -> float:
        """Seconds until `amount` may be taken; 0 if now."""
        self._fill(now)
        # A thousandth of slack: refilling in many small steps must not fall short of a full bucket forever.
        missing = min(amount, self._burst) - self._level
        return missing / self._rate if missing > 1e-3 * self._burst else 0.0

    def take(self, amount: float) -> None:
        """Take `amount` now; the level may fall below zero, which later takers wait for."""
        self._level -= amount

    def settle(self, *, estimated: float, used: float) -> None:
        """Correct an earlier `take` once the true amount is known."""
        self._level = min(self._burst, self._level + estimated - used)

    def _fill(self, now: float) -> None:
        if self._filled_at is not None:
            self._level = min(self._burst, self._level + (now - self._filled_at) * self._rate)
        self._filled_at = now


def expected_tokens(size: int, body: Mapping[str, Any]) -> float:
    """What a request of `size` bytes may use: four bytes a token, and the longest answer allowed (500 if none is)."""
    longest = body.get("max_tokens")
    return size / 4 + (500 if longest is None else longest)
