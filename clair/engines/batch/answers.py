"""Where a recipe's questions are answered when some go by batch: those that the ledger does not know are collected, and
their rows wait for a later pass."""

from __future__ import annotations

from collections.abc import Mapping

from clair.endpoints.batch_lines import request_line
from clair.endpoints.endpoint import Endpoint
from clair.engines.batch.lane import Full, Lane
from clair.engines.batch.records import Records, Request
from clair.errors import BudgetExhausted, RowFailure
from clair.ledger.store import Ledger
from clair.pipeline.answers import Answers, Pending, Stopping
from clair.pipeline.budget import Budget
from clair.pipeline.progress import Progress
from clair.records import Ask, Completion, Part

TRIES = 3
"""Batches that a question may be in without an answer (a server's error, an expired batch); then its row ends."""


class BatchAnswers(Answers):
    """Answers of parts without a lane are asked for online.

    `full` is set when a question had to be left out of this pass; `short_usd` if money was the reason: what it may
    cost. With `closed`, nothing is bought, online or by batch.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        endpoints: Mapping[Part, Endpoint],
        budget: Budget,
        progress: Progress,
        lanes: Mapping[Part, Lane],
        records: Records,
    ) -> None:
        super().__init__(ledger=ledger, endpoints=endpoints, budget=budget, progress=progress)
        self._lanes = lanes
        self._records = records
        self.closed = False
        self.begin_pass()

    def begin_pass(self) -> None:
        """Forget what the last pass had no room for."""
        self.full = False
        self.short_usd: float | None = None

    async def buy(self, ask: Ask, endpoint: Endpoint, body: dict[str, object], key: bytes) -> Completion:
        """Raises Pending for what goes by batch, once it is under way; RowFailure if it has failed there for good."""
        if self.closed:
            raise Stopping
        lane = self._lanes.get(ask.part)
        if lane is None:
            return await self._buy_online(ask, endpoint, body, key)
        failure = self._records.failure(key)
        if failure is not None and (failure.final or failure.tries >= TRIES):
            raise RowFailure(failure.reason, failure.detail)
        if lane.knows(key):
            raise Pending
        if self.stopping or self.full:
            raise Stopping
        try:
            await lane.take(
                Request(key, ask.stage, endpoint.worst_cost_usd(body)), request_line(key, endpoint.spelling.of(body))
            )
        except Full as full:
            self.full, self.short_usd = True, full.short_usd
            raise Stopping from None
        raise Pending

    async def _buy_online(self, ask: Ask, endpoint: Endpoint, body: dict[str, object], key: bytes) -> Completion:
        try:
            return await super().buy(ask, endpoint, body, key)
        except BudgetExhausted:
            # What batches hold comes free when they end: only then is the budget used up.
            if not self.budget.held_usd:
                raise
            self.full, self.short_usd = True, endpoint.worst_cost_usd(body)
            raise Stopping from None
