"""The `stronger_preferred` recipe: the stronger model's own answer is chosen, the target's is rejected.

The baseline of arXiv 2408.06266 that has CLAIR's quality of chosen answers without its minimal contrast. Either answer
may be given; if both are, nothing is asked.
"""

from __future__ import annotations

from clair.errors import RowFailure
from clair.recipes.base import Draft, Made, Piece, Plan, Steps, outcome
from clair.recipes.stages import finished_text, gate, response_of
from clair.records import Ask, Row
from clair.words import words


def stronger_preferred(row: Row, plan: Plan) -> Steps:
    """One row, from question to outcome."""
    return outcome("stronger_preferred", row, plan, _make)


def _make(draft: Draft) -> Piece[Made]:
    response = yield from response_of(draft)
    stronger = draft.row.answers[0] if draft.row.answers else (yield from _direct(draft))
    draft.revision = stronger
    if words(stronger) == words(response):
        raise RowFailure("unchanged", "both models gave the same answer", stage="revise")
    gate(draft, stronger, response)
    return Made("direct", stronger, response, "")


def _direct(draft: Draft) -> Piece[str]:
    """The reviser's own answer to the prompt."""
    draft.stage = "revise"
    reply = yield from draft.ask_one(Ask("reviser", "revise", draft.row.messages, draft.row.sample_index), attempt=True)
    return finished_text(reply)
