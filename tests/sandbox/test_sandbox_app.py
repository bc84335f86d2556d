"""The sandbox through the official openai client, in process and over a real port. Nothing is doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import openai
import pytest

from clair.errors import UsageError
from clair.sandbox.app import SandboxApp
from clair.sandbox.problems import problems
from clair.sandbox.server import running
from clair.sandbox.teacher import own_answer
from clair.sandbox.transport import SandboxTransport

PROBLEM = next(problems("dev", 1, seed=0))
MESSAGES = [{"role": "user", "content": PROBLEM.question}]


@asynccontextmanager
async def in_process() -> AsyncIterator[openai.AsyncOpenAI]:
    async with httpx.AsyncClient(transport=SandboxTransport(faults=0)) as http_client:
        yield openai.AsyncOpenAI(base_url="http://sandbox/v1", api_key="x", max_retries=0, http_client=http_client)


@asynccontextmanager
async def over_a_port() -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        running(SandboxApp(faults=0), 0) as base_url,
        openai.AsyncOpenAI(base_url=base_url, api_key="x", max_retries=0) as client,
    ):
        yield client


@pytest.fixture(params=[in_process, over_a_port], ids=["in_process", "over_a_port"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[openai.AsyncOpenAI]:
    async with request.param() as opened:
        yield opened


async def test_models_are_listed_and_found(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in await client.models.list()] == ["sandbox-student", "sandbox-teacher"]
    assert (await client.models.retrieve("sandbox-teacher")).id == "sandbox-teacher"


async def test_the_teacher_answers_with_usage(client: openai.AsyncOpenAI) -> None:
    made = await client.chat.completions.create(model="sandbox-teacher", messages=MESSAGES, n=2)
    assert [choice.message.content for choice in made.choices] == [own_answer(PROBLEM)] * 2
    assert [choice.finish_reason for choice in made.choices] == ["stop", "stop"]
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens > 20


async def test_max_tokens_cuts_with_finish_reason_length(client: openai.AsyncOpenAI) -> None:
    made = await client.chat.completions.create(model="sandbox-teacher", messages=MESSAGES, max_tokens=3)
    assert made.choices[0].finish_reason == "length"
    assert own_answer(PROBLEM).startswith(made.choices[0].message.content or "?")
    assert made.usage is not None
    assert made.usage.completion_tokens == 3


async def test_stop_texts_end_the_answer(client: openai.AsyncOpenAI) -> None:
    made = await client.chat.completions.create(model="sandbox-teacher", messages=MESSAGES, stop=["="])
    assert made.choices[0].message.content == own_answer(PROBLEM).partition("=")[0]
    assert made.choices[0].finish_reason == "stop"


async def test_unknown_models_are_not_found(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as failure:
        await client.chat.completions.create(model="gpt-5", messages=MESSAGES)
    assert failure.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-5")
    with pytest.raises(openai.NotFoundError, match="Unknown"):
        await client.embeddings.create(model="sandbox-student", input="x")


async def test_bad_bodies_are_refused_by_name(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as failure:
        await client.chat.completions.create(model="sandbox-teacher", messages=MESSAGES, temperature=9)
    assert failure.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as failure:
        await client.chat.completions.create(model="sandbox-teacher", messages=[])
    assert failure.value.param == "messages"
    with pytest.raises(openai.BadRequestError, match="does not stream"):
        await client.chat.completions.create(model="sandbox-teacher", messages=MESSAGES, stream=True)


async def test_the_student_answers_by_seed(client: openai.AsyncOpenAI) -> None:
    pytest.importorskip("torch")
    ask = {"model": "sandbox-student", "messages": MESSAGES, "temperature": 1.0, "n": 3}
    first, again, other = await asyncio.gather(
        *(client.chat.completions.create(**ask, seed=seed) for seed in (7, 7, 8))  # type: ignore[call-overload]
    )
    texts = [[choice.message.content for choice in made.choices] for made in (first, again, other)]
    assert texts[0] == texts[1] != texts[2]
    assert all(texts[0])
    assert first.usage.completion_tokens > 30


async def test_the_student_heeds_token_limits_and_context(client: openai.AsyncOpenAI) -> None:
    pytest.importorskip("torch")
    made = await client.chat.completions.create(
        model="sandbox-student", messages=MESSAGES, max_completion_tokens=4, seed=1
    )
    assert (made.choices[0].finish_reason, made.usage and made.usage.completion_tokens) == ("length", 4)
    long_message = {"role": "user", "content": "apples " * 600}
    with pytest.raises(openai.BadRequestError) as failure:
        await client.chat.completions.create(model="sandbox-student", messages=[long_message])
    assert failure.value.code == "context_length_exceeded"


async def test_bodies_that_are_no_json_are_refused() -> None:
    response = await SandboxApp().respond("POST", "/v1/chat/completions", b"{")
    assert response.status == 400
    assert b'"type":"invalid_request_error"' in response.body


async def test_the_same_request_gives_the_same_bytes() -> None:
    body = b'{"model": "sandbox-teacher", "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}'
    responses = [await SandboxApp().respond("POST", "/v1/chat/completions", body) for _ in range(2)]
    assert responses[0] == responses[1]


async def test_a_port_in_use_is_a_usage_error() -> None:
    async with running(SandboxApp(), 0) as base_url:
        port = int(base_url.split(":")[2].removesuffix("/v1"))
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with running(SandboxApp(), port):
                raise AssertionError
