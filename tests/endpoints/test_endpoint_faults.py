"""Every kind of fault over real HTTP: the real `openai` client against a scripted local server."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate

import pytest

from clair.endpoints.charge import Charge
from clair.endpoints.endpoint import Limits, Sampling
from clair.errors import EndpointUnusable, RowFailure
from clair.records import Completion, Usage
from tests.endpoints.opened import ASK, KEY, first, open_endpoint, text_of
from tests.servers.chat import Fault, Reply, error


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
