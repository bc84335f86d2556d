"""The ledger's file: its tables, how it comes into being, and what its failures mean to the user.

`build` makes a file under a temporary name and renames it, so a `ledger.sqlite` that exists is always whole.
`connect` opens it for durable writing, `verify` refuses what is damaged, foreign or newer, `explain` makes a
LedgerError of SQLite's words. Bodies are stored by `pack`; its checksum finds damage in their middle, too.
"""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clair.errors import LedgerError

FILE_NAME = "ledger.sqlite"
SCHEMA_VERSION = 1

FAILURES = (sqlite3.Error, UnicodeDecodeError)
"""What reading a file can raise; the second one where SQLite's message quotes damaged text."""

# A write-ahead log that outlived its database would be replayed into the new one of that name.
_SIDE_FILES = ("-wal", "-shm", "-journal")

# `replies` and `outcomes` append to a plain table beside an index of short keys: with bodies of about 1 kB, a
# table clustered by a random key costs four times the CPU and three times the space.
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE replies (
    key BLOB NOT NULL UNIQUE, stage TEXT NOT NULL, model TEXT NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, cost_usd REAL,
    created REAL NOT NULL, raw BLOB NOT NULL
);
CREATE TABLE spending (
    stage TEXT PRIMARY KEY, replies INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, cost_usd REAL NOT NULL, unknown_cost INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE outcomes (
    id TEXT NOT NULL UNIQUE, derivation TEXT NOT NULL, kind TEXT NOT NULL, reason TEXT,
    body BLOB NOT NULL
);
"""


def build(path: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Make a new ledger at `path`: tables, what `fill` inserts, then the name. All of it or nothing."""
    unfinished = path.with_name(path.name + ".new")
    try:
        for ending in (".new", ".new-journal", *_SIDE_FILES):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        connection = sqlite3.connect(unfinished.resolve().as_uri(), isolation_level=None, uri=True)
        try:
            connection.executescript(f"BEGIN; {_TABLES}")
            marks = [("schema", SCHEMA_VERSION), ("created_at", time.time())]
            connection.executemany("INSERT INTO meta VALUES (?, ?)", marks)
            fill(connection)
            connection.execute("COMMIT")
        finally:
            connection.close()
        os.replace(unfinished, path)
        _sync_folder(path.parent)
    except (*FAILURES, OSError) as error:
        raise explain(path, error) from error


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def connect(path: Path) -> sqlite3.Connection:
    """Open an existing ledger: a commit returns when the disk has it, and readers never wait for writers."""
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=30,
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -16000")  # 16 MB: a good part of a million keys
    except FAILURES:
        connection.close()
        raise
    return connection


def verify(connection: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """The rows of `meta`, if the file is whole and of this version. Reads all of it: about 1 s per GB.

    Raises LedgerError otherwise.
    """
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "meta" not in tables:
        raise LedgerError(f"{path} is not a ledger of clair. Choose another folder with -o.")
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    if meta.get("schema") != SCHEMA_VERSION:
        raise LedgerError(
            f"{path} has ledger version {meta.get('schema')!r}; this clair reads version {SCHEMA_VERSION}. "
            "Use the version of clair that made it, or start a new run in another folder."
        )
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise damaged(path, verdict)
    return meta


def explain(path: Path, error: Exception) -> LedgerError:
    """What an error of SQLite, zlib or the file system means, and what to do."""
    # SQLite's own class for a corrupt or foreign file is DatabaseError itself, not one of its subclasses.
    if type(error) is sqlite3.DatabaseError or isinstance(error, zlib.error | UnicodeDecodeError):
        return damaged(path, str(error))
    return LedgerError(
        f"cannot use the ledger {path}: {error}. Check the free space, and your permissions in its folder; "
        "everything acknowledged so far is kept, and the same command resumes."
    )


def damaged(path: Path, words: str) -> LedgerError:
    """The error for a file that does not hold what was written to it."""
    return LedgerError(
        f"the ledger {path} is damaged: {' '.join(words.split())}. Restore it from a copy, or try "
        f"`sqlite3 {path} .recover`, or start a new run in another folder."
    )


def pack(body: bytes) -> bytes:
    """Level 1 makes a third of a typical reply in a twentieth of a millisecond; higher levels gain little."""
    return zlib.compress(body, 1)


def unpack(packed: bytes) -> bytes:
    """The inverse of `pack`. Raises zlib.error if a single byte changed."""
    return zlib.decompress(packed)
