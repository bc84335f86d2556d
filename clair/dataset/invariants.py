"""What every split promises, checked while it is written."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator

from clair.errors import ClairError
from clair.records import Outcome, Pair


def check_outcome(outcome: Outcome) -> None:
    """Refuse a pair without contrast or without text.

    Raises:
        ClairError: names the id and what is wrong.
    """
    if not isinstance(outcome, Pair):
        return
    chosen, rejected = outcome.chosen.split(), outcome.rejected.split()
    wrong = None
    if not chosen or not rejected:
        wrong = "has an empty answer"
    elif chosen == rejected:
        wrong = "has the same words as chosen and as rejected"
    elif not outcome.prompt:
        wrong = "has no prompt"
    if wrong:
        raise ClairError(f"The pair {outcome.id!r} {wrong}. Nothing was written; this is a bug, please report it.")


class SeenIds:
    """Finds ids that occur twice, in 8 bytes per id: a 64-bit hash of each, sorted at the end.

    Two ids may share a hash by accident, so `suspects` is a hint; `duplicates` decides with the ids
    themselves.
    """

    def __init__(self) -> None:
        self._hashes = array("Q")

    def add(self, row_id: str) -> None:
        """Remember one id."""
        self._hashes.append(_hash(row_id))

    def suspects(self) -> set[int]:
        """Hashes that occur more than once; nearly always none."""
        import numpy as np

        ordered = np.sort(np.frombuffer(self._hashes, dtype=np.uint64))
        return set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())


def duplicates(ids: Iterable[str], suspects: set[int]) -> Iterator[str]:
    """The ids that occur again, among those with a hash in `suspects`."""
    seen: set[str] = set()
    for row_id in ids:
        if _hash(row_id) in suspects:
            if row_id in seen:
                yield row_id
            seen.add(row_id)


def _hash(row_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(row_id.encode("utf-8"), digest_size=8).digest(), "little")
