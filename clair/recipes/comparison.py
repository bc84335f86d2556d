"""What `clair eval --judge` does with one prompt: a model and a baseline answer it, and a judge compares the answers.

No recipe of a dataset: the row ends as a `Judgment`, win, loss or tie, or as a reject if it could not be judged.
The judge sees both orders and may be wrong about either; what it says is kept as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from clair.errors import RowFailure
from clair.recipes.base import Draft, Piece, Plan
from clair.recipes.judging import Opinion, both_orders
from clair.recipes.stages import finished_text
from clair.records import Ask, Completion, Message, Part, Reject, Row, Spent
from clair.words import words

Result = Literal["win", "loss", "tie", "disagreement", "identical"]
"""For the model, against the baseline: `tie` says the judge in both orders, `disagreement` is any other two verdicts
that do not name the same winner, and answers of the same words are not judged."""

SIDES: tuple[Part, Part] = ("target", "baseline")
NAMES = ("model", "baseline")


class Answers(NamedTuple):
    """What the two models answered to one prompt."""

    model: str
    baseline: str


@dataclass(frozen=True, slots=True)
class Judgment:
    """One judged prompt. `opinions` are the judge's with the model's answer shown first, and with the baseline's; None
    where both answers have the same words."""

    id: str
    prompt: tuple[Message, ...]
    answers: Answers
    opinions: tuple[Opinion, Opinion] | None
    spent: Spent
    source: str
    source_index: int

    @property
    def result(self) -> Result:
        """How the model did."""
        if self.opinions is None:
            return "identical"
        labels = tuple(opinion.label for opinion in self.opinions)
        results: dict[tuple[str, ...], Result] = {("A", "B"): "win", ("B", "A"): "loss", ("C", "C"): "tie"}
        return results.get(labels, "disagreement")


def comparison(row: Row, plan: Plan) -> Piece[Judgment | Reject]:
    """One prompt, from question to judgment. `plan.columns` names the columns of given answers, "" for one to ask for.

    A reject holds the model's answer as `response` and the baseline's as `revision`, where there are any.
    """
    draft = Draft(row, plan)
    try:
        answers = yield from _answers(draft)
        same = words(answers.model) == words(answers.baseline)
        opinions = None if same else (yield from both_orders(draft, *answers))
    except RowFailure as failure:
        return draft.reject(failure)
    return Judgment(row.id, row.messages, answers, opinions, draft.spent, row.source, row.source_index)


def _answers(draft: Draft) -> Piece[Answers]:
    """The given answers, and those of the models that are asked, at once."""
    row = draft.row
    asked = [Ask(side, "sample", row.messages) for side, column in zip(SIDES, draft.plan.columns, strict=True)
             if not column]  # fmt: skip
    given, replies = iter(row.answers), iter((yield from draft.ask(asked)) if asked else [])
    found = [next(given) if column else next(replies) for column in draft.plan.columns]
    draft.response, draft.revision = (_text(answer) for answer in found)
    model, baseline = (_finished(name, answer) for name, answer in zip(NAMES, found, strict=True))
    return Answers(model, baseline)


def _text(answer: str | Completion | RowFailure) -> str | None:
    if isinstance(answer, Completion):
        return answer.text or None
    return answer if isinstance(answer, str) else None


def _finished(name: str, answer: str | Completion | RowFailure) -> str:
    """The text of an answer that came to its end; a failure says whose answer it was."""
    if isinstance(answer, str):
        return answer
    try:
        if isinstance(answer, RowFailure):
            raise answer
        return finished_text(answer)
    except RowFailure as failure:
        raise RowFailure(failure.reason, f"the {name}'s answer: {failure.detail}", stage="sample") from failure
