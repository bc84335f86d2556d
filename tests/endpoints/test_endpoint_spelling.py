"""Under which name the longest answer is sent, and what the content key is made of.

Real: endpoint, `openai` client, HTTP, a server that refuses one name as OpenAI's reasoning models do. Double: for hosts
with a name on the Internet, the transport.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from clair.endpoints.endpoint import Endpoint, Limits, Sampling
from clair.endpoints.spec import parse_spec
from clair.endpoints.spelling import CANONICAL, OPENAI, Spelling
from clair.errors import EndpointUnusable
from clair.records import Message
from tests.servers.chat import Body, ChatServer, Fault, error

ASK: tuple[Message, ...] = ({"role": "user", "content": "hi"},)
ONCE = Limits(max_retries=0, backoff_s=0.01)
HOSTS = {
    "https://api.openai.com/v1": OPENAI,
    "https://x.openai.azure.com/openai/v1": OPENAI,
    "https://x.services.ai.azure.com/openai/v1": OPENAI,
    "https://x.cognitiveservices.azure.com/openai/v1": OPENAI,
    "https://openrouter.ai/api/v1": CANONICAL,
    "http://localhost:8000/v1": CANONICAL,
}


def refusing(*names: str, code: str = "unsupported_parameter") -> Callable[[Body], str | Fault]:
    """A server that refuses requests which hold one of these names."""

    def answer(body: Body) -> str | Fault:
        refused = [name for name in names if name in body]
        return error(400, f"no {refused[0]} here", code=code, param=refused[0]) if refused else "ok"

    return answer


async def connect(server: ChatServer, *others: ChatServer) -> Endpoint:
    urls = ",".join(each.base_url for each in (server, *others))
    return await Endpoint.connect(
        parse_spec(f"m@{urls}", env={}), sampling=Sampling(max_tokens=64), limits=ONCE, env={}
    )


async def ask(endpoint: Endpoint) -> str:
    return (await endpoint.complete(endpoint.body(ASK, 0))).completion.text


def names(server: ChatServer) -> list[str]:
    """What each request called its limit."""
    return [name for body in server.bodies for name in body if name in (CANONICAL, OPENAI)]


@pytest.mark.parametrize(("url", "name"), HOSTS.items())
async def test_a_body_is_the_same_for_all_hosts_and_is_sent_as_each_reads_it(url: str, name: str) -> None:
    sent: list[dict[str, Any]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(404)
        sent.append(json.loads(request.content))
        choice = {"message": {"content": "ok"}, "finish_reason": "stop"}
        return httpx2.Response(200, json={"choices": [choice]})

    endpoint = await Endpoint.connect(
        parse_spec(f"m@{url}", env={}),
        sampling=Sampling(max_tokens=64, seed=3),
        prices={"m": (1.0, 2.0)},
        transport=httpx2.MockTransport(answer),
        env={"OPENAI_API_KEY": "x"},
    )
    body = endpoint.body(ASK, 1)
    await endpoint.complete(body)
    await endpoint.aclose()
    assert body == {"model": "m", "messages": list(ASK), "max_tokens": 64, "seed": 4}
    assert sent == [{"model": "m", "messages": list(ASK), name: 64, "seed": 4}]
    assert endpoint.worst_cost_usd(body) == pytest.approx((33 + 32 + 64 * 2) / 1e6, abs=1e-5)


async def test_a_server_that_refuses_the_name_gets_the_other_one_from_then_on_and_no_question_fails() -> None:
    with ChatServer(refusing("max_tokens"), latency_s=0.05) as server:
        endpoint = await connect(server)
        texts = await asyncio.gather(*[ask(endpoint) for _ in range(4)])
        found_out = len(server.bodies)
        assert [*texts, await ask(endpoint)] == ["ok"] * 5
        assert (endpoint.stats.requests, endpoint.stats.retries) == (5, 0)
        await endpoint.aclose()
    assert found_out <= 8
    assert names(server)[found_out:] == ["max_completion_tokens"]
    assert {body[name] for body, name in zip(server.bodies, names(server), strict=True)} == {64}


async def test_each_of_several_servers_has_its_own_spelling() -> None:
    """One that does not know a name passes over it, and would answer at any length."""
    with ChatServer(refusing("max_tokens")) as picky, ChatServer() as old:
        endpoint = await connect(picky, old)
        while min(picky.count, old.count) < 3:
            await ask(endpoint)
        await endpoint.aclose()
    first, *others = names(picky)
    assert (first, set(others)) == ("max_tokens", {"max_completion_tokens"})
    assert set(names(old)) == {"max_tokens"}


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (refusing("max_tokens", "max_completion_tokens"), ["max_tokens", "max_completion_tokens"]),
        (refusing("max_tokens", code="unsupported_value"), ["max_tokens"]),
        (refusing("model"), ["max_tokens"]),
    ],
    ids=["both names", "the value", "another option"],
)
async def test_what_another_name_does_not_help_stops_the_run(
    answer: Callable[[Body], str | Fault], sent: list[str]
) -> None:
    with ChatServer(answer) as server:
        endpoint = await connect(server)
        with pytest.raises(EndpointUnusable, match="change that option"):
            await ask(endpoint)
        await endpoint.aclose()
    assert names(server) == sent


def test_the_name_goes_back_to_the_canonical_one_where_the_host_was_misjudged() -> None:
    spelling = Spelling("https://x.services.ai.azure.com/openai/v1")
    assert spelling.mended("max_completion_tokens")
    assert spelling.of({"model": "m", "max_tokens": 5}) == {"model": "m", "max_tokens": 5}
    assert not spelling.mended("max_tokens")  # or it would go to and fro for ever
