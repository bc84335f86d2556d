"""The `clair` recipe: the target answers, the reviser makes the smallest edits that improve the answer.

chosen = the revision, rejected = the answer (D'Oosterlinck et al. 2025, arXiv 2408.06266, section 3), kept only if the
gate finds the contrast minimal.
"""

from __future__ import annotations

from clair.errors import RowFailure
from clair.recipes.base import Draft, Plan, Steps
from clair.recipes.stages import revise, sample
from clair.records import Row


def clair(row: Row, plan: Plan) -> Steps:
    """One row, from question to outcome."""
    draft = Draft(row, plan)
    try:
        response = row.response if row.response is not None else (yield from sample(draft))
        revised = yield from revise(draft, response)
    except RowFailure as failure:
        return draft.reject(failure)
    return draft.accept(
        recipe="clair",
        protocol=revised.protocol,
        chosen=revised.text,
        rejected=response,
        rationale=revised.rationale,
    )
