"""One model on several servers: how the load is shared, and what becomes of a server that fails.

Real: endpoint, `openai` client, HTTP, servers that are stopped and started again on their port. Double: what they say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from clair.endpoints.endpoint import Endpoint, Limits
from clair.endpoints.spec import parse_spec
from clair.errors import EndpointUnusable, RowFailure
from tests.servers.chat import ChatServer, Fault, error

QUICK = Limits(concurrency=16, max_retries=0, backoff_s=0.01, timeout_s=20.0)


@asynccontextmanager
async def open_replicas(
    servers: Sequence[ChatServer], *, limits: Limits = QUICK, notes: list[str] | None = None
) -> AsyncIterator[Endpoint]:
    spec = parse_spec(f"m@{','.join(server.base_url for server in servers)}", env={})
    endpoint = await Endpoint.connect(spec, limits=limits, env={})
    if notes is not None:
        endpoint.listen(notes.append)
    try:
        yield endpoint
    finally:
        await endpoint.aclose()


async def ask(endpoint: Endpoint, content: object = "hi") -> str:
    body = endpoint.body(({"role": "user", "content": str(content)},), 0)
    return (await endpoint.complete(body)).completion.text


async def ask_all(endpoint: Endpoint, count: int) -> list[str]:
    return await asyncio.gather(*[ask(endpoint, number) for number in range(count)])


async def test_questions_one_after_the_other_go_round() -> None:
    with ChatServer() as a, ChatServer() as b, ChatServer() as c:
        async with open_replicas([a, b, c]) as endpoint:
            for _ in range(9):
                await ask(endpoint)
            assert [replica.answers for replica in endpoint.stats.replicas] == [3, 3, 3]
        assert (a.count, b.count, c.count) == (3, 3, 3)


async def test_fewer_at_a_time_than_servers_is_kept_to() -> None:
    with ChatServer(latency_s=0.01) as a, ChatServer(latency_s=0.01) as b, ChatServer(latency_s=0.01) as c:
        async with open_replicas([a, b, c], limits=Limits(concurrency=1)) as endpoint:
            assert endpoint.stats.limit == 1
            asked = asyncio.create_task(ask_all(endpoint, 9))
            most = 0
            while not asked.done():
                most = max(most, endpoint.stats.in_flight)
                await asyncio.sleep(0.002)
        assert (most, a.count, b.count, c.count) == (1, 3, 3, 3)


async def test_a_slow_server_gets_what_it_can_do_and_holds_nobody_up() -> None:
    """At forty times the latency, with the same number in flight, it gets a small share of what each other one gets."""
    with ChatServer(latency_s=0.01) as a, ChatServer(latency_s=0.01) as b, ChatServer(latency_s=0.4) as slow:
        async with open_replicas([a, b, slow], limits=Limits(concurrency=12)) as endpoint:
            assert len(await ask_all(endpoint, 600)) == 600
        assert a.count + b.count + slow.count == 600
        assert 2 * slow.count < min(a.count, b.count)
        assert slow.max_in_flight <= 4


async def test_a_server_that_dies_costs_no_question_and_is_taken_back() -> None:
    """No retry is allowed, so a failure that counted would end its question."""
    notes: list[str] = []
    with ChatServer(latency_s=0.01) as a, ExitStack() as running:
        b = running.enter_context(ChatServer(latency_s=0.01))
        async with open_replicas([a, b], notes=notes) as endpoint:
            asked = asyncio.create_task(ask_all(endpoint, 400))
            while b.count < 50:
                await asyncio.sleep(0.005)
            running.close()
            assert await asked == [str(number) for number in range(400)]
            assert [replica.controller.is_out for replica in endpoint.stats.replicas] == [False, True]
            with ChatServer(port=b.port) as again:
                while not again.count:
                    await ask(endpoint)
                    await asyncio.sleep(0.01)
                before = again.count
                await ask_all(endpoint, 100)
                assert again.count - before >= 30
    assert [(note.split(" ", 1)[0], note.endswith("answers again.")) for note in notes] == [
        (b.base_url, False),
        (b.base_url, True),
    ]


async def test_a_server_that_is_out_gets_one_question_at_a_time() -> None:
    """503 for everything, slowly: the first three failures of a burst leave it out, then come single trials."""
    with ChatServer(latency_s=0.005) as well, ChatServer(lambda _: Fault(status=503, stall_s=0.02)) as sick:
        async with open_replicas([well, sick]) as endpoint:
            await ask_all(endpoint, 40)
            burst, sick.max_in_flight = sick.count, 0
            while sick.count < burst + 2:
                await ask_all(endpoint, 20)
        assert burst <= 16
        assert sick.max_in_flight == 1


@pytest.mark.parametrize(
    "fault", [error(401), error(404, code="model_not_found"), error(429, code="insufficient_quota")]
)
async def test_a_server_that_refuses_everybody_is_left_out_if_another_one_does_not(fault: Fault) -> None:
    notes: list[str] = []
    with ChatServer(latency_s=0.01) as well, ChatServer(lambda _: fault) as sick:
        async with open_replicas([well, sick], notes=notes) as endpoint:
            assert await ask_all(endpoint, 100) == [str(number) for number in range(100)]
        assert sick.count < 30  # three if nothing else were under way, and single trials
    assert [note.startswith(f"{sick.base_url} is left out for now: HTTP 4") for note in notes] == [True]


async def test_a_server_to_which_everything_is_bad_costs_no_question_if_another_one_accepts_it() -> None:
    with ChatServer(latency_s=0.01) as well, ChatServer(lambda _: error(400, "bad role")) as sick:
        async with open_replicas([well, sick]) as endpoint:
            assert await ask_all(endpoint, 300) == [str(number) for number in range(300)]
        assert sick.count < 70


async def test_a_server_that_forbids_everything_costs_no_question_if_another_one_does_not() -> None:
    with ChatServer(latency_s=0.01) as well, ChatServer(lambda _: error(403, "no access")) as sick:
        async with open_replicas([well, sick]) as endpoint:
            assert await ask_all(endpoint, 100) == [str(number) for number in range(100)]
        assert sick.count < 40


async def test_the_run_stops_when_all_are_dead_and_says_what_each_of_them_said() -> None:
    limits = Limits(concurrency=4, backoff_s=0.01, breaker_s=0.3, max_retries=1000)
    with ChatServer(lambda _: error(500, "broken")) as a, ChatServer(lambda _: error(401, "who are you")) as b:
        async with open_replicas([a, b], limits=limits) as endpoint:
            with pytest.raises(EndpointUnusable) as caught:
                await ask_all(endpoint, 8)
            says = str(caught.value)
    assert says.startswith(
        f"{endpoint.where}: none of its 2 servers is of use. {a.base_url}: no request succeeded for "
    )
    assert f"HTTP 500: broken; {b.base_url}: HTTP 401: who are you. Check the API key." in says


async def test_one_server_that_answers_keeps_the_run_going() -> None:
    """The others have been dead for many times the breaker's time."""
    limits = Limits(concurrency=4, backoff_s=0.01, breaker_s=0.05, max_retries=1000)
    with (
        ChatServer(latency_s=0.1) as well,
        ChatServer(lambda _: error(500)) as a,
        ChatServer(lambda _: error(401)) as b,
    ):
        async with open_replicas([a, b, well], limits=limits) as endpoint:
            assert len(await ask_all(endpoint, 20)) == 20


@pytest.mark.parametrize("max_retries", [0, 2])
async def test_a_question_that_brings_servers_down_ends_as_its_own_failure(max_retries: int) -> None:
    def answer(body: dict[str, Any]) -> str | Fault:
        return Fault(reset=True) if body["messages"][0]["content"] == "poison" else "ok"

    with ChatServer(answer) as a, ChatServer(answer) as b:
        limits = Limits(concurrency=4, backoff_s=0.01, max_retries=max_retries)
        async with open_replicas([a, b], limits=limits) as endpoint:
            poisoned = asyncio.create_task(ask(endpoint, "poison"))
            assert await ask_all(endpoint, 50) == ["ok"] * 50
            with pytest.raises(RowFailure) as caught:
                await poisoned
        assert caught.value.reason == "connection"
        assert 2 <= a.count + b.count - 50 - max_retries <= 3


async def test_a_question_that_no_server_answers_in_time_is_not_tried_on_all_of_them_for_free() -> None:
    """It may have been paid for, and took the whole deadline."""
    with ChatServer(lambda _: Fault(stall_s=20.0)) as a, ChatServer(lambda _: Fault(stall_s=20.0)) as b:
        limits = Limits(concurrency=4, backoff_s=0.01, max_retries=0, timeout_s=0.2)
        async with open_replicas([a, b], limits=limits) as endpoint:
            with pytest.raises(RowFailure, match="no answer in time"):
                await ask(endpoint)
        assert a.count + b.count == 1
