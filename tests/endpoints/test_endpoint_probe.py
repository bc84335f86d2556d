"""The first look at a server: a real server on the loopback interface and the real client."""

from __future__ import annotations

import socket

import pytest

from clair.endpoints.endpoint import Endpoint
from clair.endpoints.spec import parse_spec
from clair.errors import EndpointUnusable, UsageError
from tests.servers.chat import ChatServer, Fault, error

KEY = "sk-secret-4711"


async def model_of(text: str, **env: str) -> str:
    endpoint = await Endpoint.connect(parse_spec(text, env=env), env=env)
    await endpoint.aclose()
    return endpoint.model


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


async def text_of(endpoint: Endpoint) -> str:
    body = endpoint.body(({"role": "user", "content": "hi"},), 0)
    return (await endpoint.complete(body)).completion.text


async def refusal(text: str, **env: str) -> str:
    with pytest.raises(EndpointUnusable) as caught:
        await model_of(text, **env)
    assert KEY not in str(caught.value)
    return str(caught.value)


async def test_the_only_model_is_taken() -> None:
    with ChatServer(models=("only/one",)) as server:
        assert await model_of(server.base_url) == "only/one"
        assert server.paths == ["GET /v1/models"]
        assert server.count == 0


async def test_several_models_are_listed() -> None:
    with ChatServer(models=("b", "a")) as server:
        says = await refusal(server.base_url)
    assert says == f"{server.base_url} serves 'a', 'b': name one of them, as MODEL@{server.base_url}"


@pytest.mark.parametrize("models", [None, ()])
async def test_a_server_without_list_needs_a_name(models: tuple[str, ...] | None) -> None:
    with ChatServer(models=models) as server:
        assert "does not list its models" in await refusal(server.base_url)
        assert await model_of(f"m@{server.base_url}") == "m"


async def test_an_unknown_model_is_refused_with_what_is_served() -> None:
    with ChatServer(models=("a", "b")) as server:
        says = await refusal(f"m@{server.base_url}")
    assert "does not serve 'm'. It serves 'a', 'b'." in says
    assert f"GET {server.base_url}/models" in says


@pytest.mark.parametrize("listed", ["m", "m:latest", "models/m"])
async def test_names_that_servers_list_in_another_way(listed: str) -> None:
    with ChatServer(models=("a", listed)) as server:
        assert await model_of(f"m@{server.base_url}") == "m"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(body={"data": [{"id": "other"}], "has_more": True}),
        Fault(body={"models": []}),
        error(403),
        error(429),
        error(503, "loading"),
    ],
)
async def test_a_list_that_decides_nothing_is_passed_over(fault: Fault) -> None:
    with ChatServer(models_fault=fault) as server:
        assert await model_of(f"m@{server.base_url}") == "m"


async def test_a_bare_list_is_read() -> None:
    with ChatServer(models_fault=Fault(body=[{"id": "x"}])) as server:
        assert await model_of(server.base_url) == "x"


async def test_a_wrong_key_names_the_variable_and_not_the_key() -> None:
    with ChatServer(api_key="right") as server:
        says = await refusal(f"m@{server.base_url}", OPENAI_API_KEY=KEY)
        assert "refused the API key in the environment variable OPENAI_API_KEY" in says
        assert "set the environment variable OPENAI_API_KEY" in await refusal(f"m@{server.base_url}")
        assert await model_of(f"m@{server.base_url}", OPENAI_API_KEY="right") == "m"


async def test_a_server_that_repeats_the_key_does_not_make_us_repeat_it() -> None:
    with ChatServer(models_fault=error(401, f"Incorrect API key provided: {KEY}")) as server:
        assert "Incorrect API key provided: ***" in await refusal(f"m@{server.base_url}", OPENAI_API_KEY=KEY)


async def test_nothing_listening_says_where() -> None:
    port = unused_port()
    says = await refusal(f"m@http://127.0.0.1:{port}/v1")
    assert says.startswith(f"Nothing answers at http://127.0.0.1:{port}/v1 (")


async def test_a_dead_replica_is_named_and_left_out() -> None:
    dead = f"http://127.0.0.1:{unused_port()}/v1"
    notes: list[str] = []
    with ChatServer() as server:
        endpoint = await Endpoint.connect(parse_spec(f"m@{dead},{server.base_url}", env={}), env={})
        endpoint.listen(notes.append)
        texts = [await text_of(endpoint) for _ in range(3)]
        await endpoint.aclose()
    assert texts == ["HI"] * 3
    assert [note.startswith(f"Nothing answers at {dead} (") for note in notes] == [True]
    assert notes[0].endswith("? It is left out until it answers.")


async def test_replicas_that_are_all_dead_are_refused() -> None:
    urls = [f"http://127.0.0.1:{unused_port()}/v1" for _ in range(2)]
    assert (await refusal(f"m@{','.join(urls)}")).startswith(f"Nothing answers at {urls[0]} (")


async def test_a_replica_that_serves_something_else_is_a_mistake_in_the_urls() -> None:
    with ChatServer(models=("m",)) as one, ChatServer(models=("n",)) as other:
        both = f"{one.base_url},{other.base_url}"
        assert f"{other.base_url} does not serve 'm'" in await refusal(f"m@{both}")
        assert f"{one.base_url} serves 'm' and {other.base_url} serves 'n'" in await refusal(both)
    with ChatServer() as one, ChatServer(api_key="right") as other:
        assert f"{other.base_url} asks for an API key" in await refusal(f"m@{one.base_url},{other.base_url}")


async def test_the_model_of_replicas_is_the_one_that_they_serve() -> None:
    with ChatServer(models=("x",)) as one, ChatServer(models=("x",)) as other:
        assert await model_of(f"{one.base_url},{other.base_url}") == "x"
        assert await model_of(f"{one.base_url},http://127.0.0.1:{unused_port()}/v1") == "x"


async def test_a_web_page_instead_of_an_api() -> None:
    with ChatServer(models_fault=Fault(body=b"<!doctype html><title>UI</title>")) as server:
        assert "Most end in /v1" in await refusal(f"m@{server.base_url}")


async def test_a_redirect_is_not_followed() -> None:
    moved = Fault(status=301, headers={"Location": "https://me:pw@api.example.org/v1/models?token=1"})
    with ChatServer(models_fault=moved) as server:
        says = await refusal(f"m@{server.base_url}", OPENAI_API_KEY=KEY)
    assert says.endswith("HTTP 301: redirected to https://api.example.org/v1. Give the base URL where it leads")


async def test_openai_without_key_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="set the environment variable OPENAI_API_KEY"):
        await model_of("gpt-4o-mini")
