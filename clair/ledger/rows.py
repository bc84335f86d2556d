"""What the writer's thread inserts: replies, with the running totals of what they cost, and outcomes.

Two of the totals are no stages of a recipe; both count requests at the most that they can have cost. `UNANSWERED`:
requests without an answer that may have been charged, those on the wire when the process was killed among them.
`UNREPORTED`: answers, counted in their own stage too, whose server did not say what they used.
"""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from clair.ledger.claims import Verdict
from clair.ledger.database import pack

UNANSWERED = "unanswered"
UNREPORTED = "unreported"


class Spending(NamedTuple):
    """What the replies of one stage used, as far as the servers said.

    `cost_usd` and the tokens are sums over the replies for which they are known; `unknown_cost` is the number
    of replies without a known cost.
    """

    replies: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    unknown_cost: int = 0


class Totals(NamedTuple):
    """What all requests used, by stage ("sample", "revise", ..., `UNANSWERED`, `UNREPORTED`)."""

    by_stage: dict[str, Spending]

    @property
    def cost_usd(self) -> float:
        """The sum over all replies with a known cost, and the most that those in doubt can have cost."""
        return math.fsum(spending.cost_usd for spending in self.by_stage.values())

    @property
    def unknown_cost(self) -> int:
        """How many replies have no known cost, so that `cost_usd` is only a part of the truth."""
        return sum(spending.unknown_cost for spending in self.by_stage.values())

    @property
    def unbounded(self) -> int:
        """How many of these are not even counted at the most that they can have cost."""
        return self.unknown_cost - self.by_stage.get(UNREPORTED, Spending()).replies


class ReplyRow(NamedTuple):
    """One paid answer. `created` is in seconds since 1970, `raw` the body as it came.

    `reserved_usd` is at what it was counted as unanswered until now, None if it was not.
    """

    key: bytes
    stage: str
    model: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    created: float
    raw: bytes
    reserved_usd: float | None = None


class DoubtRow(NamedTuple):
    """`requests` more in `UNANSWERED` or `UNREPORTED`, fewer if it is negative, at `usd` each."""

    stage: str
    requests: int
    usd: float | None


class OutcomeRow(NamedTuple):
    """How one row ended under the settings that `derivation` stands for."""

    row_id: str
    derivation: str
    verdict: Verdict
    body: bytes


def insert_all(connection: sqlite3.Connection, rows: Sequence[ReplyRow | OutcomeRow | DoubtRow]) -> None:
    """Insert a group, compressing on this thread: the event loop has better things to do."""
    paid = [row for row in rows if isinstance(row, ReplyRow) and _insert_reply(connection, row)]
    doubts = [row for row in rows if isinstance(row, DoubtRow)]
    _add_spending(connection, [*_by_stage(paid), *map(_doubted, doubts), *_no_longer_in_doubt(paid)])
    connection.executemany(
        "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET derivation ="
        " excluded.derivation, kind = excluded.kind, reason = excluded.reason, body = excluded.body",
        [(o.row_id, o.derivation, *o.verdict, pack(o.body)) for o in rows if isinstance(o, OutcomeRow)],
    )


def _insert_reply(connection: sqlite3.Connection, row: ReplyRow) -> bool:
    """Whether it is to be counted: this very answer is kept and counted once.

    Another answer to the same question was paid for as well. It is counted, and the first one stays.
    """
    packed = pack(row.raw)
    inserted = connection.execute(
        "INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row[:-2], packed)
    ).rowcount
    if inserted:
        return True
    (kept,) = connection.execute("SELECT raw FROM replies WHERE key = ?", (row.key,)).fetchone()
    return bool(kept != packed)


def _add_spending(connection: sqlite3.Connection, amounts: Sequence[tuple[str, Spending]]) -> None:
    if not amounts:
        return
    connection.executemany(
        "INSERT INTO spending VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (stage) DO UPDATE SET"
        " replies = replies + excluded.replies, prompt_tokens = prompt_tokens + excluded.prompt_tokens,"
        " completion_tokens = completion_tokens + excluded.completion_tokens,"
        " cost_usd = cost_usd + excluded.cost_usd, unknown_cost = unknown_cost + excluded.unknown_cost",
        [(stage, *spending) for stage, spending in amounts],
    )
    # Not only for tidiness: sums of floats that should be zero are not.
    connection.execute("DELETE FROM spending WHERE replies = 0")


def _by_stage(paid: Iterable[ReplyRow]) -> Iterator[tuple[str, Spending]]:
    by_stage: dict[str, list[ReplyRow]] = defaultdict(list)
    for row in paid:
        by_stage[row.stage].append(row)
    return ((stage, _sum(rows)) for stage, rows in by_stage.items())


def _doubted(row: DoubtRow) -> tuple[str, Spending]:
    unknown = row.requests if row.usd is None else 0
    return row.stage, Spending(row.requests, cost_usd=row.requests * (row.usd or 0.0), unknown_cost=unknown)


def _no_longer_in_doubt(paid: Iterable[ReplyRow]) -> Iterator[tuple[str, Spending]]:
    for row in paid:
        if row.reserved_usd is not None:
            yield _doubted(DoubtRow(UNANSWERED, -1, row.reserved_usd))
            if row.cost_usd is None:
                yield _doubted(DoubtRow(UNREPORTED, 1, row.reserved_usd))


def _sum(rows: Sequence[ReplyRow]) -> Spending:
    return Spending(
        replies=len(rows),
        prompt_tokens=sum(row.prompt_tokens or 0 for row in rows),
        completion_tokens=sum(row.completion_tokens or 0 for row in rows),
        cost_usd=sum(row.cost_usd or 0.0 for row in rows),
        unknown_cost=sum(row.cost_usd is None for row in rows),
    )
