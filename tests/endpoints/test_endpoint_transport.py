"""An endpoint without a network, as in the sandbox: the real client over a transport that answers itself."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import httpx2
import pytest

from clair.endpoints.endpoint import Endpoint, Limits
from clair.endpoints.spec import parse_spec
from clair.errors import RowFailure

MODELS = {"object": "list", "data": [{"id": "teacher"}, {"id": "student"}]}


def completion(content: bytes) -> dict[str, object]:
    text = json.loads(content)["messages"][0]["content"].upper()
    return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}


def new(request: httpx2.Request) -> httpx2.Response:
    assert request.headers["authorization"] == "Bearer no-key-set"
    return httpx2.Response(200, json=completion(request.content) if request.method == "POST" else MODELS)


def old(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=completion(request.content) if request.method == "POST" else MODELS)


@pytest.mark.parametrize("transport", [httpx2.MockTransport(new), httpx.MockTransport(old)], ids=["httpx2", "httpx"])
async def test_a_transport_stands_in_for_the_network(
    transport: httpx2.AsyncBaseTransport | httpx.AsyncBaseTransport,
) -> None:
    spec = parse_spec("sandbox", env={}, sandbox_model="teacher")
    endpoint = await Endpoint.connect(spec, transport=transport, env={"OPENAI_API_KEY": "not for the sandbox"})
    reply = await endpoint.complete(endpoint.body(({"role": "user", "content": "hi"},), 0))
    await endpoint.aclose()
    assert (reply.completion.text, endpoint.identity) == ("HI", "teacher")


async def test_a_transport_that_fails_is_classified_like_a_network() -> None:
    def timeout(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(404)
        raise httpx2.ReadTimeout("too slow")

    spec = parse_spec("sandbox", env={}, sandbox_model="teacher")
    transport = httpx2.MockTransport(timeout)
    endpoint = await Endpoint.connect(spec, transport=transport, limits=Limits(max_retries=1, backoff_s=0.0), env={})
    with pytest.raises(RowFailure) as caught:
        await endpoint.complete(endpoint.body(({"role": "user", "content": "hi"},), 0))
    await endpoint.aclose()
    assert (caught.value.reason, endpoint.stats.requests) == ("timeout", 2)


def test_reading_a_spec_loads_nothing_heavy() -> None:
    code = (
        "import sys; import clair.endpoints.spec, clair.endpoints.options;"
        "sys.exit(bool({'openai', 'httpx', 'httpx2', 'pydantic', 'aiohttp'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
