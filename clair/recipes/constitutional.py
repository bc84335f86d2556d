"""The `constitutional` recipe: in each round an answer is criticized in the light of a principle, then revised.

chosen = the last revision, rejected = the target's answer, with the gate between these two. After Bai et al. 2022
(arXiv 2212.08073, section 3): critique and revision in separate requests, the principle drawn anew in each round. Here
it is drawn by the seed and the row, so a resumed run draws the same, and two runs with one seed are comparable.
"""

from __future__ import annotations

import hashlib

from clair.errors import RevisionError
from clair.recipes.base import Draft, Made, Piece, Plan, Steps, outcome
from clair.recipes.judging import confirm
from clair.recipes.revising import Revised, Task, revise
from clair.recipes.stages import finished_text, gate, response_of
from clair.records import Ask, Row
from clair.revision.protocol import shown
from clair.revision.reasoning import after_reasoning
from clair.words import words


def constitutional(row: Row, plan: Plan) -> Steps:
    """One row, from question to outcome."""
    return outcome("constitutional", row, plan, _make)


def drawn(plan: Plan, row: Row, number: int) -> str:
    """The principle of round `number` (from 0) for a row."""
    digest = hashlib.sha256(f"{plan.seed}/{row.id}/{number}".encode()).digest()
    return plan.constitution[int.from_bytes(digest[:8], "big") % len(plan.constitution)]


def _make(draft: Draft) -> Piece[Made]:
    response = yield from response_of(draft)
    rounds: list[Revised] = []
    unchanged: RevisionError | None = None
    text = response
    for number in range(draft.plan.rounds):
        result = yield from _round(draft, text, response, number)
        if isinstance(result, Revised):
            rounds.append(result)
            text = result.text
        else:
            unchanged = result
    if words(text) == words(response):
        raise unchanged or RevisionError("unchanged", "the rounds led back to the answer", feedback="")
    gate(draft, text, response)
    if draft.plan.verify:
        yield from confirm(draft, better=text, worse=response)
    edits = rounds[0].edits if len(rounds) == 1 else ()
    return Made(rounds[-1].protocol, text, response, "\n\n".join(done.rationale for done in rounds), edits)


def _round(draft: Draft, text: str, response: str, number: int) -> Piece[Revised | RevisionError]:
    """One critique and revision of `text`; the RevisionError of a reviser that found nothing to change.

    The gate has its say in the last round only: what earlier rounds ask then does not depend on it, and changing it
    stays free.
    """
    principle = drawn(draft.plan, draft.row, number)
    critique = yield from _criticize(draft, text, principle, number)
    task = Task(
        text,
        beside=response,
        gated=number == draft.plan.rounds - 1,
        number=number,
        principle=principle,
        critique=critique,
    )
    try:
        revised = yield from revise(draft, task)
    except RevisionError as failure:
        if failure.reason != "unchanged":
            raise
        return failure
    reasons = (f"Principle: {principle}", critique.strip(), revised.rationale)
    return revised._replace(rationale="\n\n".join(filter(None, reasons)))


def _criticize(draft: Draft, text: str, principle: str, number: int) -> Piece[str]:
    draft.stage = "revise"
    plan, row = draft.plan, draft.row
    token = plan.token(f"{row.id}/critique/{number}")
    messages = plan.templates.of("critique").render(
        conversation=shown(row.messages, token), response=text, token=token, principle=principle
    )
    reply = yield from draft.ask_one(Ask("reviser", "revise", messages, row.sample_index))
    return after_reasoning(finished_text(reply), response=text)
