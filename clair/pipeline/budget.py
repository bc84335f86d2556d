"""Money: what a run may cost, what it has cost, and what the requests in flight could cost at worst.

A request is sent only if everything spent, everything reserved and its own worst case together stay within the limit.
So the limit holds however the answers turn out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from clair.errors import BudgetExhausted


class Budget:
    """USD spent and reserved, `held_usd` of it by batches.

    With `limit_usd` None nothing is refused and unknown costs do no harm.
    """

    def __init__(self, limit_usd: float | None, *, spent_usd: float = 0.0) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self.reserved_usd = 0.0
        self.held_usd = 0.0
        self._in_flight = 0
        self._settled = asyncio.Condition()

    @asynccontextmanager
    async def reserve(self, worst_usd: float | None) -> AsyncIterator[None]:
        """Hold `worst_usd` while a request is in flight; call `spend` inside when its cost is known.

        Waits while the money is only reserved, not spent; raises BudgetExhausted when nothing in flight could
        free enough.
        """
        if self.limit_usd is None:
            yield
            return
        assert worst_usd is not None  # the run refuses a limit for a model without prices
        async with self._settled:
            await self._settled.wait_for(lambda: self.fits(worst_usd) or not self._in_flight)
            if not self.fits(worst_usd):
                raise self.exhausted(worst_usd)
            self.reserved_usd += worst_usd
            self._in_flight += 1
        try:
            yield
        finally:
            async with self._settled:
                self.reserved_usd -= worst_usd
                self._in_flight -= 1
                self._settled.notify_all()

    def spend(self, cost_usd: float | None) -> None:
        """Record what a try cost."""
        self.spent_usd += cost_usd or 0.0

    def hold(self, worst_usd: float | None) -> None:
        """Reserve for what is under way for longer than a call: a batch. A negative amount lets go of it."""
        self.reserved_usd += worst_usd or 0.0
        self.held_usd += worst_usd or 0.0

    def fits(self, worst_usd: float | None) -> bool:
        """Whether a request that may cost so much can be sent now."""
        if self.limit_usd is None:
            return True
        return self.spent_usd + self.reserved_usd + (worst_usd or 0.0) <= self.limit_usd

    def exhausted(self, worst_usd: float) -> BudgetExhausted:
        """The error that says that a request which may cost so much cannot be sent."""
        return BudgetExhausted(
            f"the budget is used up: {self.spent_usd:.4f} of {self.limit_usd or 0.0:.4f} USD spent, and the next "
            f"request could cost up to {worst_usd:.4f}. Raise --max-cost and run the same command to go on"
        )
