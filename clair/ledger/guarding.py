"""The guard of a ledger: a digest of its few values that decide what is bought, kept beside them.

SQLite does not notice a changed bit inside a value. A body has a checksum of its own (`database.pack`), but a changed
secret would give other markers, other settings other questions, and all of them would be bought again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clair.ledger import database
from clair.ledger.sealing import OPENED

VALUES = ("secret", "settings", "names")
GUARD, GUARDED = "guard", "guarded"
SECRET_BYTES = 32


def marks(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of `meta` that guard its values as they are in this opening."""
    return {GUARD: _digest(meta), GUARDED: meta[OPENED]}


def guarded(meta: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The values of these rows of `meta`, None for one that is missing. Raises LedgerError if one of them has changed.

    A guard of another opening than the last is void, as a seal is: a clair that does not know of guards changes these
    values without it.
    """
    if GUARDED in meta and meta[GUARDED] == meta.get(OPENED) and meta.get(GUARD) != _digest(meta):
        raise database.damaged(path, "its secret, its settings or the names of its models are not those written to it")
    secret = meta.get("secret")
    if not isinstance(secret, bytes) or len(secret) != SECRET_BYTES:
        raise database.damaged(path, f"its secret is not one of {SECRET_BYTES} bytes")
    return {name: meta.get(name) for name in VALUES}


def _digest(meta: Mapping[str, Any]) -> str:
    values = [meta.get(name) for name in VALUES]
    written = [value.hex() if isinstance(value, bytes) else None for value in values]
    return hashlib.sha256(json.dumps(written).encode()).hexdigest()
