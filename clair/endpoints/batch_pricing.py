"""What a request costs by batch: half the list price, or what the user says. Unknown stays None, never 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clair.endpoints.pricing import FixedPrice, Price, find_price

SHARE = 0.5
"""Of the price online, at OpenAI and at most of those who speak its Batch API (2026)."""


@dataclass(frozen=True, slots=True)
class BatchPrice:
    """A price with the discount for batches; what is cached is discounted as well."""

    online: Price

    def cost_usd(self, prompt_tokens: int, completion_tokens: int, *, cached_tokens: int = 0) -> float | None:
        """See `Price`."""
        usd = self.online.cost_usd(prompt_tokens, completion_tokens, cached_tokens=cached_tokens)
        return None if usd is None else SHARE * usd


def find_batch_price(
    model: str,
    base_url: str,
    overrides: Mapping[str, tuple[float, float]],
    batch_overrides: Mapping[str, tuple[float, float]],
) -> Price | None:
    """The price of `model` by batch. Both tables are USD per million (input, output) tokens; `overrides` are prices
    online, of which a batch costs half, `batch_overrides` what a batch costs."""
    if model in batch_overrides:
        return FixedPrice(*batch_overrides[model])
    online = find_price(model, base_url, overrides)
    return None if online is None else BatchPrice(online)
