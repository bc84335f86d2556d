"""Exact scores on the sandbox's problems, for a model folder, the bundled student, or an endpoint."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clair.records import Message
    from clair.sandbox.problems import Split
    from clair.sandbox.scoring import Answerer

MAX_TOKENS = 256  # the longest right answer has well under half of it


def evaluate(
    model: str, baseline: str | None = None, *, split: Split = "test", n: int = 400, seed: int = 0
) -> dict[str, Any]:
    """Score `model`, and `baseline` on the same problems; see `sandbox.scoring.evaluate` for what comes back.

    A model is a folder, a hub id, "sandbox", or an endpoint (MODEL@URL or URL). Raises UsageError, EndpointUnusable.
    """
    from clair.sandbox import scoring

    return scoring.evaluate(
        _answerer(model), None if baseline is None else _answerer(baseline), split=split, n=n, seed=seed
    )


def _answerer(model: str) -> str | Answerer:
    is_endpoint = not Path(model).exists() and (model.startswith(("http://", "https://")) or "@http" in model)
    return _served(model) if is_endpoint else model


def _served(spec: str) -> Answerer:
    from clair.api import run_async

    def answer(conversations: Sequence[Sequence[Message]], temperature: float, seed: int) -> Sequence[str]:
        return run_async(_ask_all(spec, conversations, temperature, seed))

    return answer


async def _ask_all(spec: str, conversations: Sequence[Sequence[Message]], temperature: float, seed: int) -> list[str]:
    from clair.endpoints.endpoint import Endpoint, Sampling
    from clair.endpoints.spec import parse_spec

    endpoint = await Endpoint.connect(
        parse_spec(spec, env=os.environ),
        sampling=Sampling(temperature=temperature, max_tokens=MAX_TOKENS, seed=seed),
    )
    try:
        bodies = [endpoint.body(messages, index) for index, messages in enumerate(conversations)]
        replies = await asyncio.gather(*(endpoint.complete(body) for body in bodies))
    finally:
        await endpoint.aclose()
    return [reply.completion.text for reply in replies]
