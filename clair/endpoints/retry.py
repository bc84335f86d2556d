"""When a failed attempt is tried again, and after how long: the policy of the one retry layer."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from clair.endpoints.classify import Verdict
from clair.endpoints.options import Limits
from clair.records import Reason

_LONGEST_BACKOFF_S = 60.0
_DEARER: Mapping[Reason, int] = {"malformed_body": 2, "timeout": 2}
"""Retries of failures that were probably paid for, or took the whole deadline: fewer than of others."""
_RATE_LIMITED_FACTOR = 5
"""A 429 costs nothing and says nothing about the question: so many times more of them are borne."""
UNSURE: frozenset[Reason] = frozenset({"bad_request", "content_filter"})
"""Refusals (400, 403) that are tried again to find out whether the question is meant or all of them."""
_WHILE_UNSURE = 4
"""Retries of these: until the breaker of a server that has answered nobody gives it up, however few retries of other
failures are allowed."""


class AttemptFailed(Exception):
    """One attempt failed. Stays between the retry layer and its caller. `moves`: the next one follows at once."""

    def __init__(self, verdict: Verdict, *, moves: bool = False) -> None:
        super().__init__(verdict.detail)
        self.verdict = verdict
        self.moves = moves


class Attempts(Counter[Reason]):
    """How often one question has failed so far, by reason. The called function counts, the policy reads.

    `failed_at` are the numbers of the servers where it did, also where that was the server's failure and not counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failed_at: set[int] = set()


def retrying(limits: Limits, *, sleep: Callable[[float], Awaitable[None]]) -> AsyncRetrying:
    """The policy as a tenacity object; call a copy of it with a function whose last argument is an
    `Attempts`. `sleep` waits between two attempts.

    Each reason has its own bound, so a question that fails in the same way again and again ends soon.
    """

    def is_enough(state: RetryCallState) -> bool:
        attempts: Attempts = state.args[-1]
        return any(count > _allowed(reason, limits.max_retries) for reason, count in attempts.items())

    def wait_s(state: RetryCallState) -> float:
        assert state.outcome is not None
        failed = state.outcome.exception()
        assert isinstance(failed, AttemptFailed)
        if failed.moves:
            return 0.0
        attempts: Attempts = state.args[-1]
        return _wait_s(attempts.total(), failed.verdict.retry_after_s, limits.backoff_s)

    return AsyncRetrying(
        retry=retry_if_exception(lambda e: isinstance(e, AttemptFailed) and e.verdict.action == "retry"),
        sleep=sleep,
        stop=is_enough,
        wait=wait_s,
        reraise=True,
    )


def _allowed(reason: Reason, max_retries: int) -> int:
    if reason == "rate_limited":
        return _RATE_LIMITED_FACTOR * max_retries
    if reason in UNSURE:
        return _WHILE_UNSURE
    return min(max_retries, _DEARER.get(reason, max_retries))


def _wait_s(failures: int, asked_s: float | None, first_s: float) -> float:
    # Jitter, or requests that failed together come back together. No secret: no secure generator needed.
    if asked_s is not None:
        return asked_s * random.uniform(1.0, 1.1) + random.uniform(0.0, first_s)  # noqa: S311
    return min(_LONGEST_BACKOFF_S, first_s * 2.0 ** min(failures - 1, 16)) * random.uniform(0.5, 1.0)  # noqa: S311
