"""What a refusal (400, 403) is to: its question, or the server that would refuse all. Real client, server and HTTP."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from clair.endpoints.endpoint import Endpoint, Limits
from clair.errors import EndpointUnusable, RowFailure
from tests.endpoints.opened import open_endpoint
from tests.servers.chat import Fault, Reply, error


def blocked(body: dict[str, Any]) -> Fault | str:
    """A router's guardrail."""
    content = body["messages"][0]["content"]
    return error(403, f"{content} is blocked") if content.startswith("bad") else "ok"


async def ended(endpoint: Endpoint, content: str) -> str:
    """The answer's text, or with which reason the row ended."""
    try:
        return (await endpoint.complete(endpoint.body(({"role": "user", "content": content},), 0))).completion.text
    except RowFailure as failure:
        return f"{failure.reason}: {failure.detail}"


async def test_a_prompt_that_a_server_will_not_have_ends_its_row_once_others_were_answered() -> None:
    async with open_endpoint(blocked, limits=Limits(backoff_s=0.05, max_retries=0)) as (endpoint, server):
        found = await asyncio.gather(*[ended(endpoint, name) for name in ("bad 1", "bad 2", "a", "b")])
        assert (
            found
            == ["content_filter: HTTP 403: bad 1 is blocked", "content_filter: HTTP 403: bad 2 is blocked"] + ["ok"] * 2
        )
        asked = server.count
        assert await ended(endpoint, "c") == "ok"
        assert await ended(endpoint, "bad 3") == "content_filter: HTTP 403: bad 3 is blocked"
        assert server.count == asked + 2  # it is not asked twice


@pytest.mark.parametrize("status", [400, 403])
async def test_the_first_questions_of_a_run_may_all_be_bad(status: int) -> None:
    """A new server is sent one at a time, so nothing else is on the wire when the first ones are refused."""

    def answer(body: dict[str, Any]) -> Fault | str:
        return error(status) if body["messages"][0]["content"].startswith("bad") else "ok"

    names = [f"bad {number}" for number in range(5)] + [str(number) for number in range(20)]
    async with open_endpoint(answer) as (endpoint, _):
        found = await asyncio.gather(*[ended(endpoint, name) for name in names])
    assert [end == "ok" for end in found] == [False] * 5 + [True] * 20


async def test_a_server_that_refuses_some_at_once_and_answers_slowly_goes_on() -> None:
    """Six of 28 questions are blocked; they have had all their tries long before the first answer."""

    def answer(body: dict[str, Any]) -> Fault | Reply | str:
        said = blocked(body)
        return Reply("ok", latency_s=0.6) if said == "ok" else said

    names = [f"bad {number}" if number % 5 == 2 else str(number) for number in range(28)]
    async with open_endpoint(answer, limits=Limits(backoff_s=0.01)) as (endpoint, _):
        found = await asyncio.gather(*[ended(endpoint, name) for name in names])
    assert found == [
        f"content_filter: HTTP 403: {name} is blocked" if name.startswith("bad") else "ok" for name in names
    ]


@pytest.mark.parametrize("questions", [1, 3, 40])
async def test_a_server_that_will_not_have_anything_stops_the_run_and_ends_no_row(questions: int) -> None:
    limits = Limits(concurrency=8, backoff_s=0.01, max_retries=0)
    async with open_endpoint(lambda _: error(403, "no access"), limits=limits) as (endpoint, server):
        found = await asyncio.gather(
            *[ended(endpoint, str(number)) for number in range(questions)], return_exceptions=True
        )
        assert {type(end) for end in found} == {EndpointUnusable}
        assert re.search(
            r"the last \d+ requests were all refused; .*HTTP 403: no access. Check the API key", str(found[0])
        )
        assert server.count <= 5 + 8 + questions


async def test_a_request_that_is_bad_ends_its_row_once_others_were_accepted() -> None:
    def answer(body: dict[str, Any]) -> Fault | str:
        return error(400, "bad role") if body["messages"][0]["content"].startswith("bad") else "ok"

    async with open_endpoint(answer, limits=Limits(backoff_s=0.01, max_retries=0)) as (endpoint, server):
        found = await asyncio.gather(*[ended(endpoint, name) for name in ("bad 1", "bad 2", "a", "b")])
        assert found == ["bad_request: HTTP 400: bad role"] * 2 + ["ok"] * 2
        asked = server.count
        assert await ended(endpoint, "bad 3") == "bad_request: HTTP 400: bad role"
        assert server.count == asked + 1  # it is not asked twice


@pytest.mark.parametrize("questions", [5, 12, 200])
async def test_a_server_to_which_every_request_is_bad_stops_the_run_and_ends_no_row(questions: int) -> None:
    limits = Limits(concurrency=8, backoff_s=0.01)
    async with open_endpoint(lambda _: error(400, "max_tokens is too large"), limits=limits) as (endpoint, server):
        found = await asyncio.gather(
            *[ended(endpoint, str(number)) for number in range(questions)], return_exceptions=True
        )
        assert {type(end) for end in found} == {EndpointUnusable}
        assert re.search(r"the first \d+ requests were all refused; .*max_tokens is too large", str(found[0]))
        assert server.count <= 50 + 8 + 4 * questions


async def test_a_key_that_has_spent_what_it_may_stops_the_run_before_all_rows_are_refused() -> None:
    """It was good for the first hundred answers. Of the rows after them one may be taken for one that was blocked."""
    left = iter(range(100))
    limits = Limits(concurrency=8, backoff_s=0.01)
    async with open_endpoint(lambda _: "ok" if next(left, None) is not None else error(403), limits=limits) as (
        endpoint,
        _,
    ):
        found = await asyncio.gather(*[ended(endpoint, str(number)) for number in range(300)], return_exceptions=True)
    assert found.count("ok") == 100
    assert sum(isinstance(end, EndpointUnusable) for end in found) >= 180
