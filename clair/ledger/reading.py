"""Values as they are read from a ledger: each is what was written, or the LedgerError of a damaged file.

SQLite keeps whatever it is given: text in a column of numbers, an integer in one of texts. A changed bit makes one of
the other, and whoever computes with it fails far from here.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any, get_args

from clair.ledger import database
from clair.ledger.claims import Verdict
from clair.ledger.rows import Spending
from clair.records import Reason

_REASONS = frozenset(get_args(Reason))


def body(path: Path, packed: object) -> bytes:
    """What was packed."""
    if not isinstance(packed, bytes):
        raise database.damaged(path, f"a body is {_shown(packed)}")
    try:
        return database.unpack(packed)
    except zlib.error as error:
        raise database.explain(path, error) from error


def cost(path: Path, usd: Any) -> float | None:
    """A price in USD, None if it is not known."""
    if usd is not None and not _is_number(usd):
        raise database.damaged(path, f"the cost of an answer is {_shown(usd)}")
    return None if usd is None else float(usd)


def verdict(path: Path, kind: Any, reason: Any) -> Verdict:
    """How a row ended."""
    if (kind, reason) != ("pair", None) and not (kind == "reject" and reason in _REASONS):
        raise database.damaged(path, f"a row ended as {_shown(kind)} for the reason {_shown(reason)}")
    return Verdict(kind, reason)


def text(path: Path, stored: object) -> str:
    """A text of the ledger's own: a model, a derivation."""
    if not isinstance(stored, str):
        raise database.damaged(path, f"in the place of a text is {_shown(stored)}")
    return stored


def spending(path: Path, values: list[Any]) -> Spending:
    """What the replies of one stage used."""
    found = Spending(*values)
    if not _is_number(found.cost_usd) or not all(isinstance(count, int) for count in found._replace(cost_usd=0)):
        raise database.damaged(path, f"the sums of what was spent are {_shown(values)}")
    return found


def json_object(path: Path, name: str, stored: Any) -> dict[str, Any]:
    """A JSON object."""
    try:
        value = json.loads(stored)
    except (TypeError, ValueError) as error:
        raise database.damaged(path, f"its {name} are {_shown(stored)}") from error
    if not isinstance(value, dict):
        raise database.damaged(path, f"its {name} are {_shown(stored)}")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _shown(value: object) -> str:
    return repr(value)[:100]
