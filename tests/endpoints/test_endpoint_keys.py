"""The key in no error, traceback or log, whatever went wrong; after the first look also in none with local variables.

Real: the `openai` client with all its logging on, HTTP, a server that repeats the key wherever it can.
"""

from __future__ import annotations

import logging
import traceback

import pytest

from clair.endpoints.bounds import LARGEST_REPLY
from clair.endpoints.endpoint import Endpoint, Limits
from clair.endpoints.spec import parse_spec
from clair.errors import ClairError
from tests.servers.chat import ChatServer, Fault, error

KEY = "sk-Ue83hYt62LmQz0PwRv9KbXcN4dJf7Sa1"
ASK = ({"role": "user", "content": "hi"},)

FAULTS = {
    "unauthorized": error(401, KEY),
    "forbidden": error(403, f"Bearer {KEY}", code=KEY),
    "bad request": error(400, "x" * 290 + KEY, param=KEY, type=KEY),
    "rate limited": error(429, KEY, headers={"Retry-After": "0"}),
    "overloaded": error(500, KEY),
    "bad option": error(400, KEY, code="unsupported_parameter", param=KEY),
    "error with 200": Fault(body={"error": {"message": KEY}}),
    "status in 200": Fault(body={"error": {"message": KEY, "code": 502, "metadata": {"raw": KEY}}}),
    "no json": Fault(body=KEY.encode()),
    "another shape": Fault(body={"choices": KEY, KEY: KEY}),
    "cut": Fault(body={"choices": KEY * 10}, cut_after=80),
    "compressed": Fault(body=b"x", headers={"Content-Encoding": KEY}),
    "too long": Fault(body=KEY.encode() * (LARGEST_REPLY // len(KEY) + 1)),
    "redirect": Fault(status=307, headers={"Location": f"http://127.0.0.1:9/{KEY}/chat/completions"}),
    "redirect to a password": Fault(status=307, headers={"Location": f"http://user:{KEY}@127.0.0.1:9/v1"}),
    "no http": Fault(body=b"x", headers={"Transfer-Encoding": KEY, "Connection": KEY}),
    "reset": Fault(reset=True),
    "stall": Fault(stall_s=20.0),
}


@pytest.mark.parametrize("where", ["question", "first look"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_the_key_is_nowhere(
    fault: Fault, where: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "first look" and fault.stall_s:
        pytest.skip("the first look waits for half a minute")
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    shown = await _all_that_is_shown(fault, first_look=where == "first look")
    assert KEY[:10] not in shown
    assert KEY[:10] not in caplog.text


async def _all_that_is_shown(fault: Fault, *, first_look: bool) -> str:
    """The error and its traceback; nothing if the fault did no harm."""
    limits = Limits(max_retries=0, timeout_s=0.5)
    with ChatServer(lambda _: fault, models_fault=fault if first_look else None) as server:
        endpoint = None
        try:
            endpoint = await Endpoint.connect(parse_spec(f"m@{server.base_url}", env={}), limits=limits)
            await endpoint.complete(endpoint.body(ASK, 0))
        except ClairError as raised:
            raised.__traceback__ = raised.__traceback__ and raised.__traceback__.tb_next  # this frame knows the key
            told = traceback.TracebackException.from_exception(raised, capture_locals=not first_look)
            return "".join([str(raised), repr(raised), repr(vars(raised)), *told.format()])
        finally:
            if endpoint is not None:
                await endpoint.aclose()
    return ""
