"""The lines of the Batch API's files: one request each in what is uploaded, one answer or failure each in what comes
back. Pure.

The `custom_id` of a line is the content key of the question in hex: 64 characters, as long as servers allow. It alone
says which question a line answers; the order of lines says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from clair.endpoints.classify import Verdict, classify_status
from clair.records import Reason

URL = "/v1/chat/completions"
"""What every line asks for, and the batch as a whole: a name, not a path below the base URL."""

UNFINISHED: Mapping[str, Reason] = {"batch_expired": "timeout", "batch_cancelled": "timeout"}
"""Codes of lines that were never executed."""


class Answered(NamedTuple):
    """A line with status 200: the body of the reply as JSON, not looked into yet."""

    key: bytes
    raw: bytes


class Failed(NamedTuple):
    """A line without an answer, and what that means: try again, give the row up, or stop the run."""

    key: bytes
    verdict: Verdict


class _Response(BaseModel):
    status_code: int
    body: Any = None


class _Line(BaseModel):
    custom_id: str
    response: _Response | None = None
    error: dict[str, Any] | None = None


def request_line(key: bytes, body: Mapping[str, object]) -> bytes:
    """One line of an input file, with its line break."""
    line = {"custom_id": key.hex(), "method": "POST", "url": URL, "body": body}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def read_line(line: bytes) -> Answered | Failed | None:
    """What one line of an output or error file says; None if it cannot be read, or names no content key."""
    try:
        read = _Line.model_validate_json(line)
        key = bytes.fromhex(read.custom_id)
    except (ValidationError, ValueError):
        return None
    response = read.response
    if response is not None and response.status_code == 200 and read.error is None:
        return Answered(key, json.dumps(response.body, separators=(",", ":")).encode())
    return Failed(key, _verdict(read))


def refusal(status: int, body: object) -> Verdict:
    """What an error of a single request would mean online."""
    fields = body.get("error", body) if isinstance(body, Mapping) else body
    return classify_status(status, fields, {})


def _verdict(line: _Line) -> Verdict:
    error = line.error or {}
    reason = UNFINISHED.get(str(error.get("code")))
    if reason is not None:
        return Verdict("retry", reason, f"{error['code']}: {error.get('message') or 'it was not executed'}"[:300])
    if line.response is not None and 300 <= line.response.status_code < 600:
        return refusal(line.response.status_code, line.response.body)
    if error.get("code") or error.get("message"):
        # A failure outside of HTTP. The codes of OpenAI's error bodies mean the same here; others may pass.
        verdict = refusal(400, error)
        return verdict if verdict.reason != "bad_request" or verdict.action == "stop" else _passing(verdict.detail)
    return _passing(f"a line without an answer (status {line.response.status_code if line.response else 'missing'})")


def _passing(detail: str) -> Verdict:
    return Verdict("retry", "overloaded", detail.removeprefix("HTTP 400: "))
