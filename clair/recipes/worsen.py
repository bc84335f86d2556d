"""The `worsen` recipe: the target answers, the reviser makes the smallest edits that make the answer worse.

chosen = the answer, rejected = the worse one: the contrast of `clair` in the other direction, on answers that are good
already (the authors' notebook reads such replies too, arXiv 2408.06266). The gate and `verify` work as for `clair`.
"""

from __future__ import annotations

from clair.recipes.base import Draft, Made, Piece, Plan, Steps, outcome
from clair.recipes.judging import confirm
from clair.recipes.revising import Task, revise
from clair.recipes.stages import response_of
from clair.records import Row
from clair.revision.edits import inverted


def worsen(row: Row, plan: Plan) -> Steps:
    """One row, from question to outcome."""
    return outcome("worsen", row, plan, _make)


def _make(draft: Draft) -> Piece[Made]:
    response = yield from response_of(draft)
    worse = yield from revise(draft, Task(response))
    if draft.plan.verify:
        yield from confirm(draft, better=response, worse=worse.text)
    return Made(worse.protocol, response, worse.text, worse.rationale, inverted(response, worse.edits))
