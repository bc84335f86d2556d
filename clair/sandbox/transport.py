"""The sandbox behind an httpx client, in the same process: no port, no socket, the same requests.

    client = openai.AsyncOpenAI(
        base_url="http://sandbox/v1", api_key="unused",
        http_client=httpx.AsyncClient(transport=SandboxTransport()),
    )

The client does everything that it does over a network, so what works here works with a real endpoint.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from clair.sandbox.app import SandboxApp


class SandboxTransport(httpx.AsyncBaseTransport):
    """Answers every request with a `SandboxApp`, whatever the host; its options are the app's."""

    def __init__(self, *, student: str | Path | None = None, faults: float = 0.04, seed: int = 0) -> None:
        self.app = SandboxApp(student=student, faults=faults, seed=seed)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request, answered in process."""
        body = await request.aread()
        status, content = await self.app.respond(request.method, request.url.path, body)
        return httpx.Response(status, headers={"content-type": "application/json"}, content=content, request=request)

    async def aclose(self) -> None:
        """End the student's thread, without holding up the event loop."""
        await asyncio.to_thread(self.app.close)
