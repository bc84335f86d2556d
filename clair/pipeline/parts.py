"""The models that a run asks, opened and probed: target, reviser and judge, those of them that the recipe needs."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack

import httpx

from clair.endpoints.endpoint import Endpoint, Limits, Sampling
from clair.endpoints.spec import parse_spec
from clair.errors import UsageError
from clair.records import Part
from clair.settings import SANDBOX, GenerateSettings

SANDBOX_MODELS: dict[Part, str] = {
    "target": "sandbox-student",
    "reviser": "sandbox-teacher",
    "judge": "sandbox-teacher",
}


async def open_parts(settings: GenerateSettings, stack: AsyncExitStack) -> dict[Part, Endpoint]:
    """Every endpoint that the run asks, each probed; all are closed when `stack` closes.

    A judge that is the reviser shares its connections and limits.

    Raises EndpointUnusable if a probe fails, UsageError if `max_cost` is set for a model without prices.
    """
    parts = specs_of(settings)
    transport = _sandbox_transport(settings) if SANDBOX in parts.values() else None
    endpoints: dict[Part, Endpoint] = {}
    for part, text in parts.items():
        if part == "judge" and settings.judge is None and "reviser" in endpoints:
            endpoint = endpoints["reviser"].sampled_with(sampling_of(part, settings))
        else:
            endpoint = await _open(part, text, settings, transport if text == SANDBOX else None)
            stack.push_async_callback(endpoint.aclose)
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


def key_env_of(part: Part, settings: GenerateSettings) -> str:
    """The environment variable with the key of one part."""
    if part == "target":
        return settings.target_key_env
    return settings.judge_key_env if part == "judge" and settings.judge else settings.reviser_key_env


async def _open(
    part: Part, text: str, settings: GenerateSettings, transport: httpx.AsyncBaseTransport | None
) -> Endpoint:
    key_env = key_env_of(part, settings)
    return await Endpoint.connect(
        parse_spec(text, env=os.environ, key_env=key_env, sandbox_model=SANDBOX_MODELS[part]),
        sampling=sampling_of(part, settings),
        limits=limits_of(settings),
        prices={**settings.prices, **dict.fromkeys(SANDBOX_MODELS.values(), (0.0, 0.0))}
        if transport
        else settings.prices,
        transport=transport,
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
