"""What the writer's thread inserts: replies, with the running totals of what they cost, and outcomes."""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from clair.ledger.claims import Verdict
from clair.ledger.database import pack


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
    """What all replies used, by stage ("sample", "revise", ...)."""

    by_stage: dict[str, Spending]

    @property
    def cost_usd(self) -> float:
        """The sum over all replies with a known cost."""
        return math.fsum(spending.cost_usd for spending in self.by_stage.values())

    @property
    def unknown_cost(self) -> int:
        """How many replies have no known cost, so that `cost_usd` is only a part of the truth."""
        return sum(spending.unknown_cost for spending in self.by_stage.values())


class ReplyRow(NamedTuple):
    """One paid answer. `created` is in seconds since 1970, `raw` the body as it came."""

    key: bytes
    stage: str
    model: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    created: float
    raw: bytes


class OutcomeRow(NamedTuple):
    """How one row ended under the settings that `derivation` stands for."""

    row_id: str
    derivation: str
    verdict: Verdict
    body: bytes


def insert_all(connection: sqlite3.Connection, rows: Sequence[ReplyRow | OutcomeRow]) -> None:
    """Insert a group, compressing on this thread: the event loop has better things to do."""
    paid = [row for row in rows if isinstance(row, ReplyRow) and _insert_reply(connection, row)]
    _add_spending(connection, paid)
    connection.executemany(
        "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET derivation ="
        " excluded.derivation, kind = excluded.kind, reason = excluded.reason, body = excluded.body",
        [(o.row_id, o.derivation, *o.verdict, pack(o.body)) for o in rows if isinstance(o, OutcomeRow)],
    )


def _insert_reply(connection: sqlite3.Connection, row: ReplyRow) -> bool:
    """False if the key has an answer already: the first one stays, and is counted once."""
    inserted = connection.execute(
        "INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row[:-1], pack(row.raw))
    ).rowcount
    return inserted == 1


def _add_spending(connection: sqlite3.Connection, paid: Iterable[ReplyRow]) -> None:
    by_stage: dict[str, list[ReplyRow]] = defaultdict(list)
    for row in paid:
        by_stage[row.stage].append(row)
    connection.executemany(
        "INSERT INTO spending VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (stage) DO UPDATE SET"
        " replies = replies + excluded.replies, prompt_tokens = prompt_tokens + excluded.prompt_tokens,"
        " completion_tokens = completion_tokens + excluded.completion_tokens,"
        " cost_usd = cost_usd + excluded.cost_usd, unknown_cost = unknown_cost + excluded.unknown_cost",
        [(stage, *_sum(rows)) for stage, rows in by_stage.items()],
    )


def _sum(rows: Sequence[ReplyRow]) -> Spending:
    return Spending(
        replies=len(rows),
        prompt_tokens=sum(row.prompt_tokens or 0 for row in rows),
        completion_tokens=sum(row.completion_tokens or 0 for row in rows),
        cost_usd=sum(row.cost_usd or 0.0 for row in rows),
        unknown_cost=sum(row.cost_usd is None for row in rows),
    )
