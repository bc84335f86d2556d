"""The Batch API of one server, through the real `openai` client: files up and down, batches made, found and looked at.

    api = BatchApi(spec, key, limits=limits)
    await api.check()                                  # EndpointUnusable where there is no Batch API
    file_id = await api.upload(path, "clair-TAG.jsonl")
    job = await api.create(file_id, tag="TAG")         # Unclear: nobody knows whether the batch was made
    job = await api.retrieve(job.id)                   # None: the server does not know it (yet)
    async for line in api.lines(job.output_file_id): ...

Facts about OpenAI's service that shape it (the batch guide and API reference, 2026): 50,000 requests and 200 MB a file,
one model a file; a limit on enqueued prompt tokens for each model, found exceeded only after creation; metadata of 16
keys, 64 and 512 characters; lists in pages of up to 100, newest first; results within 24 h, or the batch expires with
what it has; half the price. An `error_file_id` may be an empty string.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import aiohttp
import httpx2
import openai
from openai import AsyncOpenAI, DefaultAioHttpClient
from pydantic import BaseModel, ValidationError

from clair.endpoints.batch_lines import URL
from clair.endpoints.batch_objects import Files, Job, Jobs
from clair.endpoints.bounds import LARGEST_REPLY, PLAIN, bound
from clair.endpoints.classify import FAILURES, classify, retry_after_s
from clair.endpoints.client import PLACEHOLDER_KEY, Secret
from clair.endpoints.options import Limits
from clair.endpoints.reply import MalformedBody
from clair.endpoints.retry import AttemptFailed, Attempts, retrying
from clair.endpoints.spec import EndpointSpec
from clair.errors import EndpointUnusable

TAG = "clair"
"""The key of a batch's metadata that holds the tag of its submission."""

_NO_SUCH_PATH = (404, 405, 501)
_PAGE = 100
Result = TypeVar("Result")


class Unclear(Exception):
    """The connection broke, or the server did, after a request was sent: it may have been carried out.

    `retry_after_s` is the wait that the server asked for.
    """

    def __init__(self, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class NotThere(Exception):
    """The server does not know an id. Right after its making that may pass."""


class Refused(EndpointUnusable):
    """The server has looked at the request and surely not carried it out."""


Page = TypeVar("Page", Jobs, Files)
Model = TypeVar("Model", bound=BaseModel)


class BatchApi:
    """Talks to the Batch API below one base URL. `pause` waits between two tries of a call.

    Every method raises EndpointUnusable if the server refuses for good (Refused if nothing came of it), or does not
    answer after all retries.
    """

    def __init__(
        self,
        spec: EndpointSpec,
        key: Secret,
        *,
        limits: Limits,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        (self.base_url,) = spec.base_urls
        self._key = key
        self._key_env = spec.key_env
        timeout = httpx2.Timeout(limits.timeout_s, connect=90.0, pool=90.0)
        self._openai = AsyncOpenAI(
            api_key=key.reveal(),
            base_url=self.base_url,
            max_retries=0,
            timeout=timeout,
            http_client=DefaultAioHttpClient(
                timeout=timeout, follow_redirects=False, headers=PLAIN, event_hooks={"response": [_bound]}
            ),
        )
        self._retrying = retrying(limits, sleep=pause)

    async def check(self) -> None:
        """One free look before anything is bought."""
        await self._call("GET /batches", lambda: self._list("batches", Jobs, {"limit": 1}))

    async def upload(self, path: Path, name: str) -> str:
        """The id of a new file with what `path` holds. Raises Unclear."""

        async def send() -> str:
            with path.open("rb") as file:
                made = await self._openai.files.create(file=(name, file, "application/jsonl"), purpose="batch")
            file_id = getattr(made, "id", None)
            if not isinstance(file_id, str) or not file_id:
                raise MalformedBody("the answer to the upload names no file")
            return file_id

        return await self._call("POST /files", send, repeatable=False)

    async def create(self, file_id: str, *, tag: str) -> Job:
        """A new batch that bears `tag`. Raises Unclear, or NotThere if the server does not know the file (yet)."""
        body = {
            "input_file_id": file_id,
            "endpoint": URL,
            "completion_window": "24h",
            "metadata": {TAG: tag, "made_by": "clair generate"},
        }

        async def send() -> Job:
            response = await self._openai.post("/batches", cast_to=httpx2.Response, body=body)
            return _read(Job, response.content)

        return await self._call("POST /batches", send, repeatable=False, absent=NotThere)

    async def retrieve(self, batch_id: str) -> Job | None:
        """A batch as it stands, None if the server does not know it (yet)."""

        async def look() -> Job:
            response = await self._openai.get(f"/batches/{batch_id}", cast_to=httpx2.Response)
            return _read(Job, response.content)

        try:
            return await self._call("GET /batches", look, absent=NotThere)
        except NotThere:
            return None

    async def find_batch(self, tag: str, file_id: str | None) -> Job | None:
        """The batch that bears `tag`, or was made of this file (not all servers keep metadata), if one is listed."""
        async for page in self._pages("batches", Jobs, {}):
            for job in page.data:
                if (job.metadata or {}).get(TAG) == tag or (file_id and job.input_file_id == file_id):
                    return job
        return None

    async def find_file(self, name: str, size: int) -> str | None:
        """The id of an uploaded file of this name and size, if the server lists one."""
        async for page in self._pages("files", Files, {"purpose": "batch"}):
            for file in page.data:
                if file.filename == name and file.bytes in (None, size):
                    return file.id
        return None

    async def lines(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """The lines of a file, one at a time; one that is too long to be an answer is cut. Not retried.

        Raises NotThere, or Unclear if the transfer broke off.
        """
        try:
            async with self._openai.files.with_streaming_response.content(file_id) as response:
                rest = b""
                async for part in response.iter_bytes():
                    *whole, rest = (rest + part).split(b"\n")
                    for line in whole:
                        yield line
                    rest = rest[: LARGEST_REPLY + 1]
                yield rest
        except (*FAILURES, httpx2.TransportError) as error:  # the client wraps what breaks before the body only
            raise self._failure(f"GET /files/{file_id}/content", error, NotThere) from None

    def redact(self, text: str) -> str:
        """`text` without the API key, which servers like to repeat."""
        return self._key.redact(text)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._openai.close()

    async def _pages(self, path: str, kind: type[Page], query: dict[str, object]) -> AsyncIterator[Page]:
        after: str | None = None
        while True:
            asked = {**query, "limit": _PAGE, **({} if after is None else {"after": after})}
            page = await self._call(f"GET /{path}", lambda: self._list(path, kind, asked))  # noqa: B023
            yield page
            last = page.data[-1].id if page.data else None
            if not page.has_more or last in (None, after):
                return
            after = last

    async def _list(self, path: str, kind: type[Page], query: dict[str, object]) -> Page:
        response = await self._openai.get(f"/{path}", cast_to=httpx2.Response, options={"params": query})
        return _read(kind, response.content)

    async def _call(
        self,
        name: str,
        send: Callable[[], Awaitable[Result]],
        *,
        repeatable: bool = True,
        absent: type[Exception] | None = None,
    ) -> Result:
        """Send until it is answered. What is not `repeatable` is sent again only if it surely was not carried out."""

        async def attempt(failures: Attempts) -> Result:
            try:
                return await send()
            except FAILURES as error:
                verdict = classify(error)
                failures[verdict.reason] += 1
                if verdict.action == "retry" and (repeatable or _never_sent(error)):
                    raise AttemptFailed(verdict) from None
                raise self._failure(name, error, absent) from None

        try:
            return await self._retrying.copy()(attempt, Attempts())
        except AttemptFailed as failed:
            detail = self._key.redact(failed.verdict.detail)
        if not repeatable:
            raise Unclear(detail)
        raise EndpointUnusable(f"{self.base_url}: {name} fails again and again; the last time: {detail}.")

    def _failure(self, name: str, error: Exception, absent: type[Exception] | None) -> Exception:
        verdict = classify(error)
        detail = self._key.redact(verdict.detail)
        status = error.status_code if isinstance(error, openai.APIStatusError) else None
        if status == 404 and absent is not None:
            return absent(detail)
        if verdict.action == "retry":
            return Unclear(detail, verdict.retry_after_s)
        if status in _NO_SUCH_PATH:
            return Refused(
                f"{self.base_url} has no Batch API ({name} answers {status}). Leave out --engine batch, or name with "
                "--batch-parts only models on servers that have one."
            )
        if status == 401:
            which = "asks for an API key: set" if self._key.reveal() == PLACEHOLDER_KEY else "refused the API key in"
            return Refused(f"{self.base_url} {which} the environment variable {self._key_env}. ({detail})")
        # "Later" may be a gateway's word on its second try; what became of the first one is not known.
        kind = EndpointUnusable if _later(error) else Refused
        advice = " Check the API key." if verdict.action == "forbidden" else ""
        return kind(f"{self.base_url}: {name} was refused. {detail}.{advice}")


def _later(error: Exception) -> bool:
    return isinstance(error, openai.APIStatusError) and retry_after_s(error.response.headers) is not None


def _never_sent(error: Exception) -> bool:
    """Whether a failed call never reached the server."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return True
        cause = cause.__cause__
    return False


def _read(kind: type[Model], raw: bytes) -> Model:
    try:
        return kind.model_validate_json(raw)
    except ValidationError:
        raise MalformedBody(f"not what the Batch API answers; it starts {raw[:80]!r}") from None


async def _bound(response: httpx2.Response) -> None:
    """Files are read line by line, so only their lines are bounded; every other reply as a whole."""
    if response.is_success and response.request.url.path.endswith("/content"):
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise MalformedBody("a compressed file, which was not asked for")
        return
    await bound(response)
