"""The sandbox's server is for this machine alone. Real: a server on a port of the system's choice."""

from __future__ import annotations

from unittest import mock

from aiohttp import web

from clair.sandbox.app import SandboxApp
from clair.sandbox.server import running


async def test_the_server_listens_on_the_loopback_address_and_on_no_other():
    made: list[web.AppRunner] = []

    class Remembered(web.AppRunner):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)  # type: ignore[arg-type]
            made.append(self)

    with mock.patch("clair.sandbox.server.web.AppRunner", Remembered):
        async with running(SandboxApp(), 0) as base_url:
            assert base_url.startswith("http://127.0.0.1:")
            assert [address[0] for runner in made for address in runner.addresses] == ["127.0.0.1"]
