"""One server, reached with the real `openai` client over its aiohttp transport.

Lean on purpose: a request goes through the client's own `post` with a body that is JSON already, an absolute
URL and all options set, and comes back as the raw body. That is the same wire and the same exceptions as
`chat.completions.create` at about 0.8 ms of processor time instead of 2. The client's retries are off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
import httpx2
import openai
from openai import AsyncOpenAI, DefaultAioHttpClient, Omit

from clair.endpoints.bounds import PLAIN, bound
from clair.endpoints.classify import classify
from clair.endpoints.spec import EndpointSpec
from clair.endpoints.spelling import Spelling
from clair.errors import UsageError

Transport = httpx2.AsyncBaseTransport | httpx.AsyncBaseTransport

PLACEHOLDER_KEY = "no-key-set"
"""Sent if no key is set, but not to OpenAI: local servers ask for none, the client insists on one."""

# A starved event loop shows up as a connect timeout, and 4,096 connections opened at once take the kernel's
# retries of up to 63 s. Waiting for the answer is bounded by the deadline of the whole request instead.
_TIMEOUT = httpx2.Timeout(None, connect=90.0, pool=90.0)

# Servers on uvicorn (vLLM, SGLang) close idle connections after 5 s; reusing one just then would fail.
_KEEPALIVE_S = 4.0

# What the client tells about the caller's machine is left out: half of the headers, a tenth of the time.
_QUIET = {
    f"X-Stainless-{name}": Omit()
    for name in ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
}

# Every option is given, for the client deep-copies the default of each one that is not.
_OPTIONS: Any = {
    "params": {},
    "headers": {"X-Stainless-Retry-Count": Omit(), "X-Stainless-Read-Timeout": Omit()},
    "max_retries": 0,
    "timeout": _TIMEOUT,
    "idempotency_key": "",
    "follow_redirects": False,
    "security": {"bearer_auth": True},
    "extra_json": None,
    "synthesize_event_and_data": None,
    "stream_mode": "legacy",
}


_RECOGNIZABLE = 8  # so many first characters of a key are taken for the key


class Secret:
    """An API key that does not show itself. `redact` takes it out of texts that others wrote."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "Secret(***)"

    def reveal(self) -> str:
        """The key itself."""
        return self._value

    def redact(self, text: str) -> str:
        """`text` without the key, also where the text was cut off in the middle of it."""
        for end in range(len(self._value), min(len(self._value), _RECOGNIZABLE) - 1, -1):
            text = text.replace(self._value[:end], "***")
        return text


def find_key(spec: EndpointSpec, env: Mapping[str, str]) -> Secret:
    """The key in the variable `spec.key_env`. It is sent to whatever base URL the user gave, as `openai`
    itself does.

    Raises UsageError if OpenAI is asked without a key.
    """
    key = env.get(spec.key_env, "").strip()
    if key and not spec.sandbox:
        return Secret(key)
    if spec.is_openai:
        raise UsageError(
            f"No API key for {spec.identity}: set the environment variable {spec.key_env}. "
            "For a server of your own write MODEL@BASE_URL."
        )
    return Secret(PLACEHOLDER_KEY)


class Client:
    """Talks to one base URL. Raises what `openai` (and, for bytes that are not HTTP, `aiohttp`) raises."""

    def __init__(self, base_url: str, key: Secret, *, max_connections: int, transport: Transport | None = None) -> None:
        self.base_url = base_url
        self.spelling = Spelling(base_url)
        self._chat_url = f"{base_url}/chat/completions"
        self._openai = AsyncOpenAI(
            api_key=key.reveal(),
            base_url=base_url,
            max_retries=0,
            default_headers=_QUIET,  # type: ignore[arg-type]  # Omit is how the client documents leaving one out
            http_client=_http_client(max_connections, transport),
        )

    async def chat(self, body: Mapping[str, object]) -> bytes:
        """POST a chat completion. The body of the reply, whatever it is.

        A request that is refused for one of its names is sent at once under the other one: no failure, but what has to
        be found out about this server once.
        """
        try:
            return await self._post(body)
        except openai.BadRequestError as error:
            if not self.spelling.mended(classify(error).refused):
                raise
        return await self._post(body)

    async def get(self, path: str) -> bytes:
        """GET a path below the base URL."""
        response = await self._openai.get(f"{self.base_url}/{path}", cast_to=httpx2.Response)
        return response.content

    async def aclose(self) -> None:
        """Close all connections."""
        await self._openai.close()

    async def _post(self, body: Mapping[str, object]) -> bytes:
        response = await self._openai.post(
            self._chat_url,
            cast_to=httpx2.Response,
            content=json.dumps(self.spelling.of(body), separators=(",", ":")).encode(),
            options=_OPTIONS,
        )
        return response.content


def _http_client(max_connections: int, transport: Transport | None) -> Any:
    common: dict[str, Any] = {"timeout": _TIMEOUT, "follow_redirects": False}
    if isinstance(transport, httpx2.AsyncBaseTransport):
        return httpx2.AsyncClient(transport=transport, **common)
    if transport is not None:
        return httpx.AsyncClient(transport=transport, timeout=_TIMEOUT.as_dict()["connect"], follow_redirects=False)
    # max_connections=None would mean aiohttp's own default of 100, and the client's default is 1,000.
    limits = httpx2.Limits(max_connections=max_connections, keepalive_expiry=_KEEPALIVE_S)
    hooks = {"response": [bound]}
    return DefaultAioHttpClient(limits=limits, headers=PLAIN, event_hooks=hooks, **common)


def sockets_available(wanted: int) -> int:
    """How many of `wanted` connections the system allows. Raises the soft limit of open files for it."""
    try:
        import resource
    except ImportError:
        return wanted
    spare = 256  # for the ledger, shards, pipes and libraries
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + spare:
        target = wanted + spare if hard == resource.RLIM_INFINITY else min(hard, wanted + spare)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, target), hard))
        except (ValueError, OSError):
            return max(1, min(wanted, soft - spare))
        return max(1, min(wanted, max(soft, target) - spare))
    return wanted
