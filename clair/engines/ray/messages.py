"""What driver and workers tell each other. Plain values; each side collects its own and sends many in one call.

A number belongs to one question that a worker put to the driver: the driver answers under the same number. A ticket
belongs to one row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from clair.ledger.store import StoredReply
from clair.records import Outcome, Part, Row
from clair.settings import GenerateSettings
from clair.templates import Templates


class Work(NamedTuple):
    """What a worker must know before its first row. `settings` are the worker's own share of the limits.

    `names` are those of the models in content keys, see `endpoints/naming.py`.
    With `asks_leave` every try is allowed by the driver first: there is a limit that all workers share.
    """

    settings: GenerateSettings
    templates: Templates
    constitution: tuple[str, ...]
    checker: str | None
    names: Mapping[Part, str]
    asks_leave: bool
    version: str


class Keys(NamedTuple):
    """What may be in memory only: the run's secret, and the variables with the API keys."""

    secret: bytes
    env: dict[str, str]

    def __repr__(self) -> str:
        return "Keys(***)"


class Start(NamedTuple):
    """Drive a row. `known` are the answers to its first questions, by content key."""

    ticket: int
    row: Row
    finished_before: bool
    known: Mapping[bytes, StoredReply]


class Settled(NamedTuple):
    """The driver did what was asked under these numbers; with `refusal` it did not, and that is why."""

    numbers: list[int]
    refusal: Exception | None = None


class Stop(NamedTuple):
    """Buy nothing more."""


class Keep(NamedTuple):
    """A paid answer, to be durable before its row goes on; the fields are those of `Ledger.put`."""

    number: int
    key: bytes
    stage: str
    model: str
    raw: bytes
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    reserved_usd: float | None


class Doubt(NamedTuple):
    """Requests that may have been charged, to be durable; see `Ledger.doubt`."""

    number: int
    usd: float | None
    requests: int


class Leave(NamedTuple):
    """May this be sent? `tokens` is the estimated size of request and answer."""

    number: int
    part: Part
    tokens: float
    worst_usd: float | None
    reserved_usd: float | None


class Charged(NamedTuple):
    """How a try ended that the driver had allowed under this number, see `Charge`."""

    number: int
    usd: float | None
    answered: bool


class Used(NamedTuple):
    """An answer had so many tokens, where `estimated` had been allowed."""

    part: Part
    estimated: float
    tokens: float


class Ended(NamedTuple):
    """How a row ended, or what kept it from ending."""

    ticket: int
    outcome: Outcome | None
    failure: Exception | None = None


Order = Start | Settled | Stop
Event = Keep | Doubt | Leave | Charged | Used | Ended


class Report(NamedTuple):
    """What a worker has to say since its last report.

    `capacity`: how many rows it may have in hand now. `gauges`: requests in flight and allowed, by model. `cost_usd`
    since the last report, which is all of it if `cost_known`.
    """

    events: list[Event]
    capacity: int
    gauges: dict[Part, tuple[int, int]]
    cost_usd: float
    cost_known: bool
