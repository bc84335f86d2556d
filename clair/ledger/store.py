"""`Ledger`: one run's paid answers, outcomes and identity, behind one lock.

Writes go to a thread that commits in groups; reads use a connection of their own and see every write whose
`await` has returned. Every failure of the file is a LedgerError. Use it from one thread at a time.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from clair.errors import LedgerError
from clair.ledger import database, guarding, reading, sealing
from clair.ledger.claims import Claims, Kind, Verdict
from clair.ledger.identity import Alike, refuse_changes
from clair.ledger.keys import canonical_json
from clair.ledger.lock import RunLock, make_folder
from clair.ledger.rows import UNANSWERED, DoubtRow, OutcomeRow, ReplyRow, Spending, Totals, insert_all
from clair.ledger.writer import GroupWriter
from clair.records import Counts


class StoredReply(NamedTuple):
    """A paid answer: the body exactly as it came, and its price in USD if that was known."""

    raw: bytes
    cost_usd: float | None


class StoredOutcome(NamedTuple):
    """How a row ended, and under which `derivation`. `reason` is None for a pair."""

    derivation: str
    kind: Kind
    reason: str | None
    body: bytes


class Ledger:
    """Made by `Ledger.open`. `secret` is 32 random bytes that never leave the file.

    `sealed` is what the last invocation sealed it with, None without a seal or once anything was written.
    """

    def __init__(self, path: Path, lock: RunLock) -> None:
        self.path = path
        with contextlib.ExitStack() as opened:
            opened.callback(lock.release)
            try:
                self._reader = opened.enter_context(contextlib.closing(database.connect(path)))
                meta = database.verify(self._reader, path)
                self._guarded = guarding.guarded(meta, path)
                self.secret: bytes = self._guarded["secret"]
                self.sealed = sealing.of(meta)
                self._rows("DELETE FROM meta WHERE key = ?", sealing.SEAL)
                self._opened_at = time.time()
                # A disk that is full or read-only should be found before anything is bought.
                self._keep()
                self._claims = opened.enter_context(contextlib.closing(Claims()))
                self.begin_pass()
                connection = database.connect(path)
            except database.FAILURES as error:
                raise database.explain(path, error) from error
            explain = partial(database.explain, path)
            self._writer = opened.enter_context(
                contextlib.closing(GroupWriter(connection, insert_all, explain=explain))
            )
            self._opened = opened.pop_all()

    @classmethod
    def open(cls, run_dir: Path, *, create: bool) -> Ledger:
        """Open the ledger of a run folder and lock it; with `create`, make folder and ledger if missing.

        Raises LedgerError if another process has it, or if it is missing, damaged, newer or not writable.
        """
        path = run_dir / database.FILE_NAME
        if create:
            make_folder(run_dir)
        elif not path.exists():
            raise LedgerError(f"no ledger in {run_dir}. `clair generate -o {run_dir}` makes one.")
        lock = RunLock(run_dir)
        try:
            if not path.exists():
                database.build(path, _give_secret)
        except BaseException:
            lock.release()
            raise
        return cls(path, lock)

    def get(self, key: bytes) -> StoredReply | None:
        """The answer kept under this content key, if there is one."""
        found = self._found("replies", "key", key, "raw, cost_usd")
        return StoredReply(reading.body(self.path, found[0]), reading.cost(self.path, found[1])) if found else None

    async def put(
        self,
        key: bytes,
        *,
        stage: str,
        model: str,
        raw: bytes,
        prompt_tokens: int | None,
        completion_tokens: int | None,
        cost_usd: float | None,
        reserved_usd: float | None = None,
    ) -> None:
        """Keep a paid answer; returns when it is durable. A key that has an answer keeps its first one.

        `reserved_usd` is what `doubt` was told of this request, which is in doubt no longer; the answer to a key that
        has one stays in doubt. Cancelling the wait does not take the answer back. Raises LedgerError if it could not
        be written.
        """
        row = ReplyRow(key, stage, model, prompt_tokens, completion_tokens, cost_usd, time.time(), raw, reserved_usd)
        self.sealed = None
        await self._writer.submit(row)

    async def doubt(self, usd: float | None, *, count: int = 1) -> None:
        """Count a request as unanswered but perhaps charged, at `usd`, None if unknown; returns when that is durable.

        A negative `count` takes back what was counted before. Raises LedgerError if it could not be written.
        """
        self.sealed = None
        await self._writer.submit(DoubtRow(UNANSWERED, count, usd))

    def begin_pass(self) -> int:
        """Start a pass over the input, as opening does: only rows claimed from now on belong to it.

        Returns the number of outcomes that earlier passes left, duplicates included.
        """
        self._claims.clear()
        (stored,) = self._rows("SELECT count(*) FROM outcomes")[0]
        self._earlier_outcomes = int(stored)
        return self._earlier_outcomes

    def claim(self, row_id: str, ordinal: int) -> bool:
        """Take a row into this pass, at this place of its order, with the outcome it may have from earlier.

        False if another place has the id already, so this row is a duplicate: give it an id of its own.
        """
        try:
            if not self._claims.add(row_id, ordinal):
                return self._claims.ordinal(row_id) == ordinal
            # A new run has none, and need not look for one a million times.
            if self._earlier_outcomes:
                self._adopt(row_id)
        except sqlite3.Error as error:
            raise database.explain(self.path, error) from error
        return True

    def outcome(self, row_id: str) -> StoredOutcome | None:
        """How a row ended in this or an earlier pass, under whatever derivation."""
        found = self._found("outcomes", "id", row_id, "derivation, kind, reason, body")
        if not found:
            return None
        derivation, kind, reason, body = found
        verdict = reading.verdict(self.path, kind, reason)
        return StoredOutcome(reading.text(self.path, derivation), *verdict, reading.body(self.path, body))

    async def put_outcome(
        self, row_id: str, ordinal: int, *, kind: Kind, reason: str | None, body: bytes, derivation: str
    ) -> None:
        """Keep how a row ended, in place of how it ended before; returns when it is durable.

        `derivation` stands for all that the outcome was computed with. An unclaimed row is claimed here.
        """
        verdict = Verdict(kind, reason)
        self.sealed = None
        durable = self._writer.submit(OutcomeRow(row_id, derivation, verdict, body))
        try:
            self._claims.add(row_id, ordinal)
            self._claims.record(row_id, verdict)
        except sqlite3.Error as error:
            raise database.explain(self.path, error) from error
        await durable

    def outcomes(self, kind: Kind | None = None) -> Iterator[bytes]:
        """The bodies of this pass's rows that ended as `kind`, or in either way, in input order, one at a time."""
        for row_id in self._claims.ids(kind):
            found = self._found("outcomes", "id", row_id, "kind, body")
            # Otherwise its put_outcome is still under way.
            if found and kind in (None, found[0]):
                yield reading.body(self.path, found[1])

    def counts(self) -> Counts:
        """The funnel of this pass so far; a row without an outcome counts in `rows` only."""
        return self._claims.counts()

    def claimed(self) -> str:
        """Names the rows of this pass and their order."""
        return self._claims.digest()

    def totals(self) -> Totals:
        """What all requests cost, over every invocation; each reply counts once."""
        found = self._rows(f"SELECT stage, {', '.join(Spending._fields)} FROM spending")  # noqa: S608
        return Totals({reading.text(self.path, stage): reading.spending(self.path, rest) for stage, *rest in found})

    def check_settings(self, new: Mapping[str, object], alike: Alike | None = None, *, under_way: int = 0) -> None:
        """Keep the identity settings of a new run; refuse any that differ from those of an existing one.

        A run that has bought nothing yet (a mistyped model, say) counts as new, unless answers are `under_way` to it.
        An absent key compares as null, and values may differ that are `alike`. Raises LedgerError that names each
        changed key with both values.
        """
        stored = self._guarded["settings"]
        if stored is None or not (under_way or self._rows("SELECT 1 FROM replies LIMIT 1")):
            self.sealed = None
            self._rows("DELETE FROM outcomes")
            self._keep(settings=canonical_json(new), names=canonical_json({}))
        else:
            old = reading.json_object(self.path, "settings", stored)
            refuse_changes(self.path.parent, old, json.loads(canonical_json(new)), alike)

    def names(self) -> dict[str, str]:
        """What `keep_names` kept: part of the run -> its model's name in content keys."""
        stored = self._guarded["names"]
        if stored is None:
            return {}
        names = reading.json_object(self.path, "names", stored)
        return {part: reading.text(self.path, name) for part, name in names.items()}

    def keep_names(self, names: Mapping[str, str]) -> None:
        """Keep the models' names for later invocations."""
        if names != self.names():
            self._keep(names=canonical_json(names))

    def identities(self) -> frozenset[str]:
        """The `model` of all answers, each once. Reads the whole table."""
        return frozenset(
            reading.text(self.path, model) for (model,) in self._rows("SELECT DISTINCT model FROM replies")
        )

    def seal(self, content: bytes) -> None:
        """Say of the ledger as it is what the next invocation finds in `sealed`. Call it last, nothing under way."""
        self._set({sealing.SEAL: sealing.signed(content), sealing.SEALED: self._opened_at})
        self.sealed = content

    def close(self) -> None:
        """Commit what is pending and let go of the run. Closing twice is fine."""
        self._opened.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _adopt(self, row_id: str) -> None:
        found = self._found("outcomes", "id", row_id, "kind, reason")
        if found:
            self._claims.record(row_id, reading.verdict(self.path, *found))

    def _found(self, table: str, column: str, value: object, wanted: str) -> Any:
        """The wanted columns of the row with this value, or None.

        The value is read again from the row itself: a damaged index would give the answer to another question.
        """
        sql = f"SELECT {column}, {wanted} FROM {table} WHERE rowid = (SELECT rowid FROM {table} WHERE {column} = ?)"  # noqa: S608
        found = self._one(sql, value)
        if found and found[0] != value:
            raise database.damaged(self.path, f"the index of {table} names a wrong row")
        return found[1:] if found else None

    def _keep(self, **changed: bytes) -> None:
        """Write what has changed of the guarded values, and their guard, at one stroke."""
        values = {**self._guarded, **changed}
        opened = {sealing.OPENED: self._opened_at}
        self._set({**changed, **opened, **guarding.marks({**values, **opened})})
        self._guarded = values

    def _set(self, rows: Mapping[str, object]) -> None:
        places = ", ".join(["(?, ?)"] * len(rows))
        self._rows(f"INSERT OR REPLACE INTO meta VALUES {places}", *chain.from_iterable(rows.items()))  # noqa: S608

    def _rows(self, sql: str, *values: object) -> list[Any]:
        try:
            return self._reader.execute(sql, values).fetchall()
        except database.FAILURES as error:
            raise database.explain(self.path, error) from error

    def _one(self, sql: str, *values: object) -> Any:
        """The only row of a query as a tuple, or None."""
        found = self._rows(sql, *values)
        return found[0] if found else None


def _give_secret(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO meta VALUES ('secret', ?)", (secrets.token_bytes(guarding.SECRET_BYTES),))
