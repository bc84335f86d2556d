"""Limits that all workers share: the driver allows each try, by requests and tokens per minute and by the budget.

A worker asks (`LeaveAnswers`), the driver lets through (`Gate`, then `Answers.paying` with the run's one budget). What
is not limited is not asked for.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from clair.endpoints.bucket import TokenBucket, expected_tokens
from clair.endpoints.charge import Charge
from clair.endpoints.endpoint import Endpoint
from clair.engines.ray.mail import Mail
from clair.engines.ray.messages import Charged, Leave, Used
from clair.pipeline.answers import Answers, Purchase, Stopping
from clair.records import Ask, Completion


class LeaveAnswers(Answers):
    """A worker's answers, where each try needs the driver's leave."""

    def __init__(self, *, mail: Mail, **others: Any) -> None:
        super().__init__(**others)
        self._mail = mail

    async def buy(self, ask: Ask, endpoint: Endpoint, body: dict[str, object], key: bytes) -> Completion:
        """Ask the endpoint, and correct the estimate of tokens once the answer says how many there were."""
        completion = await super().buy(ask, endpoint, body, key)
        usage = completion.usage
        if usage.prompt_tokens is not None and usage.completion_tokens is not None:
            used = usage.prompt_tokens + usage.completion_tokens
            self._mail.post(Used(ask.part, tokens_of(body), used))
        return completion

    @asynccontextmanager
    async def paying(self, purchase: Purchase) -> AsyncIterator[Charge]:
        """Around one try: the driver allows it, and is told how it ended."""
        number = await self._mail.ask(
            lambda number: Leave(
                number, purchase.part, tokens_of(purchase.body), purchase.worst_usd, purchase.reserved_usd
            )
        )
        charge = Charge()
        try:
            if self.stopping:
                raise Stopping
            yield charge
        finally:
            self._mail.post(Charged(number, charge.usd, charge.answered))


def tokens_of(body: Mapping[str, Any]) -> float:
    """What a request may use, from its body as it is sent."""
    return expected_tokens(len(json.dumps(body, separators=(",", ":"))), body)


class Gate:
    """Lets requests to one endpoint through at its limits per minute, first come, first served. None is no limit."""

    def __init__(self, *, rpm: float | None, tpm: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._requests = None if rpm is None else TokenBucket(rpm)
        self._tokens = None if tpm is None else TokenBucket(tpm)
        self._clock = clock
        self._turn = asyncio.Lock()
        self._closed = asyncio.Event()
        self.waiting = 0
        """Requests that have come and are not through."""

    async def passage(self, tokens: float) -> None:
        """Wait until a request of so many tokens may be sent. Raises Stopping once the gate is closed."""
        self.waiting += 1
        try:
            async with self._turn:
                while not self._closed.is_set() and (delay_s := self._delay_s(tokens)) > 0:
                    with suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self._closed.wait(), max(0.001, delay_s))
                if self._closed.is_set():
                    raise Stopping
                self._take(tokens)
        finally:
            self.waiting -= 1

    def settle(self, used: Used) -> None:
        """Correct an estimate."""
        if self._tokens is not None:
            self._tokens.settle(estimated=used.estimated, used=used.tokens)

    def close(self) -> None:
        """Nothing is let through any more."""
        self._closed.set()

    def _delay_s(self, tokens: float) -> float:
        now = self._clock()
        return max(
            self._requests.wait_s(now, 1.0) if self._requests else 0.0,
            self._tokens.wait_s(now, tokens) if self._tokens else 0.0,
        )

    def _take(self, tokens: float) -> None:
        if self._requests:
            self._requests.take(1.0)
        if self._tokens:
            self._tokens.take(tokens)
