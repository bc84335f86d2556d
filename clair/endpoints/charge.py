"""What one sending of a question costs, and who allows it.

    async def allow(): ...                          # an async context manager around each try; may wait, or refuse
    reply = await endpoint.complete(body, allow)

A question may be sent several times before it is answered, and a try without an answer may cost as much as one with.
So whoever keeps the money is asked before each try and told after it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import openai

from clair.endpoints.reply import ReportedError


@dataclass(slots=True)
class Charge:
    """What a try cost: `usd` is 0.0 until it is sent and if it was surely not charged, None if nobody knows.

    `answered` says whether it brought an answer.
    """

    usd: float | None = 0.0
    answered: bool = False


Allow = Callable[[], AbstractAsyncContextManager[Charge]]
"""Entered before each try of a question, left after it."""


@asynccontextmanager
async def free() -> AsyncIterator[Charge]:
    """For callers that keep no accounts."""
    yield Charge()


def is_uncharged(error: BaseException) -> bool:
    """Whether a failed try surely cost nothing: the server refused it with an error status, whether that came as one
    or in the body of a reply with status 200, or was never reached.

    A reply that breaks off, is no completion or comes too late is charged by most services: the model has worked.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, openai.APIStatusError | aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return True
        if isinstance(cause, ReportedError):
            return not cause.charged
        cause = cause.__cause__
    return False
