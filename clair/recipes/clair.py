"""The `clair` recipe: the target answers, the reviser makes the smallest edits that improve the answer.

chosen = the revision, rejected = the answer (D'Oosterlinck et al. 2025, arXiv 2408.06266, section 3), kept only if the
gate finds the contrast minimal and, with `verify`, a judge finds the revision better.
"""

from __future__ import annotations

from clair.recipes.base import Draft, Made, Piece, Plan, Steps, outcome
from clair.recipes.judging import confirm
from clair.recipes.revising import Task, revise
from clair.recipes.stages import response_of
from clair.records import Row


def clair(row: Row, plan: Plan) -> Steps:
    """One row, from question to outcome."""
    return outcome("clair", row, plan, _make)


def _make(draft: Draft) -> Piece[Made]:
    response = yield from response_of(draft)
    revised = yield from revise(draft, Task(response))
    if draft.plan.verify:
        yield from confirm(draft, better=revised.text, worse=response)
    return Made(revised.protocol, revised.text, response, revised.rationale, revised.edits)
