"""Where a recipe's questions are answered: from the ledger if the answer was bought before, else from the endpoint.

The one path by which money is spent: reserve the worst case, ask, commit the raw reply, and only then look inside.
A try that brings no answer is counted too, for it may have been charged. What is being asked is not asked again: rows
with the same question wait for one answer.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple, Protocol

from clair.endpoints.charge import Charge
from clair.endpoints.endpoint import Endpoint, NotSent
from clair.endpoints.reply import MalformedBody, parse_reply
from clair.errors import LedgerError, NotBought
from clair.ledger.keys import content_key
from clair.ledger.store import StoredReply
from clair.pipeline.budget import Budget
from clair.pipeline.progress import Progress
from clair.records import Ask, Completion, Part


class Stopping(Exception):
    """No new request is sent because the run is stopping; the row stays open for the next invocation."""


class Pending(Stopping):
    """The question is under way; its answer will be in the ledger by a later pass, and the row is open until then."""


class Store(Protocol):
    """Where paid answers are kept: a `Ledger`, or the way to one."""

    def get(self, key: bytes) -> StoredReply | None:
        """The answer kept under this content key, if there is one."""

    async def put(
        self,
        key: bytes,
        *,
        stage: str,
        model: str,
        raw: bytes,
        prompt_tokens: int | None,
        completion_tokens: int | None,
        cost_usd: float | None,
        reserved_usd: float | None = None,
    ) -> None:
        """Keep a paid answer; returns when it is durable."""

    async def doubt(self, usd: float | None, *, count: int = 1) -> None:
        """Count requests as unanswered but perhaps charged; returns when that is durable."""


class Purchase(NamedTuple):
    """A question that is about to be sent: to which part, what, and what it can cost at the most.

    `reserved_usd` is what is set aside for it in the ledger, None if nothing is.
    """

    part: Part
    body: dict[str, object]
    worst_usd: float | None
    reserved_usd: float | None


class Answers:
    """Answers asks, until `stop`: then requests in flight still finish and are committed, and no other is sent."""

    def __init__(
        self, *, ledger: Store, endpoints: Mapping[Part, Endpoint], budget: Budget, progress: Progress
    ) -> None:
        self._ledger = ledger
        self._endpoints = endpoints
        self.budget = budget
        self._progress = progress
        self._asked: dict[bytes, asyncio.Future[Completion | None]] = {}
        self.stopping = False

    def stop(self) -> None:
        """Buy nothing more."""
        self.stopping = True
        for endpoint in self._endpoints.values():
            endpoint.drain()

    async def get(self, ask: Ask, *, finished_before: bool = False) -> Completion:
        """The answer to one ask.

        `finished_before` marks a row that an earlier invocation finished: its re-asks are not bought anew (NotBought).
        Raises RowFailure for this row alone, RunStopped for all, Stopping if nothing more may be bought.
        """
        endpoint = self._endpoints[ask.part]
        body = endpoint.body(ask.messages, ask.sample_index)
        key = content_key(
            identity=endpoint.identity,
            body={**body, "messages": list(ask.identity_messages)},
            sample_index=ask.sample_index,
        )
        while (stored := self._ledger.get(key)) is None:
            if finished_before and ask.attempt:
                raise NotBought
            if key not in self._asked:
                return await self._buy_for_all(ask, endpoint, body, key)
            completion = await asyncio.shield(self._asked[key])
            if completion is not None:
                return completion
        return _kept(stored)

    async def _buy_for_all(self, ask: Ask, endpoint: Endpoint, body: dict[str, object], key: bytes) -> Completion:
        """Buy it, for the rows too that come to ask the same meanwhile; without an answer each asks for itself."""
        asked = self._asked[key] = asyncio.get_running_loop().create_future()
        completion = None
        try:
            completion = await self.buy(ask, endpoint, body, key)
        finally:
            del self._asked[key]
            asked.set_result(completion)
        return completion

    async def buy(self, ask: Ask, endpoint: Endpoint, body: dict[str, object], key: bytes) -> Completion:
        """Ask the endpoint what the ledger does not know."""
        if self.stopping:
            raise Stopping
        worst_usd = endpoint.worst_cost_usd(body)
        reserved_usd = None if self.budget.limit_usd is None else worst_usd or None
        try:
            reply = await endpoint.complete(
                body, partial(self.paying, Purchase(ask.part, body, worst_usd, reserved_usd))
            )
        except NotSent:
            raise Stopping from None
        completion = reply.completion
        await self._ledger.put(
            key,
            stage=ask.stage,
            model=endpoint.identity,
            raw=reply.raw,
            prompt_tokens=completion.usage.prompt_tokens,
            completion_tokens=completion.usage.completion_tokens,
            cost_usd=completion.cost_usd,
            reserved_usd=reserved_usd,
        )
        self._progress.bought += 1
        return completion

    @asynccontextmanager
    async def paying(self, purchase: Purchase) -> AsyncIterator[Charge]:
        """Around one try. What is set aside is in the ledger before it is sent: a killed process has counted it."""
        _, _, worst_usd, reserved_usd = purchase
        async with self.budget.reserve(worst_usd):
            if self.stopping:
                raise Stopping
            if reserved_usd is not None:
                await self._ledger.doubt(reserved_usd)
            charge = Charge()
            try:
                yield charge
            finally:
                cost_usd = worst_usd if charge.usd is None else charge.usd
                self.budget.spend(cost_usd)
                self._progress.cost_usd += cost_usd or 0.0
                self._progress.cost_known &= charge.usd is not None
                if not charge.answered:
                    await self._unanswered(cost_usd, reserved_usd)

    async def _unanswered(self, cost_usd: float | None, reserved_usd: float | None) -> None:
        """What a try without an answer cost stays in the ledger, in place of what was set aside for it."""
        if cost_usd != 0.0:
            await self._ledger.doubt(cost_usd)
        if reserved_usd is not None:
            await self._ledger.doubt(reserved_usd, count=-1)


def _kept(stored: StoredReply) -> Completion:
    try:
        completion = parse_reply(stored.raw, None)
    except MalformedBody as error:
        raise LedgerError(f"the ledger is damaged: an answer in it is {error}. Restore it from a copy.") from None
    return dataclasses.replace(completion, cost_usd=stored.cost_usd)
