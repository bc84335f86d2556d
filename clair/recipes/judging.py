"""The stage in which a judge compares two answers, in both orders, or rates answers one by one.

Judges favor places: GPT-4 kept its verdict in two of three cases when the answers changed places (Zheng et al. 2023,
arXiv 2306.05685, section 3.4). So an answer wins only if it wins in both orders; anything else is a tie, never a coin
toss. A reply without a verdict on its last line is asked for again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

from clair.errors import NotBought, RevisionError, RowFailure
from clair.recipes.base import Draft, Piece
from clair.recipes.revising import FINAL
from clair.records import Ask, Completion, Message
from clair.revision.checks import check_finished
from clair.revision.protocol import ask_again, listed, shown
from clair.revision.reasoning import after_reasoning
from clair.words import words

Side = Literal["first", "second"]
Label = Literal["A", "B", "C"]
Read = TypeVar("Read")

_VERDICT = re.compile(r"\W*(?:(?:my |the )?(?:final )?verdict\W+)?\[\[([ABC])\]\]\W*", re.IGNORECASE)
_SCORE = re.compile(r"\W*(?:(?:my |the )?(?:final )?rating\W+)?\[\[(10|[1-9])\]\]\W*", re.IGNORECASE)


class Verdict(NamedTuple):
    """Which of two answers won, None for a tie; and why, as said where the winner was shown first."""

    winner: Side | None
    rationale: str


class Opinion(NamedTuple):
    """What the judge says of two answers shown in one order: A is the first shown, C a tie."""

    label: Label
    reasoning: str


def prefer(draft: Draft, first: str, second: str) -> Piece[Verdict]:
    """The verdict on two answers; RowFailure `judge_tie` unless one of them wins in both orders."""
    draft.stage = "judge"
    if words(first) == words(second):
        raise RowFailure("judge_tie", "both answers have the same words")
    verdict = yield from compare(draft, first, second)
    if verdict.winner is None:
        raise RowFailure("judge_tie", verdict.rationale)
    return verdict


def confirm(draft: Draft, *, better: str, worse: str) -> Piece[None]:
    """Raise RowFailure `not_better` unless the judge agrees, in both orders."""
    verdict = yield from compare(draft, better, worse)
    if verdict.winner is None:
        raise RowFailure("not_better", verdict.rationale)
    if verdict.winner == "second":
        raise RowFailure("not_better", "the judge prefers the other answer in both orders")


def compare(draft: Draft, first: str, second: str) -> Piece[Verdict]:
    """Ask the judge in both orders. The rationale of a tie says how it came about."""
    one, other = yield from both_orders(draft, first, second)
    labels = one.label, other.label
    if labels == ("A", "B"):
        return Verdict("first", one.reasoning)
    if labels == ("B", "A"):
        return Verdict("second", other.reasoning)
    if labels == ("C", "C"):
        return Verdict(None, "the judge sees no difference in either order")
    return Verdict(None, f"the judge says {labels[0]} in one order and {labels[1]} in the other")


def both_orders(draft: Draft, first: str, second: str) -> Piece[tuple[Opinion, Opinion]]:
    """Ask the judge in both orders at once: its opinion with `first` shown first, and with `second` shown first."""
    one, other = _comparison(draft, first, second), _comparison(draft, second, first)
    yield from _settle(draft, [one, other])
    assert one.answer is not None
    assert other.answer is not None
    return Opinion(one.answer, one.reasoning), Opinion(other.answer, other.reasoning)


def rate(draft: Draft, answers: Sequence[str]) -> Piece[list[float]]:
    """The judge's rating of each answer, 1 to 10."""
    questions = [_rating(draft, answer, number) for number, answer in enumerate(answers)]
    yield from _settle(draft, questions)
    return [float(question.answer) for question in questions if question.answer is not None]


def read_verdict(reply: str) -> tuple[Label, str]:
    """The verdict on the last line and the reasoning before it. RevisionError if there is no verdict."""
    found, reasoning = _last_line(_VERDICT, reply, "[[A]], [[B]] or [[C]]")
    label: Label = "A" if found in "Aa" else "B" if found in "Bb" else "C"
    return label, reasoning


def read_score(reply: str) -> tuple[int, str]:
    """The rating on the last line and the reasoning before it. RevisionError if there is no rating."""
    found, reasoning = _last_line(_SCORE, reply, "the rating as [[1]] to [[10]]")
    return int(found), reasoning


def _last_line(pattern: re.Pattern[str], reply: str, wanted: str) -> tuple[str, str]:
    reasoning, _, last = after_reasoning(reply).strip().rpartition("\n")
    found = pattern.fullmatch(last)
    if found is None:
        raise RevisionError(
            "judge_unparsable",
            f"the judge's reply ends with {last[-80:]!r}, not with {wanted}",
            feedback=f"The last line of the reply must be {wanted}, and nothing else.",
            stage="judge",
        )
    return found[1], reasoning.strip()


class _Question(Generic[Read]):
    """One question to the judge, asked again until its reply can be read."""

    def __init__(
        self,
        draft: Draft,
        messages: tuple[Message, ...],
        read: Callable[[str], tuple[Read, str]],
    ) -> None:
        self.draft = draft
        self.read = read
        self.answer: Read | None = None
        self.reasoning = ""
        self.failure: RowFailure | None = None
        self.attempts = 0
        self._messages = messages
        self._opening = len(messages)

    @property
    def open(self) -> bool:
        """Whether it is to be asked (again)."""
        return self.answer is None and self.attempts < self.draft.plan.max_attempts

    def ask(self) -> Ask:
        return Ask("judge", "judge", self._messages, self.draft.row.sample_index, self.attempts, self._opening)

    def hear(self, result: Completion | RowFailure) -> None:
        """Take the answer; where there is none, `failure` says why."""
        self.attempts += 1
        if isinstance(result, RowFailure):
            self.attempts = self.draft.plan.max_attempts
            if not (isinstance(result, NotBought) and self.failure):
                self.failure = result
            return
        try:
            check_finished(result)
            self.answer, self.reasoning = self.read(result.text)
        except RevisionError as failure:
            failure.stage = "judge"
            self.failure = failure
            if failure.reason in FINAL:
                self.attempts = self.draft.plan.max_attempts
            self._messages = ask_again(self._messages, result.text, failure.feedback)


def _settle(draft: Draft, questions: Sequence[_Question[Read]]) -> Piece[None]:
    """Ask until all questions are answered; raise the failure of one that is not."""
    draft.stage = "judge"
    draft.judged = True
    while asked := [question for question in questions if question.open]:
        results = yield from draft.ask([question.ask() for question in asked])
        for question, result in zip(asked, results, strict=True):
            question.hear(result)
    for question in questions:
        if question.answer is None and question.failure is not None:
            raise question.failure


def _comparison(draft: Draft, first: str, second: str) -> _Question[Label]:
    plan, row = draft.plan, draft.row
    token = plan.token(f"{row.id}/verdict")
    messages = plan.templates.of("verdict").render(
        conversation=shown(row.messages, token),
        first=first,
        second=second,
        token=token,
        principles=listed(plan.principles),
    )
    return _Question(draft, messages, read_verdict)


def _rating(draft: Draft, answer: str, number: int) -> _Question[int]:
    plan, row = draft.plan, draft.row
    token = plan.token(f"{row.id}/score/{number}")
    messages = plan.templates.of("score").render(
        conversation=shown(row.messages, token),
        response=answer,
        token=token,
        principles=listed(plan.principles),
    )
    return _Question(draft, messages, read_score)
