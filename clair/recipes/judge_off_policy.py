"""The `judge_off_policy` recipe: of two given answers of other models, a judge says which is better.

chosen = the better one, rejected = the other (arXiv 2408.06266, section 4, where they come from UltraFeedback). The
columns of the two answers are kept as `reviser_model` and `target_model`, so it can be told who won.
"""

from __future__ import annotations

from clair.recipes.base import Draft, Made, Piece, Plan, Steps, outcome
from clair.recipes.judging import prefer
from clair.recipes.stages import gate
from clair.records import Row


def judge_off_policy(row: Row, plan: Plan) -> Steps:
    """One row, from question to outcome."""
    return outcome("judge_off_policy", row, plan, _make)


def _make(draft: Draft) -> Piece[Made]:
    one, other = draft.row.answers
    draft.response, draft.revision = one, other
    verdict = yield from prefer(draft, one, other)
    won, lost = (0, 1) if verdict.winner == "first" else (1, 0)
    chosen, rejected = draft.row.answers[won], draft.row.answers[lost]
    gate(draft, chosen, rejected)
    columns = draft.plan.columns
    return Made(
        "judge",
        chosen,
        rejected,
        verdict.rationale,
        target_model=f"column:{columns[lost]}",
        reviser_model=f"column:{columns[won]}",
    )
