"""What an error of the Hub means and what to do about it, in a sentence.

    failure = explain(error, repo="me/pairs", token="...", token_env="HF_TOKEN")
    failure.message, failure.action, failure.wait_s

Decided by the class of the exception and the status. `huggingface_hub` itself has repeated most requests by then; what
it does not repeat (creating a repository, a commit) is worth "again".
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple

import httpx2
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RevisionNotFoundError

FAILURES = (httpx2.HTTPError, OSError, RuntimeError, ValueError)
"""What calls of `huggingface_hub` raise: its own errors, those of its transport, of an upload, of a refused card."""

TOKENS_PAGE = "https://huggingface.co/settings/tokens"
RESUME = "The same command goes on where this one stopped: files that arrived are not sent again."
BUSY_WAIT_S = 3.0
LONGEST_WAIT_S = 300.0
LONGEST_MESSAGE = 300


class Failure(NamedTuple):
    """ "conflict": somebody else committed, so read again what is there. "again": it may work after `wait_s`."""

    action: Literal["stop", "conflict", "again"]
    message: str
    wait_s: float = 0.0


def explain(error: Exception, *, repo: str, token: str, token_env: str) -> Failure:
    """The meaning of one of `FAILURES`. The message may quote the server, never the token."""
    if isinstance(error, json.JSONDecodeError):
        return Failure("again", f"the Hub gives answers that are no JSON. {RESUME}", BUSY_WAIT_S)
    if isinstance(error, ValueError):
        return Failure("stop", f"the Hub refused: {_short(str(error), token)}.")
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, HfHubHTTPError):
            return _status(cause, repo, token, token_env)
        if isinstance(cause, OfflineModeIsEnabled):
            return Failure("stop", "HF_HUB_OFFLINE is set, so the Hub is not asked. Unset it to publish.")
        if isinstance(cause, httpx2.HTTPStatusError):
            return _status(cause, repo, token, token_env)
    for cause in chain:
        if isinstance(cause, httpx2.HTTPError | ConnectionError | TimeoutError):
            return Failure("stop", f"the connection to the Hub failed ({_named(cause, token)}). {RESUME}")
    return Failure("stop", f"the upload broke off ({_named(chain[-1], token)}). {RESUME}")


def _status(error: HfHubHTTPError | httpx2.HTTPStatusError, repo: str, token: str, token_env: str) -> Failure:
    status = error.response.status_code
    said = f"HTTP {status}: {_said(error, token)}"
    if isinstance(error, RevisionNotFoundError):
        return Failure("stop", f"{repo} has no such branch ({said}). Leave --revision out for main.")
    if status in (409, 412):
        return Failure("conflict", f"somebody else keeps changing {repo} ({said}). Publish again when they are done.")
    if status == 429:
        wait_s = retry_after_s(error.response.headers)
        wait_s = BUSY_WAIT_S if wait_s is None else wait_s
        action: Literal["stop", "again"] = "again" if wait_s <= LONGEST_WAIT_S else "stop"
        return Failure(action, f"the Hub is asked too often ({said}). Wait {math.ceil(wait_s)} s. {RESUME}", wait_s)
    if status >= 500:
        return Failure("again", f"the Hub has trouble ({said}). {RESUME}", BUSY_WAIT_S)
    advice = _ADVICE.get(status, "").format(repo=repo, owner=repo.partition("/")[0], token_env=token_env)
    return Failure("stop", f"the Hub refused to publish to {repo} ({said}).{advice}")


_ADVICE = {
    401: f" It does not accept the token: make one that may write at {TOKENS_PAGE} and set {{token_env}} to it.",
    403: f" Set {{token_env}} to one that may write to {{owner}} ({TOKENS_PAGE}), or try --create-pr.",
    404: " Check that {owner} is a user or an organization, and that the token in {token_env} may see {repo}.",
}


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: `Retry-After` in both forms of RFC 9110, a date compared with the reply's own date."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    until, now = _date(value), _date(headers.get("date", ""))
    if until is None:
        return None
    return max(0.0, (until - (now or datetime.now(timezone.utc))).total_seconds())


def _date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)


def _said(error: HfHubHTTPError | httpx2.HTTPStatusError, token: str) -> str:
    message = error.server_message if isinstance(error, HfHubHTTPError) else None
    return _short(message or error.response.reason_phrase or "no message", token)


def _named(error: BaseException, token: str) -> str:
    return f"{type(error).__name__}: {_short(str(error), token)}".rstrip(": ")


def _short(text: str, token: str) -> str:
    # Hidden before the text is cut: part of a token is a secret too.
    flat = " ".join(text.replace(token, "***").split())
    return (flat if len(flat) <= LONGEST_MESSAGE else flat[:LONGEST_MESSAGE] + "…").rstrip(".")


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__
