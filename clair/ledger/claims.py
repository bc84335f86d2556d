"""Which rows belong to this pass over the input, in which order, and how each ended so far.

A pass lives as long as its process and is written again by the next one, so it needs no durability: it sits
in a private temporary database that keeps a few megabytes in memory, spills the rest to a temporary file, and
vanishes with the process. The running counts are kept beside it, so asking for them costs nothing.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from typing import Literal, NamedTuple

from clair.records import Counts

Kind = Literal["pair", "reject"]


class Verdict(NamedTuple):
    """How a row ended. `reason` is None for a pair."""

    kind: Kind
    reason: str | None


class Claims:
    """The rows of one pass. Raises sqlite3.Error if the temporary folder is full."""

    def __init__(self) -> None:
        # The empty name is SQLite's word for a private temporary file.
        self._scratch = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16000"):
            self._scratch.execute(f"PRAGMA {pragma}")
        self._scratch.execute(
            "CREATE TABLE claims (id TEXT PRIMARY KEY, ordinal INTEGER NOT NULL, kind TEXT, reason TEXT) WITHOUT ROWID"
        )
        # Never committed: it is read on this connection only, and a commit per claim would double its cost.
        self._scratch.execute("BEGIN")
        self._rows = 0
        self._order = hashlib.sha256()
        self._verdicts: Counter[Verdict] = Counter()

    def clear(self) -> None:
        """Forget every row: another pass begins."""
        self._scratch.execute("DELETE FROM claims")
        self._rows = 0
        self._order = hashlib.sha256()
        self._verdicts.clear()

    def add(self, row_id: str, ordinal: int) -> bool:
        """True if the row is new in this pass, False if its id is here already."""
        inserted = self._scratch.execute(
            "INSERT OR IGNORE INTO claims (id, ordinal) VALUES (?, ?)", (row_id, ordinal)
        ).rowcount
        self._rows += inserted
        if inserted:
            self._order.update(f"{ordinal} {row_id}\n".encode("utf-8", "surrogatepass"))
        return inserted == 1

    def digest(self) -> str:
        """Names the rows and their places."""
        return self._order.hexdigest()

    def ordinal(self, row_id: str) -> int:
        """Where a claimed row stands in the input."""
        found = self._scratch.execute("SELECT ordinal FROM claims WHERE id = ?", (row_id,)).fetchone()
        return int(found[0])

    def record(self, row_id: str, verdict: Verdict) -> None:
        """Note how a claimed row ended, in place of how it ended before."""
        kind, reason = self._scratch.execute("SELECT kind, reason FROM claims WHERE id = ?", (row_id,)).fetchone()
        if kind is not None:
            self._verdicts[Verdict(kind, reason)] -= 1
        self._verdicts[verdict] += 1
        self._scratch.execute("UPDATE claims SET kind = ?, reason = ? WHERE id = ?", (*verdict, row_id))

    def ids(self, kind: Kind | None) -> Iterator[str]:
        """The ids of the rows that ended as `kind`, or in either way, in input order."""
        found = self._scratch.execute(
            "SELECT id FROM claims WHERE kind = coalesce(?, kind) ORDER BY ordinal, id", (kind,)
        )
        return (row_id for (row_id,) in found)

    def counts(self) -> Counts:
        """The funnel so far, reasons in alphabetical order."""
        rejects = {v.reason: n for v, n in self._verdicts.items() if v.reason is not None and n}
        return Counts(
            rows=self._rows,
            pairs=self._verdicts[Verdict("pair", None)],
            rejects=dict(sorted(rejects.items())),
        )

    def close(self) -> None:
        """Drop it all."""
        self._scratch.close()
