"""The `judge_on_policy` recipe: the target answers twice, and a judge says which answer is better.

chosen = the better of the two samples, rejected = the other (RLAIF as in arXiv 2408.06266, section 4). A judge that
sees no difference, or changes its mind when the answers change places, gives no pair.
"""

from __future__ import annotations

from clair.recipes.base import Draft, Made, Piece, Plan, Steps, outcome
from clair.recipes.judging import prefer
from clair.recipes.stages import gate, sample_many
from clair.records import Row


def judge_on_policy(row: Row, plan: Plan) -> Steps:
    """One row, from question to outcome."""
    return outcome("judge_on_policy", row, plan, _make)


def _make(draft: Draft) -> Piece[Made]:
    one, other = yield from sample_many(draft, 2, needed=2)
    draft.revision = other
    verdict = yield from prefer(draft, one, other)
    chosen, rejected = (one, other) if verdict.winner == "first" else (other, one)
    gate(draft, chosen, rejected)
    return Made("judge", chosen, rejected, verdict.rationale)
