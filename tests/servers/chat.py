"""An OpenAI-compatible chat server for tests, with scripted faults over real HTTP.

    with ChatServer(lambda body: body["messages"][-1]["content"].upper()) as server:
        ...  # talk to server.base_url with any client
    assert server.count == 1

`answer` maps the request's JSON body to a text, a `Reply` (text with finish reason, usage, latency) or a
`Fault` (status, headers, raw bytes, a stall, a cut body, a reset connection). It runs in the server's thread.
The server is real: one thread, its own event loop, a TCP port chosen by the system. It is written on a bare
asyncio protocol because load tests share the processor with it: about 30 µs a request, and bytes on the wire
can be wrong in any way. `python -m tests.servers.chat --port 8000 --latency 0.5` runs it as a process of its
own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """One chat completion. `usage` None leaves it out; `latency_s` None takes the server's."""

    text: str | None
    finish_reason: str | None = "stop"
    refusal: str | None = None
    usage: tuple[int, int] | None = (10, 5)
    latency_s: float | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Something other than a completion: an error status, or a breach of the protocol.

    `body` is sent as it is if bytes, as JSON otherwise; `headers` may lie about its length. `stall_s` waits before
    answering. `cut_after` promises the whole body, sends that many bytes of it and closes. `reset` drops the
    connection without a reply.
    """

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    stall_s: float | None = None
    cut_after: int | None = None
    reset: bool = False


def error(status: int, message: str = "scripted", *, headers: Mapping[str, str] | None = None, **fields: Any) -> Fault:
    """A fault with a body in OpenAI's error form; `fields` are `code`, `type`, `param`."""
    return Fault(status=status, body={"error": {"message": message, **fields}}, headers=headers or {})


Answer = Callable[[Body], "str | Reply | Fault"]


def echo(body: Body) -> str:
    """Answer with the last message, in capitals."""
    return str(body["messages"][-1]["content"]).upper()


class ChatServer:
    """Serve `answer` under `base_url` while the `with` block runs. See the module's docstring."""

    def __init__(
        self,
        answer: Answer = echo,
        *,
        latency_s: float = 0.0,
        models: tuple[str, ...] | None = ("m",),
        api_key: str | None = None,
        keep_bodies: bool = True,
        models_fault: Fault | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`models=None` makes `/models` answer 404; `models_fault` replaces the list by a fault; `tls`: over HTTPS."""
        self.answer = answer
        self.latency_s = latency_s
        self.models = models
        self.api_key = api_key
        self.keep_bodies = keep_bodies
        self.models_fault = models_fault
        self.bodies: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.count = 0
        self.in_flight = 0
        self.max_in_flight = 0
        self.connections = 0
        self.port = port
        self.tls = tls
        self._open: set[_Connection] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="chat-server")

    @property
    def base_url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> ChatServer:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(timeout=10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    async def _listen(self) -> None:
        sock = socket.create_server(("127.0.0.1", self.port), backlog=8192)
        self.port = sock.getsockname()[1]
        self._server = await self._loop.create_server(lambda: _Connection(self), sock=sock, backlog=8192, ssl=self.tls)

    async def _stop(self) -> None:
        self._server.close()
        for connection in list(self._open):
            connection.drop()
        await asyncio.sleep(0)

    def respond(self, connection: _Connection, method: str, path: str, headers: dict[str, str], raw: bytes) -> None:
        self.paths.append(f"{method} {path}")
        if self.api_key is not None and headers.get("authorization") != f"Bearer {self.api_key}":
            connection.send(error(401, "Incorrect API key provided", code="invalid_api_key"))
        elif path == "/v1/models" and self.models_fault is not None:
            connection.send(self.models_fault)
        elif path == "/v1/models" and self.models is not None:
            listed = [{"id": name, "object": "model"} for name in self.models]
            connection.send(Fault(body={"object": "list", "data": listed}))
        elif (method, path) == ("POST", "/v1/chat/completions"):
            self._chat(connection, headers, raw)
        else:
            connection.send(Fault(status=404, body={"detail": "Not Found"}))

    def _chat(self, connection: _Connection, headers: dict[str, str], raw: bytes) -> None:
        body = json.loads(raw)
        self.count += 1
        if self.keep_bodies:
            self.bodies.append(body)
            self.headers.append(headers)
        answer = self.answer(body)
        reply = Reply(answer) if isinstance(answer, str) else answer
        if isinstance(reply, Fault):
            connection.later(reply, reply.stall_s)
            return
        latency_s = self.latency_s if reply.latency_s is None else reply.latency_s
        connection.later(Fault(body=_completion(body, reply, self.count)), latency_s)


def _completion(body: Body, reply: Reply, number: int) -> Body:
    message = {"role": "assistant", "content": reply.text}
    if reply.refusal is not None:
        message["refusal"] = reply.refusal
    completion: Body = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": reply.model or body.get("model", ""),
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason, "logprobs": None}],
    }
    if reply.usage is not None:
        prompt, answer = reply.usage
        completion["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "total_tokens": prompt + answer,
        }
    return completion


class _Connection(asyncio.Protocol):
    """One client connection; requests on it are answered one after the other."""

    def __init__(self, server: ChatServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._server.connections += 1
        self._server._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server._open.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._server.in_flight -= 1

    def drop(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        start, length = end + 4, int(headers.get("content-length", "0"))
        if len(self._buffer) < start + length:
            return
        raw = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        method, path, _ = first.split(" ")
        self._server.respond(self, method, path, headers, raw)

    def later(self, what: Fault, delay_s: float | None) -> None:
        server = self._server
        server.in_flight += 1
        server.max_in_flight = max(server.max_in_flight, server.in_flight)
        self._timer = server._loop.call_later(delay_s or 0.0, self._finish, what)

    def _finish(self, what: Fault) -> None:
        self._timer = None
        self._server.in_flight -= 1
        self.send(what)

    def send(self, what: Fault) -> None:
        if what.reset:
            self._transport.abort()
            return
        raw = what.body if isinstance(what.body, bytes) else json.dumps(what.body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(raw)), **what.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        sent = raw if what.cut_after is None else raw[: what.cut_after]
        self._transport.write(f"HTTP/1.1 {what.status} Scripted\r\n{head}\r\n".encode("latin-1") + sent)
        if what.cut_after is not None:
            self._transport.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--words", type=int, default=0, help="answer with so many words instead of the echo")
    parser.add_argument("--slots", type=int, default=0, help="serve so many at once, and refuse others with 429")
    options = parser.parse_args()
    text = " ".join(f"word{i}" for i in range(options.words))

    def answer(body: Body) -> str | Fault:
        if options.slots and server.in_flight >= options.slots:
            return error(429)
        return text if options.words else echo(body)

    with ChatServer(answer, latency_s=options.latency, keep_bodies=False, port=options.port) as server:
        print(server.base_url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
