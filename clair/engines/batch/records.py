"""What was sent off in batches and has not come back: written down, durably, before each step that could be lost.

    submission = records.intend(lane, requests, size=..., tokens=..., enqueued=...)     # before the upload
    records.uploaded(submission.tag, file_id)                                           # before the batch is made
    records.created(submission.tag, batch_id)
    records.settle(submission.tag, "completed", failures)                               # its answers are in the ledger

So after a kill at any instant the state says what may exist at the provider under the tag: nothing but a file
("intended"), perhaps a batch ("uploaded"), or that batch ("created"; "missing" once a command did not find it). It is a
database of its own beside the ledger, whose lock protects both. Nothing of a request is in it but its content key.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from clair.engines import BATCHES
from clair.errors import LedgerError
from clair.records import Reason

State = Literal["intended", "uploaded", "created", "missing"]
OPEN = ("intended", "uploaded", "created", "missing")

_TABLES = """
CREATE TABLE IF NOT EXISTS submissions (
    number INTEGER PRIMARY KEY, tag TEXT NOT NULL UNIQUE, lane TEXT NOT NULL, state TEXT NOT NULL,
    file_id TEXT, batch_id TEXT, requests INTEGER NOT NULL, size INTEGER NOT NULL, tokens INTEGER NOT NULL,
    enqueued INTEGER NOT NULL, worst_usd REAL
);
CREATE TABLE IF NOT EXISTS requests (
    key BLOB NOT NULL, tag TEXT NOT NULL, stage TEXT NOT NULL, worst_usd REAL, PRIMARY KEY (tag, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS requests_by_key ON requests (key);
CREATE TABLE IF NOT EXISTS failures (
    key BLOB PRIMARY KEY, tries INTEGER NOT NULL, final INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL
) WITHOUT ROWID;
"""


class Request(NamedTuple):
    """One question on its way. `worst_usd` is the most that its answer can cost, None if nobody knows."""

    key: bytes
    stage: str
    worst_usd: float | None


class Submission(NamedTuple):
    """One batch from before its upload to its end.

    `size` is its file's in bytes, `tokens` our estimate of its prompt tokens, `enqueued` the same of all that was
    under way in its lane when it was sent, its own included; `worst_usd` is the most that it can cost.
    """

    tag: str
    lane: str
    state: str
    file_id: str | None
    batch_id: str | None
    requests: int
    size: int
    tokens: int
    enqueued: int
    worst_usd: float | None

    @property
    def file_name(self) -> str:
        """What its input file is called at the provider, where it is found by that name."""
        return f"clair-{self.tag}.jsonl"


class Failure(NamedTuple):
    """Why a question has no answer. `final`: it would fail again. `tries` are those it has had."""

    reason: Reason
    detail: str
    final: bool
    tries: int = 1


class Records:
    """The database of one run folder. Raises LedgerError if it cannot be used."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / BATCHES
        try:
            self._database = sqlite3.connect(self._path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_TABLES)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def intend(
        self, lane: str, requests: Mapping[bytes, Request], *, size: int, tokens: int, enqueued: int
    ) -> Submission:
        """Write down that these requests are about to be sent, under a new tag."""
        worsts = [request.worst_usd for request in requests.values()]
        worst_usd = None if None in worsts else sum(worst for worst in worsts if worst is not None)
        new = Submission(
            secrets.token_hex(16), lane, "intended", None, None, len(requests), size, tokens, enqueued, worst_usd
        )
        with self._transaction() as database:
            database.execute("INSERT INTO submissions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", new)
            database.executemany(
                "INSERT INTO requests VALUES (?, ?, ?, ?)",
                ((request.key, new.tag, request.stage, request.worst_usd) for request in requests.values()),
            )
        return new

    def uploaded(self, tag: str, file_id: str) -> None:
        """The file is there; from here on a batch may exist."""
        self._advance(tag, "uploaded", "file_id", file_id)

    def created(self, tag: str, batch_id: str) -> None:
        """The batch is there."""
        self._advance(tag, "created", "batch_id", batch_id)

    def missing(self, tag: str, batch_id: str) -> None:
        """The server did not know the batch, and the user was told."""
        self._advance(tag, "missing", "batch_id", batch_id)

    def settle(self, tag: str, ended: str, failures: Mapping[bytes, Failure]) -> None:
        """The batch has ended in the way `ended`, and its answers are in the ledger: its requests are free.

        A failed try is added to those that a question has had.
        """
        with self._transaction() as database:
            database.execute("UPDATE submissions SET state = ? WHERE tag = ?", (ended, tag))
            database.execute("DELETE FROM requests WHERE tag = ?", (tag,))
            database.executemany(
                "INSERT INTO failures VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET tries = tries +"
                " excluded.tries, final = excluded.final, reason = excluded.reason, detail = excluded.detail",
                ((key, it.tries, it.final, it.reason, it.detail) for key, it in failures.items()),
            )

    def under_way(self, lane: str | None = None) -> list[Submission]:
        """The submissions, of one lane or all, that have not ended, in the order of their making."""
        found = self._rows(
            "SELECT * FROM submissions WHERE state IN (?, ?, ?, ?) AND lane = coalesce(?, lane) ORDER BY number",
            *OPEN,
            lane,
        )
        return [Submission(*row[1:]) for row in found]

    def ended(self, lane: str) -> list[Submission]:
        """The submissions of one lane that have ended, in the order of their making."""
        found = self._rows(
            "SELECT * FROM submissions WHERE state NOT IN (?, ?, ?, ?) AND lane = ? ORDER BY number", *OPEN, lane
        )
        return [Submission(*row[1:]) for row in found]

    def requests(self, tag: str) -> dict[bytes, Request]:
        """What one submission asks, by content key."""
        found = self._rows("SELECT key, stage, worst_usd FROM requests WHERE tag = ?", tag)
        return {key: Request(key, stage, worst_usd) for key, stage, worst_usd in found}

    def is_under_way(self, key: bytes) -> bool:
        """Whether a question is in a batch that has not ended."""
        return bool(self._rows("SELECT 1 FROM requests WHERE key = ? LIMIT 1", key))

    def failure(self, key: bytes) -> Failure | None:
        """Why a question has no answer, if it was tried."""
        found = self._rows("SELECT reason, detail, final, tries FROM failures WHERE key = ?", key)
        return Failure(found[0][0], found[0][1], bool(found[0][2]), found[0][3]) if found else None

    def forgive(self) -> None:
        """Forget the failures that may pass: the next command tries these questions again."""
        self._rows("DELETE FROM failures WHERE NOT final")

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _advance(self, tag: str, state: State, column: str, value: str) -> None:
        self._rows(f"UPDATE submissions SET state = ?, {column} = ? WHERE tag = ?", state, value, tag)  # noqa: S608

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _rows(self, sql: str, *values: object) -> list[Any]:
        try:
            return self._database.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: sqlite3.Error) -> LedgerError:
        return LedgerError(
            f"cannot use {self._path}: {error}. It says which batches are at the provider. Check the free space and "
            "your permissions; if it is damaged, restore it from a copy"
        )


def requests_under_way(run_dir: Path) -> int:
    """How many requests of a run are in batches that have not ended."""
    if not (run_dir / BATCHES).exists():
        return 0
    records = Records(run_dir)
    try:
        return sum(submission.requests for submission in records.under_way())
    finally:
        records.close()
