"""What headers and connections say. The sockets are real; there is no chat server behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.endpoints.classify import retry_after_s
from clair.endpoints.endpoint import Endpoint
from clair.endpoints.spec import parse_spec
from clair.errors import EndpointUnusable

MONDAY = "Mon, 06 Jul 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "1500", "retry-after": "60"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "60"}, 60.0),
        ({"retry-after": "Mon, 06 Jul 2026 10:00:30 GMT", "date": MONDAY}, 30.0),
        ({"retry-after": "Mon, 06 Jul 2026 12:00:30 +0200", "date": MONDAY}, 30.0),
        ({"retry-after": "Mon, 06 Jul 2026 09:00:00 GMT", "date": MONDAY}, 0.0),
        ({"retry-after": "Mon, 01 Jan 1990 00:00:00 GMT"}, 0.0),
        ({"retry-after": "Mon, 06 Jul -1 10:00:00 +99999999999"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_header_breaks_it(value: str, date: str) -> None:
    seconds = retry_after_s({"retry-after": value, "date": date})
    assert seconds is None or seconds >= 0


@asynccontextmanager
async def says(reply: bytes) -> AsyncIterator[int]:
    """A TCP server that answers anything with `reply` and closes; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(reply)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("scheme", "reply", "expected"),
    [
        ("http", b"SSH-2.0-OpenSSH\r\n\r\n", "the reply is not HTTP"),
        ("http", b"", "ServerDisconnectedError"),
        ("https", b"HTTP/1.1 400 Bad Request\r\n\r\n", "the TLS connection is not trusted or failed"),
    ],
)
async def test_servers_of_another_kind(scheme: str, reply: bytes, expected: str) -> None:
    async with says(reply) as port:
        with pytest.raises(EndpointUnusable) as caught:
            await Endpoint.connect(parse_spec(f"m@{scheme}://127.0.0.1:{port}/v1", env={}), env={})
    assert expected in str(caught.value)
