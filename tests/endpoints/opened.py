"""An endpoint in front of a scripted server, over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from clair.endpoints.endpoint import Endpoint, Limits, Sampling
from clair.endpoints.spec import parse_spec
from clair.records import Message
from tests.servers.chat import Answer, ChatServer, Fault, Reply

ASK: tuple[Message, ...] = ({"role": "user", "content": "hi"},)
KEY = "sk-secret-4711"
QUICK = Limits(backoff_s=0.01, timeout_s=20.0)


@asynccontextmanager
async def open_endpoint(
    answer: Answer, *, limits: Limits = QUICK, sampling: Sampling | None = None, **server_options: Any
) -> AsyncIterator[tuple[Endpoint, ChatServer]]:
    with ChatServer(answer, **server_options) as server:
        spec = parse_spec(f"m@{server.base_url}", env={})
        endpoint = await Endpoint.connect(
            spec, limits=limits, sampling=sampling, prices={"m": (1.0, 2.0)}, env={"OPENAI_API_KEY": KEY}
        )
        try:
            yield endpoint, server
        finally:
            await endpoint.aclose()


def first(*faults: Fault | Reply) -> Answer:
    """Each fault once, in order; then "ok"."""
    left = list(faults)
    return lambda _: left.pop(0) if left else "ok"


async def text_of(endpoint: Endpoint) -> str:
    return (await endpoint.complete(endpoint.body(ASK, 0))).completion.text
