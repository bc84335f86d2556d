"""The seal of a ledger: what its last invocation said of it, worth something only while nothing has happened since.

Opening a ledger breaks its seal, whatever for; only whoever knows that the run is as it was sets one again, as its last
act. So a seal that is found on opening speaks of exactly this ledger.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clair.ledger import database

SEAL, SEALED = "seal", "sealed"
OPENED = "opened_at"


def peek(run_dir: Path) -> bytes | None:
    """The seal on a run's ledger, without opening it; None without one. Another process may break it at any time."""
    path = run_dir / database.FILE_NAME
    if not path.exists():
        return None
    try:
        # Immutable: nobody waits for this look, and it leaves no files behind. What it misses is in the log of a
        # process that was killed, or that has the ledger open now.
        address = f"{path.resolve().as_uri()}?immutable=1"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as reader:
            return of(dict(reader.execute("SELECT key, value FROM meta")))
    except database.FAILURES:
        return None


def signed(content: bytes) -> bytes:
    """The content of a seal as it is kept: its digest comes first."""
    return hashlib.sha256(content).digest() + content


def of(meta: Mapping[str, Any]) -> bytes | None:
    """The seal in these rows of `meta`. A damaged one is none. One set in another opening than the last is void: a
    clair that does not know of seals has had the ledger open since.
    """
    kept = meta.get(SEAL)
    if not isinstance(kept, bytes) or meta.get(SEALED) != meta.get(OPENED):
        return None
    content = kept[hashlib.sha256().digest_size :]
    return content if signed(content) == kept else None
