"""What recipes share: the generator protocol, the record of a row in progress, and how it ends.

A recipe never calls a model. It yields a list of `Ask`s (answered concurrently) and is sent the list of their
`Completion`s, or a `RowFailure` is thrown in at the yield. So a recipe is pure: driven again over stored answers it
ends the same way, which is why re-parsing and re-gating cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

from clair.contrast import Gate, measure
from clair.errors import RowFailure
from clair.records import Ask, Completion, Outcome, Pair, Reject, Row, Spent, Stage
from clair.revision.protocol import ProtocolSetting
from clair.templates import Templates

Steps = Generator[list[Ask], list[Completion], Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is the same for every row of a run. `token` makes the unpredictable marker of one request."""

    target_model: str
    reviser_model: str
    protocol: ProtocolSetting
    templates: Templates
    principles: tuple[str, ...]
    gate: Gate
    allow_talk: bool
    max_attempts: int
    token: Callable[[str], str]


class Draft:
    """One row in progress: what there is so far, what it used, and how it ends."""

    def __init__(self, row: Row, plan: Plan) -> None:
        self.row = row
        self.plan = plan
        self.response = row.response
        self.revision: str | None = None
        self.spent = Spent()
        self.stage: Stage = "sample"

    def spend(self, completion: Completion, *, attempt: bool = False) -> None:
        """Add one answer's usage; a sum with an unknown part is unknown."""
        used = self.spent
        self.spent = Spent(
            attempts=used.attempts + attempt,
            prompt_tokens=_add(used.prompt_tokens, completion.usage.prompt_tokens),
            completion_tokens=_add(used.completion_tokens, completion.usage.completion_tokens),
            cost_usd=_add(used.cost_usd, completion.cost_usd),
        )

    def accept(self, *, recipe: str, protocol: str, chosen: str, rejected: str, rationale: str) -> Pair:
        """The row ends as a pair."""
        row = self.row
        return Pair(
            id=row.id,
            prompt=row.messages,
            chosen=chosen,
            rejected=rejected,
            rationale=rationale,
            recipe=recipe,
            protocol=protocol,
            target_model=self.plan.target_model,
            reviser_model=self.plan.reviser_model,
            judge_model=None,
            contrast=measure(chosen, rejected),
            spent=self.spent,
            source=row.source,
            source_index=row.source_index,
            metadata=row.metadata,
        )

    def reject(self, failure: RowFailure) -> Reject:
        """The row ends as a reject, at the failure's own stage or where the row is now."""
        row = self.row
        return Reject(
            id=row.id,
            prompt=row.messages,
            stage=failure.stage or self.stage,
            reason=failure.reason,
            detail=failure.detail,
            response=self.response,
            revision=self.revision,
            spent=self.spent,
            source=row.source,
            source_index=row.source_index,
        )


Number = TypeVar("Number", int, float)


def _add(total: Number | None, part: Number | None) -> Number | None:
    return None if total is None or part is None else total + part
