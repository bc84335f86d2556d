"""The models that a run asks, opened and probed: target, reviser and judge, those of them that the recipe needs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AsyncExitStack

import httpx

from clair.endpoints.batch_pricing import find_batch_price
from clair.endpoints.endpoint import Endpoint, Limits, Sampling
from clair.endpoints.pricing import Price, find_price
from clair.endpoints.spec import EndpointSpec, parse_spec
from clair.errors import UsageError
from clair.records import Part
from clair.settings import SANDBOX, GenerateSettings

SANDBOX_MODELS: dict[Part, str] = {
    "target": "sandbox-student",
    "reviser": "sandbox-teacher",
    "judge": "sandbox-teacher",
}


async def open_parts(
    settings: GenerateSettings, stack: AsyncExitStack, *, env: Mapping[str, str] = os.environ
) -> dict[Part, Endpoint]:
    """Every endpoint that the run asks, each probed; all are closed when `stack` closes.

    A judge that is the reviser shares its connections and limits. Keys are taken from `env`.

    Raises EndpointUnusable if a probe fails, UsageError if `max_cost` is set for a model without prices.
    """
    parts = specs_of(settings)
    transport = _sandbox_transport(settings) if SANDBOX in parts.values() else None
    endpoints: dict[Part, Endpoint] = {}
    for part, text in parts.items():
        if part == "judge" and settings.judge is None and "reviser" in endpoints:
            endpoint = endpoints["reviser"].sampled_with(sampling_of(part, settings))
        else:
            endpoint = await _open(part, text, settings, env, transport if text == SANDBOX else None)
            stack.push_async_callback(endpoint.aclose)
        if settings.by_batch and text != SANDBOX:
            endpoint.price = price_of(part, endpoint.model, settings)
        endpoints[part] = endpoint
        if settings.max_cost is not None:
            check_priced(endpoint, settings.max_cost)
    return endpoints


def specs_of(settings: GenerateSettings) -> dict[Part, str]:
    """The models that the run asks, as they were named."""
    named: dict[Part, str | None] = {
        "target": settings.target,
        "reviser": settings.reviser,
        "judge": settings.judge_spec,
    }
    return {part: text for part, text in named.items() if part in settings.asked and text is not None}


def environment_of(settings: GenerateSettings, env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the endpoints of this run read of the environment, API keys among it: not for logs, files or messages."""
    names = {"OPENAI_BASE_URL", *(key_env_of(part, settings) for part in specs_of(settings))}
    return {name: env[name] for name in names if name in env}


def key_env_of(part: Part, settings: GenerateSettings) -> str:
    """The environment variable with the key of one part."""
    if part == "target":
        return settings.target_key_env
    return settings.judge_key_env if part == "judge" and settings.judge else settings.reviser_key_env


def spec_of(part: Part, settings: GenerateSettings) -> EndpointSpec:
    """The model of one part and where it is served. Raises UsageError."""
    return parse_spec(
        specs_of(settings)[part],
        env=os.environ,
        key_env=key_env_of(part, settings),
        sandbox_model=SANDBOX_MODELS.get(part),
    )


def price_of(part: Part, model: str, settings: GenerateSettings) -> Price | None:
    """What `model` costs in this part, by batch or online; None if unknown."""
    url = spec_of(part, settings).base_urls[0]
    if part in settings.by_batch:
        return find_batch_price(model, url, settings.prices, settings.batch_prices)
    return find_price(model, url, settings.prices)


async def _open(
    part: Part,
    text: str,
    settings: GenerateSettings,
    env: Mapping[str, str],
    transport: httpx.AsyncBaseTransport | None,
) -> Endpoint:
    key_env = key_env_of(part, settings)
    return await Endpoint.connect(
        parse_spec(text, env=env, key_env=key_env, sandbox_model=SANDBOX_MODELS[part]),
        sampling=sampling_of(part, settings),
        limits=limits_of(settings),
        prices={**settings.prices, **dict.fromkeys(SANDBOX_MODELS.values(), (0.0, 0.0))}
        if transport
        else settings.prices,
        transport=transport,
        env=env,
    )


def sampling_of(part: Part, settings: GenerateSettings) -> Sampling:
    """The sampling parameters of one part; None is not sent, so the server's own default holds."""
    if part == "target":
        return Sampling(
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=settings.max_tokens,
            seed=settings.seed,
        )
    if part == "judge":
        return Sampling(
            temperature=settings.judge_temperature, max_tokens=settings.judge_max_tokens, seed=settings.seed
        )
    return Sampling(
        temperature=settings.reviser_temperature, max_tokens=settings.reviser_max_tokens, seed=settings.seed
    )


def limits_of(settings: GenerateSettings) -> Limits:
    """How hard an endpoint may be pressed."""
    return Limits(
        concurrency=settings.concurrency,
        rpm=settings.rpm,
        tpm=settings.tpm,
        timeout_s=settings.timeout_s,
        max_retries=settings.max_retries,
        breaker_s=settings.breaker_s,
    )


def _sandbox_transport(settings: GenerateSettings) -> httpx.AsyncBaseTransport:
    from clair.sandbox.transport import SandboxTransport

    return SandboxTransport(faults=settings.sandbox_faults, seed=settings.seed or 0)


def check_priced(endpoint: Endpoint, max_cost: float) -> None:
    """Raise UsageError if the budget could not be kept, because nobody knows what this model costs."""
    question = endpoint.body(({"role": "user", "content": "?"},), 0)
    if endpoint.worst_cost_usd(question) is None:
        raise UsageError(
            f"--max-cost {max_cost} cannot be kept: the largest cost of a request to {endpoint.model!r} is "
            "unknown. Set max_tokens, and in a --config file prices: "
            f"{{{endpoint.model}: [USD per million input tokens, USD per million output tokens]}}"
        )
