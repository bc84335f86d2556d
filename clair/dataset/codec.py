"""Outcomes as bytes, for the ledger: JSON that comes back exactly as it went in.

decode_outcome(encode_outcome(pair)) == pair
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from clair.errors import LedgerError
from clair.records import Contrast, Edit, Message, Outcome, Pair, Reject, Spent

_NESTED = {"contrast": Contrast, "spent": Spent}
_LATER = {"edits", "parent_id", "step"}
"""Fields that the first ledgers lack; at their default they are left out."""
_KINDS: dict[str, type[Pair] | type[Reject]] = {"pair": Pair, "reject": Reject}


def encode_outcome(outcome: Outcome) -> bytes:
    """The outcome as one JSON object. ASCII only, so even text with lone surrogates survives."""
    kind = "pair" if isinstance(outcome, Pair) else "reject"
    body = {name: _nested(name, value) for name, value in _fields(outcome).items() if name not in _LATER or value}
    return json.dumps({"kind": kind, **body}, separators=(",", ":")).encode("ascii")


def decode_outcome(body: bytes) -> Outcome:
    """The outcome that was encoded.

    Raises:
        LedgerError: the bytes are not an outcome of this version.
    """
    try:
        values: dict[str, Any] = json.loads(body)
        kind = _KINDS[values.pop("kind")]
        for name, of in _NESTED.items():
            if name in values:
                values[name] = of(**values[name])
        values["prompt"] = tuple(
            Message(role=message["role"], content=message["content"]) for message in values["prompt"]
        )
        if "edits" in values:
            values["edits"] = tuple(Edit(*edit) for edit in values["edits"])
        return kind(**values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LedgerError(
            f"A stored outcome cannot be read ({error!r}). It is damaged or of another version of clair; "
            "run with the version that made it, or start a new run folder with --fork."
        ) from error


def _fields(value: Any) -> Mapping[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _nested(name: str, value: Any) -> Any:
    return _fields(value) if name in _NESTED else value
