"""Prices. The price list is the real, installed one; no figure of it is repeated here, for they change."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clair.endpoints.pricing import FixedPrice, find_price, is_private, worst_cost_usd

OPENAI = "https://api.openai.com/v1"


def test_a_listed_model_has_a_price_that_grows_with_the_tokens() -> None:
    price = find_price("gpt-4o-mini", OPENAI, {})
    assert price is not None
    one, two = price.cost_usd(1000, 1000), price.cost_usd(2000, 2000)
    assert one is not None
    assert two == pytest.approx(2 * one)
    cached = price.cost_usd(1000, 1000, cached_tokens=1000)
    assert cached is not None
    assert 0 < cached < one


@pytest.mark.parametrize(
    ("model", "url"),
    [
        ("no-such-model", OPENAI),
        ("gpt-4o-mini", "http://localhost:8000/v1"),
        ("gpt-4o-mini", "https://llm.example.org/v1"),
        ("", OPENAI),
    ],
)
def test_an_unknown_price_is_none(model: str, url: str) -> None:
    assert find_price(model, url, {}) is None


def test_a_price_of_the_user_wins() -> None:
    assert find_price("gpt-4o-mini", OPENAI, {"gpt-4o-mini": (1.0, 2.0)}) == FixedPrice(1.0, 2.0)
    assert find_price("mine", "http://localhost/v1", {"mine": (0.0, 0.0)}) == FixedPrice(0.0, 0.0)
    assert FixedPrice(1.0, 2.0).cost_usd(1_000_000, 500_000) == 2.0


def test_the_worst_case_counts_a_token_for_each_byte() -> None:
    price = FixedPrice(1.0, 10.0)
    assert worst_cost_usd(price, prompt_bytes=100, messages=1, max_tokens=1000) == (132 * 1.0 + 1000 * 10.0) / 1e6
    assert worst_cost_usd(price, prompt_bytes=100, messages=1, max_tokens=None) is None
    assert worst_cost_usd(None, prompt_bytes=100, messages=1, max_tokens=1000) is None


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://localhost:1/v1", True),
        ("http://127.0.0.1/v1", True),
        ("http://10.1.2.3/v1", True),
        ("http://[::1]/v1", True),
        ("http://gpu-box/v1", True),
        ("http://gpu.local/v1", True),
        ("http://8.8.8.8/v1", False),
        ("https://api.openai.com/v1", False),
    ],
)
def test_hosts_that_no_price_list_knows(url: str, private: bool) -> None:
    assert is_private(url) is private


def test_the_price_list_is_not_loaded_for_local_servers() -> None:
    code = (
        "import sys; from clair.endpoints.pricing import find_price; find_price('m', 'http://localhost/v1', {});"
        "sys.exit('genai_prices' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
