"""Many requests at once, slow ones and canceled ones: permits, deadlines, the circuit. Real client, server and HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from clair.endpoints.endpoint import Endpoint, Limits
from clair.endpoints.spec import parse_spec
from clair.errors import EndpointUnusable, RowFailure
from tests.endpoints.opened import first, open_endpoint, text_of
from tests.servers.chat import ChatServer, Fault, error


async def test_a_stall_ends_at_the_deadline_and_is_tried_again() -> None:
    limits = Limits(timeout_s=0.3, backoff_s=0.01)
    async with open_endpoint(first(Fault(stall_s=20.0)), limits=limits) as (endpoint, server):
        assert await text_of(endpoint) == "ok"
        assert server.count == 2
    async with open_endpoint(lambda _: Fault(stall_s=20.0), limits=limits) as (endpoint, server):
        with pytest.raises(RowFailure) as caught:
            await text_of(endpoint)
        assert (caught.value.reason, caught.value.detail, server.count) == ("timeout", "no answer in time", 3)


async def test_a_waiting_retry_holds_no_permit() -> None:
    limits = Limits(concurrency=1, backoff_s=0.01)
    script = first(error(429, headers={"Retry-After": "2"}))
    async with open_endpoint(script, limits=limits) as (endpoint, _):
        slow = asyncio.create_task(text_of(endpoint))
        while not endpoint.stats.rate_limited:
            await asyncio.sleep(0.01)
        assert [await text_of(endpoint) for _ in range(5)] == ["ok"] * 5
        assert not slow.done()
        assert await slow == "ok"


async def test_the_circuit_opens_when_nothing_succeeds() -> None:
    limits = Limits(concurrency=4, backoff_s=0.01, breaker_s=0.3, max_retries=1000)
    async with open_endpoint(lambda _: error(500, "broken"), limits=limits) as (endpoint, _):
        with pytest.raises(EndpointUnusable, match=r"no request succeeded for .* HTTP 500: broken"):
            await asyncio.gather(*[text_of(endpoint) for _ in range(8)])


async def test_slow_answers_do_not_open_the_circuit() -> None:
    limits = Limits(concurrency=20, backoff_s=0.01, breaker_s=0.05)
    script = first(*[error(500)] * 6)
    async with open_endpoint(script, limits=limits, latency_s=0.5) as (endpoint, _):
        assert await asyncio.gather(*[text_of(endpoint) for _ in range(20)]) == ["ok"] * 20


async def test_a_mixed_storm_loses_no_row() -> None:
    """A tenth of all replies is a fault of some kind; every question gets its own answer."""
    kinds: list[Callable[[], Fault]] = [
        lambda: error(429, headers={"Retry-After": "0"}),
        lambda: error(500),
        lambda: Fault(reset=True),
        lambda: Fault(body={"choices": []}),
        lambda: Fault(body={"a": "x" * 100}, cut_after=10),
    ]
    seen: set[str] = set()

    def answer(body: dict[str, Any]) -> str | Fault:
        content = body["messages"][0]["content"]
        if content in seen or int(content) % 10:
            return f"answer {content}"
        seen.add(content)
        return kinds[int(content) // 10 % len(kinds)]()

    async def ask(endpoint: Endpoint, number: int) -> str:
        body = endpoint.body(({"role": "user", "content": str(number)},), 0)
        return (await endpoint.complete(body)).completion.text

    async with open_endpoint(answer, limits=Limits(backoff_s=0.05), latency_s=0.01) as (endpoint, server):
        texts = await asyncio.gather(*[ask(endpoint, number) for number in range(500)])
        assert texts == [f"answer {number}" for number in range(500)]
        assert server.count == 550


async def test_replicas_share_the_load_and_survive_one_of_them() -> None:
    with ChatServer(latency_s=0.01) as one, ChatServer(lambda _: error(503), latency_s=0.01) as sick:
        spec = parse_spec(f"m@{one.base_url},{sick.base_url}", env={})
        endpoint = await Endpoint.connect(spec, limits=Limits(concurrency=8, backoff_s=0.05), env={})
        texts = await asyncio.gather(*[text_of(endpoint) for _ in range(200)])
        await endpoint.aclose()
        assert texts == ["HI"] * 200
        assert one.count == 200
        assert 0 < sick.count < 60


async def test_concurrency_is_an_upper_limit() -> None:
    async with open_endpoint(lambda _: "ok", limits=Limits(concurrency=3), latency_s=0.01) as (endpoint, server):
        await asyncio.gather(*[text_of(endpoint) for _ in range(60)])
        assert (server.max_in_flight, endpoint.stats.limit) == (3, 3)


async def test_cancellation_gives_the_permit_back() -> None:
    async with open_endpoint(lambda _: "ok", limits=Limits(concurrency=2), latency_s=0.2) as (endpoint, _):
        asked = [asyncio.create_task(text_of(endpoint)) for _ in range(6)]
        await asyncio.sleep(0.1)
        for task in asked[:5]:
            task.cancel()
        assert await asked[5] == "ok"
        assert endpoint.stats.in_flight == 0


async def test_4096_requests_are_in_flight_without_a_failure() -> None:
    limits = Limits(concurrency=4096, max_retries=0)
    async with open_endpoint(lambda _: "ok", limits=limits, latency_s=1.0, keep_bodies=False) as (endpoint, server):
        texts = await asyncio.gather(*[text_of(endpoint) for _ in range(4096)])
    assert texts == ["ok"] * 4096
    assert (server.count, endpoint.stats.retries) == (4096, 0)
