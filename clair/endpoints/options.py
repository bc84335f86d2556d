"""What a caller may say about requests: how the model samples, and how hard an endpoint may be pressed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters. None is not sent, so the server's own default holds.

    `seed` is sent as `seed + sample_index`, or equal questions would get equal answers.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard one endpoint may be pressed.

    `concurrency` requests in flight at most, from the start, fewer after replies with status 429; None finds
    the number itself, see `controller.py`. `rpm` and `tpm` are requests and tokens per minute. `timeout_s` is
    the time one request may take in all. `max_retries` bounds the retries of one question; `backoff_s` is the
    first wait and doubles. `breaker_s` without any success while requests fail ends the run.
    """

    concurrency: int | None = None
    rpm: float | None = None
    tpm: float | None = None
    timeout_s: float = 600.0
    max_retries: int = 6
    breaker_s: float = 120.0
    backoff_s: float = 1.0
