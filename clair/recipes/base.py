"""What recipes share: the generator protocol, the record of a row in progress, and how it ends.

A recipe never calls a model. It yields a list of `Ask`s (answered concurrently) and is sent as many results: a
`Completion` each, or the `RowFailure` that stands in its place. Or it yields `Check`s, and is sent numbers. So a recipe
is pure: driven again over stored answers it ends the same way, which is why re-parsing and re-gating cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from clair.contrast import Gate, measure
from clair.errors import RowFailure
from clair.records import Ask, Check, Completion, Edit, Outcome, Pair, Reject, Row, Spent, Stage
from clair.revision.protocol import ProtocolSetting
from clair.templates import Templates

Result = TypeVar("Result")
Piece = Generator[Sequence[Ask] | Sequence[Check], Any, Result]
"""A piece of a recipe, run with `yield from`."""
Steps = Piece[Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is the same for every row of a run. `token` makes the unpredictable marker of one request.

    `constitution` are the principles that `constitutional` draws from, by `seed`; `columns` name the given answers.
    `judge_model` is None where nothing is judged, `checked` says that a checker takes the judge's place.
    """

    target_model: str
    reviser_model: str
    protocol: ProtocolSetting
    templates: Templates
    principles: tuple[str, ...]
    gate: Gate
    allow_talk: bool
    max_attempts: int
    token: Callable[[str], str]
    judge_model: str | None = None
    verify: bool = False
    checked: bool = False
    rounds: int = 1
    candidates: int = 2
    constitution: tuple[str, ...] = ()
    seed: int = 0
    columns: tuple[str, ...] = ()


class Made(NamedTuple):
    """What a recipe made of a row: the pair's texts, where they come from and why.

    `edits` make chosen out of rejected. The models are those of the plan unless they are named here.
    """

    protocol: str
    chosen: str
    rejected: str
    rationale: str
    edits: tuple[Edit, ...] = ()
    target_model: str | None = None
    reviser_model: str | None = None


class Draft:
    """One row in progress: what there is so far, what it used, and how it ends."""

    def __init__(self, row: Row, plan: Plan) -> None:
        self.row = row
        self.plan = plan
        self.response = row.response
        self.revision: str | None = None
        self.spent = Spent()
        self.stage: Stage = "sample"
        self.judged = False

    def ask(self, asks: Sequence[Ask], *, attempt: bool = False) -> Piece[list[Completion | RowFailure]]:
        """Put questions; what the answers used is counted. `attempt` counts them as attempts of the reviser."""
        results: list[Completion | RowFailure] = yield asks
        for result in results:
            if isinstance(result, Completion):
                self._spend(result, attempt=attempt)
        return results

    def ask_one(self, ask: Ask, *, attempt: bool = False) -> Piece[Completion]:
        """Put one question; its failure is raised."""
        (result,) = yield from self.ask([ask], attempt=attempt)
        if isinstance(result, RowFailure):
            raise result
        return result

    def _spend(self, completion: Completion, *, attempt: bool) -> None:
        """Add one answer's usage; a sum with an unknown part is unknown."""
        used = self.spent
        self.spent = Spent(
            attempts=used.attempts + attempt,
            prompt_tokens=_add(used.prompt_tokens, completion.usage.prompt_tokens),
            completion_tokens=_add(used.completion_tokens, completion.usage.completion_tokens),
            cost_usd=_add(used.cost_usd, completion.cost_usd),
            requests=used.requests + 1,
        )

    def accept(self, recipe: str, made: Made) -> Pair:
        """The row ends as a pair."""
        row, plan = self.row, self.plan
        return Pair(
            id=row.id,
            prompt=row.messages,
            chosen=made.chosen,
            rejected=made.rejected,
            rationale=made.rationale,
            recipe=recipe,
            protocol=made.protocol,
            target_model=made.target_model or plan.target_model,
            reviser_model=made.reviser_model or plan.reviser_model,
            judge_model=plan.judge_model if self.judged else None,
            contrast=measure(made.chosen, made.rejected),
            spent=self.spent,
            source=row.source,
            source_index=row.source_index,
            metadata=row.metadata,
            edits=made.edits,
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


def outcome(recipe: str, row: Row, plan: Plan, make: Callable[[Draft], Piece[Made]]) -> Steps:
    """Run `make` on the row; what it makes is the pair, a failure on the way the reject."""
    draft = Draft(row, plan)
    try:
        made = yield from make(draft)
    except RowFailure as failure:
        return draft.reject(failure)
    return draft.accept(recipe, made)


Number = TypeVar("Number", int, float)


def _add(total: Number | None, part: Number | None) -> Number | None:
    return None if total is None or part is None else total + part
