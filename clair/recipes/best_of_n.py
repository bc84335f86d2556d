"""The `best_of_n` recipe: of several samples of the target, the best is chosen and the worst rejected.

What is best says a checker (a Python function: a unit test, a comparison with the known result), or the judge: it rates
each answer by itself from 1 to 10, and the best and the worst are then compared in both orders, because a rating is
noisy and a comparison is not made for all pairs. Samples ranked by a score as in ReST (Gulcehre et al. 2023, arXiv
2308.08998); pairs of highest and lowest rating, none where they are equal, as in Yuan et al. 2024 (arXiv 2401.10020).
"""

from __future__ import annotations

from clair.errors import RowFailure
from clair.recipes.base import Draft, Made, Piece, Plan, Steps, outcome
from clair.recipes.judging import prefer, rate
from clair.recipes.stages import gate, sample_many
from clair.records import Check, Row
from clair.words import words


def best_of_n(row: Row, plan: Plan) -> Steps:
    """One row, from question to outcome."""
    return outcome("best_of_n", row, plan, _make)


def _make(draft: Draft) -> Piece[Made]:
    given = draft.row.answers
    answers = list(given) or (yield from sample_many(draft, draft.plan.candidates, needed=2))
    names = dict(zip(given, draft.plan.columns, strict=False))
    answers = _different(draft, answers)
    scores = yield from (_checked(draft, answers) if draft.plan.checked else rate(draft, answers))
    best, worst = _extremes(draft, answers, scores)
    why = f"Scores: {max(scores):g} for chosen, {min(scores):g} for rejected."
    if not draft.plan.checked:
        verdict = yield from prefer(draft, best, worst)
        if verdict.winner == "second":
            raise RowFailure("judge_tie", "the ratings and the comparison of best and worst disagree")
        why = f"{why}\n\n{verdict.rationale}"
    gate(draft, best, worst)
    return Made(
        "checker" if draft.plan.checked else "judge",
        best,
        worst,
        why,
        target_model=f"column:{names[worst]}" if given else None,
        reviser_model=f"column:{names[best]}" if given else None,
    )


def _different(draft: Draft, answers: list[str]) -> list[str]:
    """The answers without those that have the same words as an earlier one."""
    first_of: dict[str, str] = {}
    for answer in answers:
        first_of.setdefault(" ".join(words(answer)), answer)
    different = list(first_of.values())
    draft.response = different[0]
    draft.stage = "judge"
    if len(different) < 2:
        raise RowFailure("judge_tie", f"all {len(answers)} answers have the same words")
    return different


def _checked(draft: Draft, answers: list[str]) -> Piece[list[float]]:
    row = draft.row
    scores: list[float] = yield [Check(row.messages, answer, row.metadata) for answer in answers]
    return scores


def _extremes(draft: Draft, answers: list[str], scores: list[float]) -> tuple[str, str]:
    """The first of the best answers and the first of the worst."""
    best, worst = (answers[scores.index(extreme(scores))] for extreme in (max, min))
    draft.response, draft.revision = worst, best
    if max(scores) == min(scores):
        raise RowFailure("judge_tie", f"all {len(answers)} answers have the score {scores[0]:g}")
    return best, worst
