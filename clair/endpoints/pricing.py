"""What a request costs: prices from `genai-prices`, or set by the user. Unknown is None, never 0.

The price list is the snapshot inside the installed package; nothing is fetched. It takes half a second to
load, so it is loaded only for public hosts and only when an endpoint is opened.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider


class Price(Protocol):
    """The price of one model."""

    def cost_usd(self, prompt_tokens: int, completion_tokens: int, *, cached_tokens: int = 0) -> float | None:
        """USD for one request; `cached_tokens` are the part of `prompt_tokens` that the server had cached."""


@dataclass(frozen=True, slots=True)
class FixedPrice:
    """A price that the user set, in USD per million tokens. Cached tokens cost as much as others."""

    input_usd_per_mtok: float
    output_usd_per_mtok: float

    def cost_usd(self, prompt_tokens: int, completion_tokens: int, *, cached_tokens: int = 0) -> float:
        """See `Price`."""
        del cached_tokens
        return (prompt_tokens * self.input_usd_per_mtok + completion_tokens * self.output_usd_per_mtok) / 1e6


@dataclass(frozen=True, slots=True)
class ListPrice:
    """A price from the list, with its tiers and cached-token discounts, as of now."""

    provider: Provider
    model: ModelInfo

    def cost_usd(self, prompt_tokens: int, completion_tokens: int, *, cached_tokens: int = 0) -> float | None:
        """See `Price`. None where the list has the model but no price for it (it then sums up to zero)."""
        from genai_prices import Usage

        usage = Usage(
            input_tokens=prompt_tokens,
            output_tokens=completion_tokens,
            cache_read_tokens=min(cached_tokens, prompt_tokens),
        )
        try:
            total = float(self.model.calc_price(usage, self.provider).total_price)
        except (LookupError, ValueError):
            return None
        return total if total > 0 or prompt_tokens + completion_tokens == 0 else None


def find_price(model: str, base_url: str, overrides: Mapping[str, tuple[float, float]]) -> Price | None:
    """The price of `model` at `base_url`. `overrides`: model -> USD per million (input, output) tokens."""
    if model in overrides:
        return FixedPrice(*overrides[model])
    if is_private(base_url):
        return None
    from genai_prices.data_snapshot import get_snapshot

    try:
        provider, listed = get_snapshot().find_provider_model(model, None, None, base_url)
    except LookupError:
        return None
    return ListPrice(provider, listed)


def is_private(base_url: str) -> bool:
    """Whether the URL names this machine or its own network, which no price list knows."""
    host = urlsplit(base_url).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal", ".lan"))


def worst_cost_usd(price: Price | None, *, prompt_bytes: int, messages: int, max_tokens: int | None) -> float | None:
    """An upper bound of a request's cost, or None if there is none.

    A token is at least one byte of the prompt; a chat template adds a few tokens to each message (16 is
    generous).
    """
    if price is None or (max_tokens is None and price.cost_usd(0, 1_000_000) != 0.0):
        return None
    return price.cost_usd(prompt_bytes + 16 * (messages + 1), max_tokens or 0)
