"""Every kind of fault over real HTTP: the real `openai` client against a scripted local server."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import pytest

from clair.endpoints.charge import Charge
from clair.endpoints.endpoint import Endpoint, Limits, Sampling
from clair.endpoints.spec import parse_spec
from clair.errors import EndpointUnusable, RowFailure
from clair.records import Completion, Message, Usage
from tests.servers.chat import Answer, ChatServer, Fault, Reply, error

ASK: tuple[Message, ...] = ({"role": "user", "content": "hi"},)
KEY = "sk-secret-4711"
QUICK = Limits(backoff_s=0.01, timeout_s=20.0)


@asynccontextmanager
async def open_endpoint(
    answer: Answer, *, limits: Limits = QUICK, sampling: Sampling | None = None, **server_options: Any
) -> AsyncIterator[tuple[Endpoint, ChatServer]]:
    with ChatServer(answer, **server_options) as server:
        spec = parse_spec(f"m@{server.base_url}", env={})
        endpoint = await Endpoint.connect(
            spec, limits=limits, sampling=sampling, prices={"m": (1.0, 2.0)}, env={"OPENAI_API_KEY": KEY}
        )
        try:
            yield endpoint, server
        finally:
            await endpoint.aclose()


def first(*faults: Fault | Reply) -> Answer:
    """Each fault once, in order; then "ok"."""
    left = list(faults)
    return lambda _: left.pop(0) if left else "ok"


async def text_of(endpoint: Endpoint) -> str:
    return (await endpoint.complete(endpoint.body(ASK, 0))).completion.text


async def test_an_answer_comes_with_its_raw_body_and_cost() -> None:
    async with open_endpoint(lambda _: Reply("yes", usage=(1000, 500))) as (endpoint, server):
        reply = await endpoint.complete(endpoint.body(ASK, 0))
    assert json.loads(reply.raw)["choices"][0]["message"]["content"] == "yes"
    assert reply.completion == Completion(
        text="yes", finish_reason="stop", usage=Usage(1000, 500), cost_usd=0.002, model="m"
    )
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert not [name for name in server.headers[0] if name.startswith("x-stainless")]


async def test_the_body_holds_what_was_set_and_nothing_else() -> None:
    sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=64, seed=10)
    async with open_endpoint(lambda _: "ok", sampling=sampling) as (endpoint, server):
        await endpoint.complete(endpoint.body(ASK, 3))
        assert server.bodies == [
            {"model": "m", "messages": list(ASK), "temperature": 0.7, "top_p": 0.9, "max_tokens": 64, "seed": 13}
        ]
        assert endpoint.body(ASK, 3) == server.bodies[0]
        assert endpoint.worst_cost_usd(server.bodies[0]) == pytest.approx((33 + 32 + 64 * 2) / 1e6, abs=1e-5)
    async with open_endpoint(lambda _: "ok") as (endpoint, _):
        assert endpoint.body(ASK, 0) == {"model": "m", "messages": list(ASK)}
        assert endpoint.worst_cost_usd(endpoint.body(ASK, 0)) is None


@pytest.mark.parametrize(
    "fault",
    [
        error(429, "slow down", headers={"Retry-After": "0"}),
        error(429, "slow down"),
        error(500),
        error(503, headers={"Retry-After": "0"}),
        error(408),
        error(409),
        Fault(status=502, body=b"<html>Bad Gateway</html>", headers={"Content-Type": "text/html"}),
        Fault(reset=True),
        Fault(body={"choices": [{"message": {"content": "x" * 5000}}]}, cut_after=2000),
        Fault(body={"choices": []}),
        Fault(body=b"<html>Sign in</html>", headers={"Content-Type": "text/html"}),
        Fault(body=b'{"choices": [{"mess'),
        Fault(body={"error": {"message": "upstream", "code": 502}}),
        Fault(body={"error": {"message": "slow down", "code": 429}}),
        Reply("half an ans", finish_reason="error"),
        Fault(body=b"xx", headers={"Content-Encoding": "gzip"}),
    ],
    ids=str,
)
async def test_what_may_pass_is_tried_again(fault: Fault | Reply) -> None:
    async with open_endpoint(first(fault, fault)) as (endpoint, server):
        assert await text_of(endpoint) == "ok"
        assert (server.count, endpoint.stats.requests, endpoint.stats.retries) == (3, 3, 2)
        assert endpoint.stats.in_flight == 0


@pytest.mark.parametrize(
    ("fault", "reason", "asked"),
    [
        (error(429, headers={"Retry-After": "0"}), "rate_limited", 11),
        (error(500), "overloaded", 3),
        (Fault(body={"error": {"code": 429}}), "rate_limited", 11),
        (Fault(body={"error": {"code": 529}}), "overloaded", 3),
        (Fault(body={"error": {"code": 400, "type": "context_length_exceeded"}}), "context_too_long", 1),
        (Reply("half an ans", finish_reason="error"), "overloaded", 3),
        (Fault(reset=True), "connection", 3),
        (Fault(body={"choices": []}), "malformed_body", 3),
        (Fault(body={"a": "x" * 100}, cut_after=50), "malformed_body", 3),
        (error(400, code="context_length_exceeded"), "context_too_long", 1),
        (error(400, type="exceed_context_size_error"), "context_too_long", 1),
        (error(400, type="BadRequestError", param="input_tokens"), "context_too_long", 1),
        (error(413), "context_too_long", 1),
        (error(400, code="content_filter"), "content_filter", 1),
        (error(403, metadata={"flagged_input": "hi"}), "content_filter", 1),
        (error(400, "bad role"), "bad_request", 5),
        (Fault(status=422, body={"detail": [{"msg": "x"}]}), "bad_request", 5),
    ],
    ids=str,
)
async def test_what_does_not_pass_ends_the_row_with_its_reason(fault: Fault | Reply, reason: str, asked: int) -> None:
    limits = Limits(backoff_s=0.001, max_retries=2)
    async with open_endpoint(lambda _: fault, limits=limits) as (endpoint, server):
        with pytest.raises(RowFailure) as caught:
            await text_of(endpoint)
        assert (caught.value.reason, server.count) == (reason, asked)
        assert endpoint.stats.in_flight == 0


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (error(401, f"bad key {KEY}"), "HTTP 401: bad key ***. Check the API key"),
        (error(403, code="model_not_found"), "Check the API key"),
        (error(402), "no credit left"),
        (Fault(body={"error": {"message": "Insufficient credits", "code": 402}}), "no credit left"),
        (error(404, "The model `m` does not exist", code="model_not_found"), "HTTP 404: The model `m` does not exist."),
        (Fault(status=404, body={"detail": "Not Found"}), "most base URLs end in /v1"),
        (error(429, code="insufficient_quota"), "add credit, then resume"),
        (error(429, headers={"Retry-After": "86400"}), "asks to wait 86400 s"),
        (error(400, code="unsupported_value", param="temperature"), "change that option"),
        (Fault(status=307, headers={"Location": "http://elsewhere/v1/chat/completions"}), "to http://elsewhere/v1."),
    ],
    ids=str,
)
async def test_what_nobody_can_pass_stops_the_run(fault: Fault, says: str) -> None:
    async with open_endpoint(lambda _: fault) as (endpoint, server):
        for _ in range(2):
            with pytest.raises(EndpointUnusable) as caught:
                await text_of(endpoint)
            assert says in str(caught.value)
            assert str(caught.value).startswith(f"m@{server.base_url}: ")
        assert server.count == 1  # the second question was not sent


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


async def test_the_key_is_in_no_error_traceback_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for fault in (error(401, KEY), error(400, KEY), error(500, KEY), Fault(body={"error": {"message": KEY}})):
        async with open_endpoint(lambda _, f=fault: f, limits=Limits(max_retries=0)) as (endpoint, _):  # type: ignore[misc]
            with pytest.raises((EndpointUnusable, RowFailure)) as caught:
                await text_of(endpoint)
            assert KEY not in "".join(traceback.format_exception(caught.value))
            assert KEY not in repr(vars(endpoint))
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("fault", "usd"),
    [
        (Fault(body={"error": {"code": 502}}), 0.0),
        (Fault(body={"error": {"code": 502}, "usage": {"prompt_tokens": 1000, "completion_tokens": 0}}), 0.001),
        (Reply("half an ans", finish_reason="error", usage=(1000, 500)), 0.002),
        (Reply("half an ans", finish_reason="error", usage=None), None),
        (Fault(body={"error": {"message": "no code"}}), None),
    ],
    ids=str,
)
async def test_a_failure_with_status_200_is_charged_as_it_says(fault: Fault | Reply, usd: float | None) -> None:
    charges: list[Charge] = []

    @asynccontextmanager
    async def paying() -> AsyncIterator[Charge]:
        charges.append(Charge())
        yield charges[-1]

    async with open_endpoint(first(fault)) as (endpoint, _):
        await endpoint.complete(endpoint.body(ASK, 0), paying)
    assert [(charge.usd, charge.answered) for charge in charges] == [(usd, False), (2e-05, True)]


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "1"},
        {"Retry-After": "0.4"},
        {"retry-after-ms": "400", "Retry-After": "60"},
        {"Retry-After": formatdate(1_000_001, usegmt=True), "Date": formatdate(1_000_000, usegmt=True)},
    ],
    ids=str,
)
async def test_retry_after_is_honored_in_every_form(headers: dict[str, str]) -> None:
    async with open_endpoint(first(error(429, headers=headers))) as (endpoint, _):
        loop = asyncio.get_running_loop()
        before = loop.time()
        assert await text_of(endpoint) == "ok"
        assert 0.35 <= loop.time() - before <= 20


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
