"""One model that can be asked: the only thing about endpoints that the pipeline knows.

    endpoint = await Endpoint.connect(parse_spec("m@http://localhost:8000/v1", env=os.environ))
    reply = await endpoint.complete(endpoint.body(messages, sample_index=0))

`complete` returns an answer, or raises RowFailure (this question ends here) or EndpointUnusable (the run
stops). The one retry layer is here: a question waits for a permit (`limiter.py`), is sent to a replica
(`client.py`), and is tried again if that may help (`classify.py`), until it has had its share of failures or
no server is of use any more (`replica.py`).
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

from clair.endpoints.bucket import expected_tokens
from clair.endpoints.charge import Allow, Charge, free, is_uncharged
from clair.endpoints.classify import FAILURES, classify
from clair.endpoints.client import Client, Secret, Transport, find_key, sockets_available
from clair.endpoints.controller import ADAPTIVE_MAXIMUM, ADAPTIVE_START, Controller, End
from clair.endpoints.limiter import Limiter, NotSent, Permit
from clair.endpoints.options import Limits, Sampling
from clair.endpoints.pricing import find_price, worst_cost_usd
from clair.endpoints.probe import probe_all
from clair.endpoints.replica import Judged, Notify, Replica, Replicas
from clair.endpoints.reply import Reply, parse_new, stated_cost_usd
from clair.endpoints.retry import AttemptFailed, Attempts, retrying
from clair.endpoints.spec import EndpointSpec
from clair.endpoints.spelling import Spelling
from clair.errors import EndpointUnusable, RowFailure, UsageError
from clair.records import Message

__all__ = ["Endpoint", "Limits", "NotSent", "Reply", "Sampling", "Stats"]


class Stats:
    """What an endpoint shows of itself while it works."""

    def __init__(self, limiter: Limiter, replicas: Sequence[Replica]) -> None:
        self._limiter = limiter
        self.replicas = replicas
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
        replicas: Replicas,
        *,
        key: Secret,
        sampling: Sampling,
        limits: Limits,
        prices: Mapping[str, tuple[float, float]],
        clock: Callable[[], float],
    ) -> None:
        assert spec.model is not None
        self.model = spec.model
        self.where = spec.identity
        self.identity = spec.identity
        """The name in content keys. Whoever goes on with earlier answers sets it to the one that they have."""
        self.price = find_price(spec.model, spec.base_urls[0], prices)
        self._replicas = replicas
        self._key = key
        self._sampling = sampling
        self._limits = limits
        self._clock = clock
        controllers = [replica.controller for replica in replicas.all]
        self._limiter = Limiter(controllers, most=limits.concurrency, rpm=limits.rpm, tpm=limits.tpm, clock=clock)
        self._unusable: str | None = None
        self._draining = asyncio.Event()
        self.stats = Stats(self._limiter, replicas.all)
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
        """Open the endpoint and look at every server once, at no cost.

        `prices`: model -> USD per million input and output tokens. `transport` replaces the network (the
        sandbox). One of several servers that does not answer is left out until it does. Raises UsageError (no key for
        OpenAI, more concurrency than the system allows) and EndpointUnusable.
        """
        limits = limits or Limits()
        key = find_key(spec, os.environ if env is None else env)
        maxima = _share(_maximum(limits), len(spec.base_urls))
        clients = [
            Client(url, key, max_connections=maximum, transport=transport)
            for url, maximum in zip(spec.base_urls, maxima, strict=True)
        ]
        try:
            model, silent = await probe_all(clients, spec, key)
        except BaseException:
            for client in clients:
                await client.aclose()
            raise
        parts = zip(clients, _controllers(limits, maxima), strict=True)
        replicas = Replicas([Replica(*part, breaker_s=limits.breaker_s) for part in parts])
        for number, why in silent.items():
            replicas.leave_out(number, why, clock())
        return cls(
            dataclasses.replace(spec, model=model),
            replicas,
            key=key,
            sampling=sampling or Sampling(),
            limits=limits,
            prices=prices or {},
            clock=clock,
        )

    def sampled_with(self, sampling: Sampling) -> Endpoint:
        """The same model behind the same limits, asked with other sampling parameters. Closed with this one."""
        other = copy.copy(self)
        other._sampling = sampling
        return other

    def body(self, messages: Sequence[Message], sample_index: int) -> dict[str, object]:
        """The request's JSON body, of which the content key is made. No API key, no URL, the same for all servers."""
        sampling = self._sampling
        seed = None if sampling.seed is None else sampling.seed + sample_index
        options = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": seed,
        }
        sent = {name: value for name, value in options.items() if value is not None}
        return {"model": self.model, "messages": [dict(message) for message in messages], **sent}

    @property
    def spelling(self) -> Spelling:
        """How a body is sent to the one server, or the first of several."""
        return self._replicas.all[0].client.spelling

    async def complete(self, body: dict[str, object], allow: Allow = free) -> Reply:
        """Ask until there is an answer. May be canceled. Each try takes place inside `allow()`, waits do not.

        Raises RowFailure, EndpointUnusable, NotSent after `drain`, or what `allow` raises.
        """
        is_counted = self._limits.tpm is not None
        tokens = expected_tokens(len(json.dumps(body, separators=(",", ":"))), body) if is_counted else 0.0
        try:
            return await self._retrying.copy()(self._attempt, body, tokens, allow, Attempts())
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
            max_tokens=body.get("max_tokens"),
        )

    def listen(self, notify: Notify) -> None:
        """Tell `notify`, in sentences for the user, which of several servers is left out, and when it is back."""
        self._replicas.listen(notify)

    def drain(self) -> None:
        """Send nothing more: what is on the wire ends as usual, what waits for a permit or a retry is NotSent."""
        self._draining.set()
        self._limiter.close()

    async def aclose(self) -> None:
        """Close all connections."""
        for replica in self._replicas.all:
            await replica.client.aclose()

    async def _attempt(self, body: Mapping[str, object], tokens: float, allow: Allow, failures: Attempts) -> Reply:
        permit = await self._limiter.acquire(tokens, avoid=failures.failed_at)
        replica = self._replicas.all[permit.replica]
        end: End = "neutral"
        wait_s = used_tokens = None
        detail = ""
        try:
            if self._unusable is not None:
                raise EndpointUnusable(self._unusable)
            async with allow() as charge:
                self.stats.requests += 1
                self.stats.retries += bool(failures.failed_at)
                replica.requests += 1
                reply = await self._send(replica.client, body, charge)
            end, used_tokens = "ok", _used_tokens(reply)
            replica.answers += 1
            replica.breaker.succeeded()
            return reply
        except FAILURES as error:
            verdict, end, moves = self._judge(error, permit, failures)
            failures[verdict.reason] += not moves
            wait_s, detail = verdict.retry_after_s, verdict.detail
            raise AttemptFailed(verdict, moves=moves) from None
        finally:
            self._limiter.release(permit, end, retry_after_s=wait_s, used_tokens=used_tokens)
            self._replicas.watch(permit.replica, detail, self._clock())

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._draining.wait(), seconds)

    async def _send(self, client: Client, body: Mapping[str, object], charge: Charge) -> Reply:
        charge.usd = None  # from here on it may be charged, whatever becomes of it
        answer = b""
        try:
            with anyio.fail_after(self._limits.timeout_s):
                answer = await client.chat(body)
            reply = Reply(answer, parse_new(answer, self.price))
        except FAILURES as error:
            charge.usd = 0.0 if is_uncharged(error) else stated_cost_usd(answer, self.price)
            raise
        charge.usd, charge.answered = reply.completion.cost_usd, True
        return reply

    def _judge(self, error: Exception, permit: Permit, failures: Attempts) -> Judged:
        """What a failure comes to, without the key in its text."""
        verdict = classify(error)
        verdict = dataclasses.replace(verdict, detail=self._key.redact(verdict.detail))
        self.stats.rate_limited += verdict.reason == "rate_limited"
        return self._replicas.judge(
            permit.replica,
            verdict,
            failures,
            now=self._clock(),
            started_at=permit.started_at,
            waiting=self._limiter.waiting,
        )

    def _stop(self, why: str) -> str:
        self._unusable = self._unusable or f"{self.where}: {why}."
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


def _used_tokens(reply: Reply) -> float | None:
    usage = reply.completion.usage
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return usage.prompt_tokens + usage.completion_tokens
