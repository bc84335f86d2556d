"""The sandbox as a real HTTP server, on the loopback address only.

    clair sandbox serve --port 8000
    clair generate prompts.jsonl --target sandbox-student@http://127.0.0.1:8000/v1 ...

It is for trying other clients and for many processes at once; a single run needs no server (see `transport`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from aiohttp import web

from clair.errors import UsageError
from clair.sandbox.app import SandboxApp

HOST = "127.0.0.1"
MAX_BODY_BYTES = 16 * 2**20


def serve(
    port: int,
    *,
    student: str | Path | None = None,
    faults: float = 0.04,
    seed: int = 0,
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until interrupted. `on_ready` gets the base URL (".../v1") once the port listens; port 0 is any free one.

    UsageError if the port cannot be had.
    """

    async def forever() -> None:
        async with running(SandboxApp(student=student, faults=faults, seed=seed), port) as base_url:
            on_ready(base_url)
            await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(forever())


@contextlib.asynccontextmanager
async def running(app: SandboxApp, port: int) -> AsyncIterator[str]:
    """The app listening on a port of the loopback address while the context is open; gives the base URL."""
    runner = web.AppRunner(_web_application(app), access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, HOST, port).start()
        except (OSError, OverflowError) as error:
            raise UsageError(f"cannot listen on {HOST}:{port}: {error}. Choose another --port") from error
        yield f"http://{HOST}:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()
        await asyncio.to_thread(app.close)


def _web_application(app: SandboxApp) -> web.Application:
    async def handle(request: web.Request) -> web.Response:
        status, body = await app.respond(request.method, request.path, await request.read())
        return web.Response(status=status, body=body, content_type="application/json")

    application = web.Application(client_max_size=MAX_BODY_BYTES)
    application.router.add_route("*", "/{path:.*}", handle)
    return application
