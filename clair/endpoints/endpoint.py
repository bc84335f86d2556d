"""One model that can be asked: the only thing about endpoints that the pipeline knows.

    endpoint = await Endpoint.connect(parse_spec("m@http://localhost:8000/v1", env=os.environ))
    reply = await endpoint.complete(endpoint.body(messages, sample_index=0))

`complete` returns an answer, or raises RowFailure (this question ends here) or EndpointUnusable (the run
stops). The one retry layer is here: a question waits for a permit (`limiter.py`), is sent to a replica
(`client.py`), and is tried again if that may help (`classify.py`), until it has had its share of failures or
the circuit opens (`breaker.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio

from clair.endpoints.breaker import Breaker
from clair.endpoints.charge import Allow, Charge, free, is_uncharged
from clair.endpoints.classify import FAILURES, Verdict, classify
from clair.endpoints.client import Client, Secret, Transport, find_key, sockets_available
from clair.endpoints.controller import ADAPTIVE_MAXIMUM, ADAPTIVE_START, Controller, End
from clair.endpoints.limiter import Limiter, NotSent, Permit
from clair.endpoints.options import Limits, Sampling
from clair.endpoints.pricing import find_price, worst_cost_usd
from clair.endpoints.probe import probe
from clair.endpoints.reply import Reply, parse_reply, stated_cost_usd
from clair.endpoints.retry import AttemptFailed, Attempts, retrying
from clair.endpoints.spec import EndpointSpec
from clair.errors import EndpointUnusable, RowFailure, UsageError
from clair.records import Message

__all__ = ["Endpoint", "Limits", "NotSent", "Reply", "Sampling", "Stats"]


class Stats:
    """What an endpoint shows of itself while it works."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self.requests = 0
        self.retries = 0
        self.rate_limited = 0

    @property
    def in_flight(self) -> int:
        """Requests sent and not answered yet."""
        return self._limiter.in_flight

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return self._limiter.limit


class Endpoint:
    """A model on one or more replicas. Made by `connect`, closed by `aclose`."""

    def __init__(
        self,
        spec: EndpointSpec,
        clients: Sequence[Client],
        *,
        key: Secret,
        sampling: Sampling,
        limits: Limits,
        maxima: Sequence[int],
        prices: Mapping[str, tuple[float, float]],
        clock: Callable[[], float],
    ) -> None:
        assert spec.model is not None
        self.model = spec.model
        self.identity = spec.identity
        self.price = find_price(spec.model, spec.base_urls[0], prices)
        self._is_openai = spec.is_openai
        self._clients = clients
        self._key = key
        self._sampling = sampling
        self._limits = limits
        self._clock = clock
        self._limiter = Limiter(_controllers(limits, maxima), rpm=limits.rpm, tpm=limits.tpm, clock=clock)
        self._breaker = Breaker(limits.breaker_s)
        self._unusable: str | None = None
        self._draining = asyncio.Event()
        self.stats = Stats(self._limiter)
        self._retrying = retrying(limits, sleep=self._pause)

    @classmethod
    async def connect(
        cls,
        spec: EndpointSpec,
        *,
        sampling: Sampling | None = None,
        limits: Limits | None = None,
        prices: Mapping[str, tuple[float, float]] | None = None,
        transport: Transport | None = None,
        env: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Endpoint:
        """Open the endpoint and look at every replica once, at no cost.

        `prices`: model -> USD per million input and output tokens. `transport` replaces the network (the
        sandbox). Raises UsageError (no key for OpenAI, more concurrency than the system allows) and
        EndpointUnusable.
        """
        limits = limits or Limits()
        key = find_key(spec, os.environ if env is None else env)
        maxima = _share(_maximum(limits), len(spec.base_urls))
        clients = [
            Client(url, key, max_connections=maximum, transport=transport)
            for url, maximum in zip(spec.base_urls, maxima, strict=True)
        ]
        try:
            for client in clients:
                spec = dataclasses.replace(spec, model=await probe(client, spec, key))
        except BaseException:
            for client in clients:
                await client.aclose()
            raise
        return cls(
            spec,
            clients,
            key=key,
            sampling=sampling or Sampling(),
            limits=limits,
            maxima=maxima,
            prices=prices or {},
            clock=clock,
        )

    def sampled_with(self, sampling: Sampling) -> Endpoint:
        """The same model behind the same limits, asked with other sampling parameters. Closed with this one."""
        other = copy.copy(self)
        other._sampling = sampling
        return other

    def body(self, messages: Sequence[Message], sample_index: int) -> dict[str, object]:
        """The request's JSON body, exactly as sent; the content key is made of it. No API key, no URL."""
        sampling = self._sampling
        longest = "max_completion_tokens" if self._is_openai else "max_tokens"
        seed = None if sampling.seed is None else sampling.seed + sample_index
        options = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            longest: sampling.max_tokens,
            "seed": seed,
        }
        sent = {name: value for name, value in options.items() if value is not None}
        return {"model": self.model, "messages": [dict(message) for message in messages], **sent}

    async def complete(self, body: dict[str, object], allow: Allow = free) -> Reply:
        """Ask until there is an answer. May be canceled. Each try takes place inside `allow()`, waits do not.

        Raises RowFailure, EndpointUnusable, NotSent after `drain`, or what `allow` raises.
        """
        raw = json.dumps(body, separators=(",", ":")).encode()
        try:
            return await self._retrying.copy()(self._attempt, raw, _expected_tokens(raw, body), allow, Attempts())
        except AttemptFailed as failed:
            verdict = failed.verdict
        # Raised outside of the handler: the failures behind it may repeat the key in their texts.
        if verdict.action == "stop":
            raise EndpointUnusable(self._stop(verdict.detail))
        raise RowFailure(verdict.reason, verdict.detail)

    def worst_cost_usd(self, body: Mapping[str, Any]) -> float | None:
        """An upper bound of this request's cost; None without a price or a limit on the answer's length."""
        messages = body["messages"]
        return worst_cost_usd(
            self.price,
            prompt_bytes=len(json.dumps(messages, ensure_ascii=False).encode(errors="surrogatepass")),
            messages=len(messages),
            max_tokens=body.get("max_tokens", body.get("max_completion_tokens")),
        )

    def drain(self) -> None:
        """Send nothing more: what is on the wire ends as usual, what waits for a permit or a retry is NotSent."""
        self._draining.set()
        self._limiter.close()

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._clients:
            await client.aclose()

    async def _attempt(self, raw: bytes, expected_tokens: float, allow: Allow, failures: Attempts) -> Reply:
        permit = await self._limiter.acquire(expected_tokens)
        end: End = "neutral"
        wait_s = used_tokens = None
        try:
            if self._unusable is not None:
                raise EndpointUnusable(self._unusable)
            async with allow() as charge:
                self.stats.requests += 1
                self.stats.retries += bool(failures)
                reply = await self._send(self._clients[permit.replica], raw, charge)
            end, used_tokens = "ok", _used_tokens(reply)
            self._breaker.succeeded()
            return reply
        except FAILURES as error:
            verdict = self._judge(error, permit)
            failures[verdict.reason] += 1
            end, wait_s = _end(verdict), verdict.retry_after_s
            raise AttemptFailed(verdict) from None
        finally:
            self._limiter.release(permit, end, retry_after_s=wait_s, used_tokens=used_tokens)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._draining.wait(), seconds)

    async def _send(self, client: Client, raw: bytes, charge: Charge) -> Reply:
        charge.usd = None  # from here on it may be charged, whatever becomes of it
        answer = b""
        try:
            with anyio.fail_after(self._limits.timeout_s):
                answer = await client.chat(raw)
            reply = Reply(answer, parse_reply(answer, self.price))
        except FAILURES as error:
            charge.usd = 0.0 if is_uncharged(error) else stated_cost_usd(answer, self.price)
            raise
        charge.usd, charge.answered = reply.completion.cost_usd, True
        return reply

    def _judge(self, error: Exception, permit: Permit) -> Verdict:
        """The verdict, without the key in its text; "stop" as well if the circuit opens."""
        verdict = classify(error)
        verdict = dataclasses.replace(verdict, detail=self._key.redact(verdict.detail))
        self.stats.rate_limited += verdict.reason == "rate_limited"
        why = None
        if verdict.action == "retry":
            why = self._breaker.failed(
                self._clock(),
                started_at=permit.started_at,
                open_requests=self._limiter.in_flight - 1,
                detail=verdict.detail,
            )
        elif verdict.reason == "bad_request":
            why = self._breaker.rejected(verdict.detail)
        return verdict if why is None else dataclasses.replace(verdict, action="stop", detail=why)

    def _stop(self, why: str) -> str:
        self._unusable = self._unusable or f"{self.identity}: {why}."
        return self._unusable


def _maximum(limits: Limits) -> int:
    wanted = limits.concurrency or ADAPTIVE_MAXIMUM
    available = sockets_available(wanted)
    if limits.concurrency is not None and available < wanted:
        raise UsageError(
            f"--concurrency {wanted} needs as many open files; this system allows {available}. "
            "Raise the limit with `ulimit -n`, or ask for less."
        )
    return available


def _share(total: int, replicas: int) -> list[int]:
    """`total` spread over replicas, at least one each."""
    return [max(1, (total + number) // replicas) for number in range(replicas)]


def _controllers(limits: Limits, maxima: Sequence[int]) -> list[Controller]:
    fixed = limits.concurrency is not None
    return [Controller(start=m if fixed else min(m, ADAPTIVE_START), maximum=m) for m in maxima]


def _end(verdict: Verdict) -> End:
    if verdict.action != "retry":
        return "neutral"
    return "rate_limited" if verdict.reason == "rate_limited" else "failed"


def _expected_tokens(raw: bytes, body: Mapping[str, Any]) -> float:
    """For the limit per minute: four bytes a token, and the longest answer allowed (500 if none is set)."""
    longest = body.get("max_tokens", body.get("max_completion_tokens"))
    return len(raw) / 4 + (500 if longest is None else longest)


def _used_tokens(reply: Reply) -> float | None:
    usage = reply.completion.usage
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return usage.prompt_tokens + usage.completion_tokens
