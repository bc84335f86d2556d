"""What a server can make this program hold or compute: a bounded number of bytes for each reply, and no decoding.

    httpx2.AsyncClient(headers=PLAIN, event_hooks={"response": [bound]})

A reply is measured while it is read, whatever length it claims. Compressed replies are not asked for and not
accepted: a megabyte of gzip can hold a gigabyte. Text is read as UTF-8, as JSON is, whatever charset is named:
Python's punycode codec takes hours for some megabytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

from clair.endpoints.reply import MalformedBody

LARGEST_REPLY = 8 * 2**20
"""Bytes. 128,000 tokens of answer are about 0.6 MB, 2 MB with every character escaped."""

LARGEST_ERROR = 2**16
"""Bytes read of a reply with an error status. It is cut there: the status says what to do."""

PLAIN = {"Accept-Encoding": "identity"}


class UnboundedReply(Exception):
    """An answer that is too long."""


async def bound(response: httpx2.Response) -> None:
    """Response hook: refuse what the headers give away, and watch the body.

    Raises MalformedBody for a compressed answer, UnboundedReply while the body of one is read that is too long. The
    connection is closed then.
    """
    encoding = response.headers.pop("content-encoding", "identity").strip().lower()
    plain = encoding in ("", "identity")
    response.encoding = "utf-8"
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    if not response.is_success:
        response.stream = _Bounded(response.stream, LARGEST_ERROR if plain else 0, cut=True)
        return
    if not plain:
        raise MalformedBody(f"the reply is compressed ({encoding[:20]!r}), which was not asked for")
    response.stream = _Bounded(response.stream, LARGEST_REPLY, cut=False)


class _Bounded(httpx2.AsyncByteStream):
    """The first `most` bytes of a stream; if there are more, it ends there (`cut`) or raises."""

    def __init__(self, stream: httpx2.AsyncByteStream, most: int, *, cut: bool) -> None:
        self._stream = stream
        self._most = most
        self._cut = cut

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most
        async for part in self._stream:
            yield part[:left]
            left -= len(part)
            if left < 0 and self._cut:
                return
            if left < 0:
                raise UnboundedReply(f"the reply is longer than {self._most // 2**20} MiB")

    async def aclose(self) -> None:
        await self._stream.aclose()
