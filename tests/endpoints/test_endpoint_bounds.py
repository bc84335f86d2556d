"""Replies that are made to exhaust the client: too long, compressed, lying, in strange charsets, with false counts.

Real: the `openai` client, HTTP, the scripted server. A double stands in for the stream where its parts are counted.
"""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from clair.endpoints.bounds import LARGEST_ERROR, LARGEST_REPLY, UnboundedReply, bound
from clair.endpoints.endpoint import Limits
from clair.endpoints.reply import parse_reply
from clair.errors import EndpointUnusable, RowFailure
from clair.records import Usage
from tests.endpoints.opened import first, open_endpoint, text_of
from tests.servers.chat import Fault, error

MIB = 2**20
ONCE = Limits(max_retries=0)


def completion(text: str = "fine", **more: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}], **more}).encode()


LONG = completion("x" * 50 * MIB)
BOMB = gzip.compress(completion("0" * 300 * MIB))


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault(body=LONG), "the reply is longer than 8 MiB"),
        (Fault(body=LONG, cut_after=20 * MIB), "the reply is longer than 8 MiB"),
        (Fault(body=b"[" * 9 * MIB), "the reply is longer than 8 MiB"),
        (Fault(body=BOMB, headers={"Content-Encoding": "gzip"}), "the reply is compressed ('gzip')"),
        (Fault(body=BOMB, headers={"Content-Encoding": "identity, GZIP"}), "the reply is compressed"),
        (Fault(body=b"x", headers={"Content-Encoding": "br"}), "the reply is compressed ('br')"),
    ],
    ids=["long", "long and cut", "brackets", "bomb", "bomb in disguise", "brotli"],
)
async def test_an_answer_without_bounds_ends_its_row_and_nothing_else(fault: Fault, says: str) -> None:
    """One that is too long was paid for and would come again: it is not asked for again."""
    async with open_endpoint(first(fault), limits=ONCE) as (endpoint, _):
        with pytest.raises(RowFailure) as caught:
            await text_of(endpoint)
        assert caught.value.reason == "malformed_body"
        assert caught.value.detail.startswith(says)
        assert await text_of(endpoint) == "ok"


async def test_an_answer_that_is_too_long_is_not_asked_for_again() -> None:
    async with open_endpoint(lambda _: Fault(body=LONG)) as (endpoint, server):
        with pytest.raises(RowFailure, match="longer than 8 MiB"):
            await text_of(endpoint)
        assert server.count == 1


@pytest.mark.parametrize(("status", "most"), [(200, LARGEST_REPLY), (500, LARGEST_ERROR)])
async def test_no_more_than_the_bound_is_held_of_an_endless_reply(status: int, most: int) -> None:
    endless = Endless()
    response = httpx2.Response(status, stream=endless)
    await bound(response)
    held = 0
    with contextlib.suppress(UnboundedReply):
        async for part in response.aiter_bytes():
            held += len(part)
    assert held == most
    assert endless.parts * len(Endless.PART) <= most + len(Endless.PART)


class Endless(httpx2.AsyncByteStream):
    PART = b"x" * 16_384

    def __init__(self) -> None:
        self.parts = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.parts += 1
            yield self.PART


async def test_an_answer_just_below_the_bound_is_read() -> None:
    body = completion("x" * (LARGEST_REPLY - 80))
    assert LARGEST_REPLY - 100 < len(body) <= LARGEST_REPLY
    async with open_endpoint(lambda _: Fault(body=body)) as (endpoint, _):
        assert len(await text_of(endpoint)) == LARGEST_REPLY - 80


async def test_compression_is_not_asked_for() -> None:
    async with open_endpoint(lambda _: "ok") as (endpoint, server):
        await text_of(endpoint)
        assert server.headers[0]["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500, body=b"x" * 20 * MIB),
        Fault(status=429, body=BOMB, headers={"Content-Encoding": "gzip", "Retry-After": "0"}),
        Fault(status=503, body=b"a-" + b"zz9" * 2 * MIB, headers={"Content-Type": "text/plain; charset=punycode"}),
        Fault(status=500, body=b"[" * LARGEST_ERROR),
        Fault(status=500, body=b"\xff\xfe\x00"),
    ],
    ids=["long", "bomb", "punycode", "deep", "not utf-8"],
)
async def test_an_error_is_judged_by_its_status_however_long_its_text_is(fault: Fault) -> None:
    async with open_endpoint(first(fault)) as (endpoint, server):
        assert await text_of(endpoint) == "ok"
        assert server.count == 2


async def test_the_text_of_a_long_error_is_cut() -> None:
    async with open_endpoint(lambda _: error(400, "long " * 50_000)) as (endpoint, _):
        with pytest.raises(RowFailure) as caught:
            await text_of(endpoint)
        assert len(caught.value.detail) <= 320


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices":[{"message":{"content":"\xff\xfe"},"finish_reason":"stop"}]}',
        b'{"choices":[{"message":{"content":"\\ud800"},"finish_reason":"stop"}]}',
        completion().replace(b"fine", b"\x00"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        completion(usage={"prompt_tokens": 1}).replace(b": 1}", b": " + b"9" * 10_000 + b"}"),
    ],
    ids=["not utf-8", "lone surrogate", "control", "deep list", "deep object", "long number"],
)
async def test_what_is_no_json_is_a_malformed_body(body: bytes) -> None:
    async with open_endpoint(lambda _: Fault(body=body), limits=ONCE) as (endpoint, _):
        with pytest.raises(RowFailure) as caught:
            await text_of(endpoint)
        assert caught.value.reason == "malformed_body"
        assert len(caught.value.detail) < 500


async def test_a_reply_that_is_not_http_is_told_in_one_line() -> None:
    strange = Fault(body=b"x", headers={"Transfer-Encoding": "chunked"})
    async with open_endpoint(lambda _: strange, limits=ONCE) as (endpoint, _):
        with pytest.raises(RowFailure, match="the reply is not HTTP") as caught:
            await text_of(endpoint)
        assert "\n" not in caught.value.detail


@pytest.mark.parametrize("wrong", [-5, 2**53, 10**30, "many", None, True, [], 1e300], ids=str)
def test_a_count_that_cannot_be_one_is_unknown_and_the_answer_is_kept(wrong: object) -> None:
    """A negative one would lower what the run has cost; one beyond 64 bits does not fit the ledger."""
    found = parse_reply(completion(usage={"prompt_tokens": wrong, "completion_tokens": 7.0}), _PerToken())
    assert (found.text, found.usage, found.cost_usd) == ("fine", Usage(None, 7), None)


@pytest.mark.parametrize("wrong", [-5, 10**30], ids=str)
def test_a_wrong_number_of_cached_tokens_gives_no_discount(wrong: int) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": wrong}}
    assert parse_reply(completion(usage=usage), _PerToken()).cost_usd == 5.0


class _PerToken:
    """A dollar per token, without discounts for more than was cached."""

    def cost_usd(self, prompt_tokens: int, completion_tokens: int, *, cached_tokens: int = 0) -> float:
        assert 0 <= cached_tokens <= prompt_tokens
        return float(prompt_tokens + completion_tokens)


async def test_a_models_list_without_bounds_stops_with_a_sentence() -> None:
    listed = Fault(body=b'{"data": [' + b'{"id": "m"},' * MIB + b'{"id": "m"}]}')
    with pytest.raises(EndpointUnusable, match="the reply is longer than 8 MiB"):
        async with open_endpoint(lambda _: "ok", models_fault=listed):
            pass
