"""Lines of the Batch API's files: what is written, what is read, and what a failure means. Pure; nothing is doubled."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.endpoints.batch_lines import Answered, Failed, read_line, request_line

KEY = bytes(range(32))
BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)


def line(**fields: Any) -> bytes:
    return json.dumps({"id": "x", "custom_id": KEY.hex(), "response": None, "error": None, **fields}).encode()


def status(number: int, **error: Any) -> bytes:
    return line(response={"status_code": number, "request_id": "x", "body": {"error": {"message": "m", **error}}})


def test_a_request_is_one_line_named_by_its_content_key():
    written = request_line(KEY, {"model": "m", "messages": [{"role": "user", "content": "two\nlines \u2028"}]})
    assert written.count(b"\n") == 1
    assert json.loads(written) == {
        "custom_id": "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "m", "messages": [{"role": "user", "content": "two\nlines \u2028"}]},
    }


@given(BODIES)
def test_the_body_of_an_answer_comes_back_as_it_was(body: Any):
    read = read_line(line(response={"status_code": 200, "request_id": "x", "body": body}))
    assert isinstance(read, Answered)
    assert (read.key, json.loads(read.raw)) == (KEY, body)


@pytest.mark.parametrize(
    ("written", "action", "reason"),
    [
        (status(400, code="content_filter"), "row", "content_filter"),
        (status(400, code="context_length_exceeded"), "row", "context_too_long"),
        (status(400, type="invalid_request_error"), "row", "bad_request"),
        (status(429), "retry", "rate_limited"),
        (status(500), "retry", "overloaded"),
        (status(429, code="insufficient_quota"), "stop", "rate_limited"),
        (status(401, code="invalid_api_key"), "stop", "bad_request"),
        (status(0), "retry", "overloaded"),
        (line(response={"status_code": 0, "body": None}), "retry", "overloaded"),
        (line(error={"code": "batch_expired", "message": "m"}), "retry", "timeout"),
        (line(error={"code": "server_error", "message": "m"}), "retry", "overloaded"),
        (line(error={"code": "content_filter", "message": "m"}), "row", "content_filter"),
        (line(error={"code": "insufficient_quota", "message": "m"}), "stop", "bad_request"),
        (line(), "retry", "overloaded"),
    ],
)
def test_a_line_without_an_answer_means_what_the_same_failure_means_online(written: bytes, action: str, reason: str):
    read = read_line(written)
    assert isinstance(read, Failed)
    assert (read.key, read.verdict.action, read.verdict.reason) == (KEY, action, reason)


@pytest.mark.parametrize(
    "written",
    [b"", b"null", b"[]", b'{"custom_id": 3}', b'{"custom_id": "not hex", "response": null}', line()[:-5], b"\xff{}"],
)
def test_what_cannot_be_read_says_nothing(written: bytes):
    assert read_line(written) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_passed_over(written: bytes):
    assert read_line(written) is None
