"""Which prompts are turned away before anything is bought: near-duplicates, and what evaluation sets hold.

    hygiene = Hygiene(near_duplicates=0.7, decontaminate=["gsm8k_test.jsonl"])
    for row in rows:
        refusal = hygiene.verdict(row)       # None, or why the row ends here as a reject

Verdicts depend on the rows before and on nothing else, so another invocation over the same input repeats them. `words`
says what is compared, `near` and `contamination` by which rule. Exact duplicates are the engine's: it knows them by
their ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clair.errors import RowFailure
from clair.records import Row

if TYPE_CHECKING:
    from clair.hygiene.contamination import EvaluationSets
    from clair.hygiene.near import NearDuplicates

SHOWN = 200


class Hygiene:
    """Rules for one pass over the input. Reading the evaluation sets raises UsageError if one cannot be read."""

    def __init__(self, *, near_duplicates: float | None = None, decontaminate: Sequence[str] = ()) -> None:
        self._near: NearDuplicates | None = None
        self._evaluation: EvaluationSets | None = None
        if near_duplicates is not None:
            from clair.hygiene.near import NearDuplicates

            self._near = NearDuplicates(near_duplicates)
        if decontaminate:
            from clair.hygiene.contamination import EvaluationSets

            self._evaluation = EvaluationSets.read(decontaminate)

    def verdict(self, row: Row) -> RowFailure | None:
        """Why this row, the next one of the input, is turned away; None if it is not."""
        if row.problem is not None:
            return None
        return self._contaminated(row) or self._repeated(row)

    def _contaminated(self, row: Row) -> RowFailure | None:
        found = self._evaluation.find(row) if self._evaluation else None
        if found is None:
            return None
        detail = f"shares {_quoted(found.words)} with {found.source}, {found.place}"
        return RowFailure("contaminated", detail, stage="sample")

    def _repeated(self, row: Row) -> RowFailure | None:
        found = self._near.find(row) if self._near else None
        if found is None:
            return None
        detail = (
            f"similarity {found.similarity:.3f} (Jaccard, 5 words in a row) to {found.source}, "
            f"source_index {found.source_index}"
        )
        return RowFailure("near_duplicate_prompt", detail, stage="sample")


def _quoted(text: str) -> str:
    return f'"{text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."}"'
