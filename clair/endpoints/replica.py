"""The servers of one endpoint: which of them are in use, and what a failure on one of them means.

    replicas = Replicas([Replica(client, controller, breaker_s=120.0), ...])
    judged = replicas.judge(0, verdict, failures, now=now, started_at=started_at, waiting=3)

Each has a limit (`controller.py`) and a breaker (`breaker.py`) of its own. One that fails is left out, and taken back
when it answers again; what it says about itself (a wrong key, an unknown model) leaves it out as well, for the others
may be right. The endpoint is of no use once all of them are given up. With one server that is the same as its breaker.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

from clair.endpoints.breaker import Breaker
from clair.endpoints.classify import Verdict
from clair.endpoints.client import Client
from clair.endpoints.controller import Controller, End
from clair.endpoints.retry import UNSURE, Attempts

Notify = Callable[[str], None]
"""Takes a sentence for the user."""

_ELSEWHERE = frozenset({"connection", "overloaded"})
"""Failures that came without an answer and at no cost: another server may do at once what this one did not."""
_QUIET_S = 60.0  # a server that comes and goes is not talked about more often


class Replica:
    """One server. `requests` were sent to it, `answers` came back."""

    def __init__(self, client: Client, controller: Controller, *, breaker_s: float) -> None:
        self.client = client
        self.controller = controller
        self.breaker = Breaker(breaker_s)
        self.requests = 0
        self.answers = 0
        self.noted_at = float("-inf")
        self.is_noted_out = False

    @property
    def url(self) -> str:
        """Its base URL."""
        return self.client.base_url


class Judged(NamedTuple):
    """What a failure comes to. `moves`: the question goes on elsewhere at once, and has not failed by itself."""

    verdict: Verdict
    end: End
    moves: bool = False


class Replicas:
    """All servers of an endpoint, in `all`."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.all = tuple(replicas)
        self._unheard: list[str] = []
        self._notify: Notify = self._unheard.append

    def listen(self, notify: Notify) -> None:
        """From now on, and for what happened so far: `notify` hears of a server among several that goes or returns."""
        self._notify = notify
        while self._unheard:
            notify(self._unheard.pop(0))

    def judge(
        self, number: int, verdict: Verdict, failures: Attempts, *, now: float, started_at: float, waiting: int
    ) -> Judged:
        """What `verdict` on a request to server `number` means for its question, which failed as `failures` say.

        A question moves on from each server once, so one that brings servers down ends like any other. `waiting` are
        those not sent: what an only server says to them may tell whether it refuses all.
        """
        if verdict.action == "forbidden" or (verdict.action == "row" and verdict.reason == "bad_request"):
            is_first_try = not failures[verdict.reason]
            still_open = self.all[number].controller.in_flight - 1 + (waiting if len(self.all) == 1 else 0)
            verdict, is_gone = _row_or_server(
                self.all[number].breaker, verdict, is_first_try=is_first_try, still_open=still_open
            )
        else:
            is_gone = self._tell_breaker(self.all[number], verdict, now, started_at)
        if all(replica.breaker.why is not None for replica in self.all):
            return Judged(dataclasses.replace(verdict, action="stop", detail=self._why()), _end(verdict))
        if is_gone:
            verdict = dataclasses.replace(verdict, action="retry", retry_after_s=None)
        is_first = number not in failures.failed_at
        failures.failed_at.add(number)
        others = (replica for other, replica in enumerate(self.all) if other != number)
        moves = (is_gone or verdict.reason in _ELSEWHERE) and is_first and not all(r.controller.is_out for r in others)
        return Judged(verdict, "gone" if is_gone else _end(verdict), moves)

    def leave_out(self, number: int, why: str, now: float) -> None:
        """A server that did not answer the first look. `why` is a whole sentence."""
        replica = self.all[number]
        replica.breaker.refused(why)
        replica.controller.leave_out(now)
        replica.is_noted_out, replica.noted_at = True, now
        self._notify(f"{why} It is left out until it answers.")

    def watch(self, number: int, detail: str, now: float) -> None:
        """Tell the user if a server among several went or came back. `detail`: what was heard of it last."""
        replica = self.all[number]
        if len(self.all) == 1 or replica.controller.is_out == replica.is_noted_out:
            return
        if replica.is_noted_out:
            self._notify(f"{replica.url} answers again.")
        elif now - replica.noted_at >= _QUIET_S:
            self._notify(f"{replica.url} is left out for now: {detail}.")
            replica.noted_at = now
        else:
            return
        replica.is_noted_out = replica.controller.is_out

    def _tell_breaker(self, replica: Replica, verdict: Verdict, now: float, started_at: float) -> bool:
        """Whether this failure says that the server is of no use, whatever it is asked."""
        if verdict.action == "stop":
            replica.breaker.refused(verdict.detail)
        elif verdict.action == "retry":
            still_open = replica.controller.in_flight - 1
            replica.breaker.failed(now, started_at=started_at, open_requests=still_open, detail=verdict.detail)
            return False
        else:
            replica.breaker.succeeded()
        return replica.breaker.why is not None

    def _why(self) -> str:
        whys = [(replica.url, replica.breaker.why or "") for replica in self.all]
        if len(whys) == 1:
            return whys[0][1]
        return f"none of its {len(whys)} servers is of use. " + "; ".join(f"{url}: {why}" for url, why in whys)


def _end(verdict: Verdict) -> End:
    if verdict.action != "retry" or verdict.reason in UNSURE:
        return "neutral"
    return "rate_limited" if verdict.reason == "rate_limited" else "failed"


def _row_or_server(breaker: Breaker, verdict: Verdict, *, is_first_try: bool, still_open: int) -> tuple[Verdict, bool]:
    """What a 400 or 403 means for its question, and whether the server is of no use, whatever it is asked."""
    hear = breaker.forbidden if verdict.action == "forbidden" else breaker.rejected
    is_its_own = hear(is_first_try=is_first_try, open_requests=still_open, detail=verdict.detail)
    return dataclasses.replace(verdict, action="row" if is_its_own else "retry"), breaker.why is not None
