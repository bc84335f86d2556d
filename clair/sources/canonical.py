"""Canonical JSON: the one text for a value, for ids and for the `metadata` column."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any


def canonical_json(value: Any) -> str:
    """Sorted keys, no spaces, no escapes beyond what JSON asks for. NaN is refused (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def short_hash(value: Any) -> str:
    """32 hex characters: the first half of the sha256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode("utf-8")).hexdigest()[:32]


def metadata_json(columns: Mapping[str, Any]) -> str:
    """The other columns of an input row as valid JSON in valid UTF-8, whatever they hold.

    Numbers that JSON lacks (NaN, infinities) become null, dates ISO 8601 text, bytes their text or, where
    they are none, a note of their length ("<345 bytes>"), any other object the name of its type. Lone
    surrogates become U+FFFD.
    """
    text = canonical_json(_plain(columns))
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes | bytearray):
        return _text_of(bytes(value))
    if hasattr(value, "isoformat"):  # date, time, datetime and pandas' own
        return value.isoformat()
    if type(value).__module__ in {"decimal", "uuid", "datetime"}:
        return str(value)
    return f"<{type(value).__name__}>"


def _text_of(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return f"<{len(value)} bytes>"
