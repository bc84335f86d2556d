"""What a failed request means: try it again, turn the row away, or stop the run.

Decided by the class of the exception, the status code and the structured fields of OpenAI's error body
(`code`, `type`, `param`), never by the words of a message. Pure, except that HTTP dates in `Retry-After` are
compared with the clock if the reply bears no date of its own.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import aiohttp
import httpx2
import openai

from clair.endpoints.bounds import UnboundedReply
from clair.endpoints.reply import MalformedBody, ReportedError
from clair.records import Reason

_TOO_LONG = frozenset({"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"})
_FILTERED = frozenset({"content_filter", "content_policy_violation", "moderation_blocked"})
_NO_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_BAD_OPTION = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})
_NO_SUCH_OPTION = frozenset({"unsupported_parameter", "unknown_parameter"})
_NO_MODEL = frozenset({"model_not_found", "invalid_model"})
_ALL_ALIKE = _NO_QUOTA | _BAD_OPTION | _NO_MODEL  # whatever is asked

_SHOWN = 300
_TRUST = "Certificates are always checked; one of your own authority is trusted if SSL_CERT_FILE names that authority's"

LONGEST_RETRY_AFTER_S = 600.0
"""A server that asks for a longer wait ends the run, which can be resumed then."""

FAILURES = (openai.APIError, aiohttp.ClientError, MalformedBody, UnboundedReply, TimeoutError, asyncio.TimeoutError)
"""Every exception that `classify` understands. Others are mistakes in this program and must surface."""


Longest = Literal["max_tokens", "max_completion_tokens"]
"""Names of the limit on an answer's length. Which one a server takes depends on the model behind it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do: "retry" and "row" come with the reason that the row gets if it ends here. "forbidden" means the row
    or the run, and how others fare says which.

    `refused` is the name of the answer's limit, if the server refused the request for that name.
    """

    action: Literal["retry", "row", "stop", "forbidden"]
    reason: Reason
    detail: str
    retry_after_s: float | None = None
    refused: Longest | None = None


def classify(error: Exception) -> Verdict:
    """The verdict on one of `FAILURES`."""
    if isinstance(error, openai.APIStatusError):
        return classify_status(error.status_code, error.body, error.response.headers)
    if isinstance(error, ReportedError):
        return classify_status(error.status, error.fields, {})
    if isinstance(error, MalformedBody):
        return Verdict("retry", "malformed_body", str(error))
    if isinstance(error, UnboundedReply):
        return Verdict("row", "malformed_body", str(error))  # it was paid for, and would come again
    return _transport(error)


def _transport(error: Exception) -> Verdict:
    chain = list(_causes(error))
    # The aiohttp transport reports a dropped connection as a connect timeout: ask the exception below it.
    dropped = any(isinstance(e, aiohttp.ClientConnectionError) and not _is_timeout(e) for e in chain)
    words = " ".join(str(chain[-1]).split())[:_SHOWN]
    what = f"{type(chain[-1]).__name__}: {words}".rstrip(": ")
    if any(isinstance(e, aiohttp.ClientSSLError) for e in chain):
        return Verdict("stop", "connection", f"the TLS connection is not trusted or failed ({what}). {_TRUST}")
    if any(isinstance(e, aiohttp.ClientPayloadError | httpx2.DecodingError) for e in chain):
        return Verdict("retry", "malformed_body", f"the reply broke off ({what})")
    if not dropped and any(_is_timeout(e) for e in chain):
        return Verdict("retry", "timeout", "no answer in time")
    if isinstance(error, openai.APIConnectionError) or dropped:
        return Verdict("retry", "connection", what)
    return Verdict("retry", "malformed_body", f"the reply is not HTTP ({what})")


def classify_status(status: int, body: object, headers: Mapping[str, str]) -> Verdict:
    """The verdict on an error status. `body` holds the fields of the error, if it has any."""
    fields = _mapping(body)
    codes = {str(fields.get("code")), str(fields.get("type"))}
    detail = f"HTTP {status}: {error_text(body)}"
    if status == 429:
        return _rate_limited(headers, codes, detail)
    if status == 408:
        return Verdict("retry", "timeout", detail)
    if status in (409, 425) or status >= 500:
        wait_s = retry_after_s(headers)
        return Verdict("retry", "overloaded", detail, wait_s and min(wait_s, LONGEST_RETRY_AFTER_S))
    if status < 400:
        return Verdict("stop", "bad_request", _redirect(status, headers))
    if codes & _TOO_LONG or status == 413 or fields.get("param") == "input_tokens":
        return Verdict("row", "context_too_long", detail)
    if codes & _FILTERED or "flagged_input" in _mapping(fields.get("metadata")):
        return Verdict("row", "content_filter", detail)
    if status == 403 and not codes & _ALL_ALIKE:
        return Verdict("forbidden", "content_filter", detail)
    if status in (401, 402, 404, 405) or codes & _ALL_ALIKE:
        refused = _refused(fields) if codes & _NO_SUCH_OPTION else None
        return Verdict("stop", "bad_request", detail + _advice(status, codes, body), refused=refused)
    return Verdict("row", "bad_request", detail)


def _rate_limited(headers: Mapping[str, str], codes: set[str], detail: str) -> Verdict:
    if codes & _NO_QUOTA:
        return Verdict("stop", "rate_limited", f"{detail}. The account has no quota left; add credit, then resume")
    wait_s = retry_after_s(headers)
    if wait_s is not None and wait_s > LONGEST_RETRY_AFTER_S:
        return Verdict("stop", "rate_limited", f"{detail}. The server asks to wait {wait_s:.0f} s; resume then")
    return Verdict("retry", "rate_limited", detail, wait_s)


def _refused(fields: Mapping[str, Any]) -> Longest | None:
    return next((name for name in get_args(Longest) if name == fields.get("param")), None)


def _advice(status: int, codes: set[str], body: object) -> str:
    if status in (401, 403):
        return ". Check the API key"
    if status == 402:
        return ". The account has no credit left; add some, then resume"
    if codes & _BAD_OPTION:
        return ". Every request would be refused: change that option"
    if status in (404, 405) and not (codes & _NO_MODEL) and not _mapping(body).get("message"):
        return ". There is no /chat/completions below this base URL; most base URLs end in /v1"
    return ""


def error_text(body: object) -> str:
    """The message in an error's body, at most `_SHOWN` characters."""
    fields = _mapping(body)
    message = fields.get("message") or fields.get("detail") or body or "no message"
    return " ".join(str(message).split())[:_SHOWN]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: `Retry-After` in both forms of RFC 9110, or OpenAI's `retry-after-ms`."""
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _seconds(value)
    if seconds is not None or value is None:
        return seconds
    until = _date(value)
    if until is None:
        return None
    now = _date(headers.get("date", "")) or datetime.fromtimestamp(time.time(), timezone.utc)
    return max(0.0, (until - now).total_seconds())


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)


def _redirect(status: int, headers: Mapping[str, str]) -> str:
    parts = urlsplit(headers.get("location", ""))
    path = parts.path.removesuffix("/chat/completions").removesuffix("/models")
    target = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}" if parts.hostname else ""
    return f"HTTP {status}: redirected to {(target + path) or 'nowhere'}. Give the base URL where it leads"


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__


def _is_timeout(error: BaseException) -> bool:
    kinds = (TimeoutError, asyncio.TimeoutError, openai.APITimeoutError, httpx2.TimeoutException)
    return isinstance(error, kinds)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
