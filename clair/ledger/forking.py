"""Forking: a new run that starts with everything another run has paid for."""

from __future__ import annotations

import contextlib
import sqlite3
from functools import partial
from pathlib import Path

from clair.errors import LedgerError
from clair.ledger import database, guarding
from clair.ledger.lock import RunLock, make_folder


def fork(source_dir: Path, new_dir: Path) -> None:
    """Start a run in `new_dir` with all answers and the secret of another, which may be in use.

    Outcomes and identity settings stay behind; what the answers cost is counted in the new run too. Raises
    LedgerError if there is nothing to copy or `new_dir` has a ledger already.
    """
    source, target = source_dir / database.FILE_NAME, new_dir / database.FILE_NAME
    if not source.exists():
        raise LedgerError(f"no ledger in {source_dir}, so there is nothing to fork.")
    _check(source)
    make_folder(new_dir)
    lock = RunLock(new_dir)
    try:
        if target.exists():
            raise LedgerError(f"{new_dir} has a ledger already; --fork needs a new folder.")
        database.build(target, partial(_copy_answers, source))
    finally:
        lock.release()


def _check(source: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(_read_only(source), uri=True)) as reader:
            guarding.guarded(database.verify(reader, source), source)
    except database.FAILURES as error:
        raise database.explain(source, error) from error


def _copy_answers(source: Path, connection: sqlite3.Connection) -> None:
    """One read transaction on the source, so the copy is one moment of it, whatever is written meanwhile."""
    connection.execute("ATTACH ? AS source", (_read_only(source),))
    connection.execute("INSERT INTO meta SELECT * FROM source.meta WHERE key = 'secret'")
    connection.execute("INSERT INTO replies SELECT * FROM source.replies ORDER BY rowid")
    connection.execute("INSERT INTO spending SELECT * FROM source.spending")


def _read_only(path: Path) -> str:
    return f"{path.resolve().as_uri()}?mode=ro"
