"""The pure core of a judged evaluation, driven by hand: a function stands for all models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from clair.contrast import Gate
from clair.errors import LedgerError, RowFailure
from clair.evaluation.judgments import decode, encode, line
from clair.recipes.base import Plan
from clair.recipes.catalog import JUDGE
from clair.recipes.comparison import Answers, Judgment, comparison
from clair.recipes.judging import Opinion
from clair.records import Ask, Completion, Reject, Row, Spent, Usage
from clair.templates import Templates

ROW = Row(
    id="row",
    ordinal=0,
    messages=({"role": "user", "content": "2 + 2?"},),
    sample_index=0,
    source="p.jsonl",
    source_index=3,
)
PLAN = Plan(
    target_model="new",
    reviser_model="old",
    judge_model="judge",
    protocol="auto",
    templates=Templates.load(names=JUDGE),
    principles=(),
    gate=Gate(),
    allow_talk=False,
    max_attempts=2,
    token=lambda content: "3f9a02c1",
    columns=("", ""),
)


def drive(
    answer: Callable[[Ask], str | Completion | RowFailure], row: Row = ROW, **changes: Any
) -> tuple[Judgment | Reject, list[list[Ask]]]:
    """How the prompt ends, and the questions in the groups in which they were asked. 2 tokens in, 1 out, 1 dollar."""
    steps, asked = comparison(row, replace(PLAN, **changes)), []
    try:
        questions: Any = next(steps)
        while True:
            asked.append(list(questions))
            found = [answer(question) for question in questions]
            completed = [Completion(it, "stop", usage=Usage(2, 1), cost_usd=1.0) if isinstance(it, str) else it
                         for it in found]  # fmt: skip
            questions = steps.send(completed)
    except StopIteration as end:
        return end.value, asked


def labels(first: str, second: str) -> Callable[[Ask], str]:
    """The model says "four", the baseline "five"; the judge these two labels, the first where "four" is answer A."""

    def answer(ask: Ask) -> str:
        if ask.part != "judge":
            return {"target": "four", "baseline": "five"}[ask.part]
        text = ask.messages[-1]["content"]
        return f"Hm.\n[[{first if text.index('four') < text.index('five') else second}]]"

    return answer


@pytest.mark.parametrize(
    ("said", "result"),
    [
        (("A", "B"), "win"),
        (("B", "A"), "loss"),
        (("C", "C"), "tie"),
        (("A", "A"), "disagreement"),
        (("B", "B"), "disagreement"),
        (("A", "C"), "disagreement"),
        (("C", "A"), "disagreement"),
    ],
)
def test_only_the_same_winner_in_both_orders_wins(said: tuple[str, str], result: str):
    judgment, asked = drive(labels(*said))
    assert isinstance(judgment, Judgment)
    assert judgment.result == result
    assert [[ask.part for ask in group] for group in asked] == [["target", "baseline"], ["judge", "judge"]]


def test_a_judgment_holds_everything():
    judgment, _ = drive(labels("A", "C"))
    assert judgment == Judgment(
        id="row",
        prompt=({"role": "user", "content": "2 + 2?"},),
        answers=Answers("four", "five"),
        opinions=(Opinion("A", "Hm."), Opinion("C", "Hm.")),
        spent=Spent(prompt_tokens=8, completion_tokens=4, cost_usd=4.0, requests=4),
        source="p.jsonl",
        source_index=3,
    )


def test_the_same_words_are_not_judged():
    judgment, asked = drive(lambda ask: "four  words" if ask.part == "target" else "four words")
    assert isinstance(judgment, Judgment)
    assert (judgment.result, judgment.opinions, len(asked)) == ("identical", None, 1)


@pytest.mark.parametrize(
    ("columns", "given", "expected", "asked_for"),
    [
        (("a", "b"), ("four", "five"), ("four", "five"), []),
        (("a", ""), ("four",), ("four", "five"), ["baseline"]),
        (("", "b"), ("five",), ("four", "five"), ["target"]),
    ],
)
def test_given_answers_are_taken_and_the_others_asked_for(
    columns: tuple[str, str], given: tuple[str, ...], expected: tuple[str, str], asked_for: list[str]
):
    judgment, asked = drive(labels("A", "B"), replace(ROW, answers=given), columns=columns)
    assert isinstance(judgment, Judgment)
    assert judgment.answers == expected
    assert [ask.part for group in asked for ask in group if ask.part != "judge"] == asked_for


def test_a_failure_says_whose_answer_it_was_and_keeps_the_other():
    def answer(ask: Ask) -> str | RowFailure:
        return "five" if ask.part == "baseline" else RowFailure("content_filter", "no")

    reject, asked = drive(answer)
    assert isinstance(reject, Reject)
    assert (reject.stage, reject.reason, reject.detail) == ("sample", "content_filter", "the model's answer: no")
    assert (reject.response, reject.revision, len(asked)) == (None, "five", 1)


def test_a_judge_without_a_verdict_is_asked_again_and_then_the_prompt_has_failed():
    reject, asked = drive(lambda ask: "Hm." if ask.part == "judge" else ask.part)
    assert isinstance(reject, Reject)
    assert (reject.stage, reject.reason) == ("judge", "judge_unparsable")
    assert (reject.response, reject.revision) == ("target", "baseline")
    assert [len(group) for group in asked] == [2, 2, 2]
    assert reject.spent.requests == 6


def test_outcomes_come_back_from_the_ledger_as_they_went_in():
    outcomes = [drive(labels("A", "C"))[0], drive(lambda ask: "same")[0], drive(lambda ask: RowFailure("empty", ""))[0]]
    assert [decode(encode(outcome)) for outcome in outcomes] == outcomes


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"kind":"judgment"}', b'{"kind":"pair"}'])
def test_a_damaged_outcome_is_a_ledger_error(body: bytes):
    with pytest.raises(LedgerError, match="cannot be read"):
        decode(body)


def test_a_line_says_who_was_shown_first_and_who_won():
    found = line(drive(labels("B", "C"))[0])
    assert (found["result"], found["reason"]) == ("disagreement", None)
    assert found["verdicts"] == [
        {"shown_first": "model", "winner": "baseline", "reasoning": "Hm."},
        {"shown_first": "baseline", "winner": "tie", "reasoning": "Hm."},
    ]
