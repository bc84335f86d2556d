"""The teacher corrects whatever it is shown. Nothing is doubled; damaged answers come from the corpus's writers."""

from __future__ import annotations

from itertools import islice
from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.sandbox.answers import read_answer, resemblance
from clair.sandbox.corpus import documents
from clair.sandbox.families import FAMILIES
from clair.sandbox.problems import draw, find_problem, problems
from clair.sandbox.teacher import apply, correct, judge, own_answer
from tests.sandbox.test_sandbox_answers import BILL, RIGHT


def damaged(answer: str, rng: Random) -> str:
    """The answer with characters exchanged, words lost, or its end cut off."""
    kind = rng.choice(("characters", "words", "end"))
    if kind == "characters":
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(answer))
            answer = answer[:place] + rng.choice("abc 0123456789.") + answer[place + 1 :]
        return answer
    if kind == "end":
        return answer[: rng.randrange(len(answer))]
    words = answer.split()
    del words[rng.randrange(len(words)) :][: rng.randint(1, 3)]
    return " ".join(words)


def test_only_the_wrong_value_is_changed() -> None:
    correction = correct(BILL, RIGHT.replace("3 x 4 = 12", "3 x 4 = 13"))
    assert correction.text == RIGHT
    assert [change.new for change in correction.changes] == ["12"]
    assert correction.reasoning.endswith('"12" is right in place of "13".')


def test_consequences_are_corrected_too() -> None:
    wrong = RIGHT.replace("12", "14").replace("= 30", "= 32").replace("- 30 = 20", "- 32 = 18")
    assert correct(BILL, wrong).text == RIGHT
    assert [change.new for change in correct(BILL, wrong).changes] == ["12", "12", "30", "30", "20"]


def test_a_missing_step_is_added_in_the_wording_of_the_rest() -> None:
    without = RIGHT.replace("The pens cost 3 x 4 = 12 dollars. ", "Good question! ")
    assert correct(BILL, without).text == f"Good question! {RIGHT}"


def test_a_right_answer_stays_as_it_is() -> None:
    assert correct(BILL, RIGHT).text == RIGHT
    assert correct(BILL, RIGHT).changes == ()


def test_layout_is_kept() -> None:
    listed = RIGHT.replace(". ", ".\n\n")
    assert correct(BILL, listed.replace("= 20", "= 25")).text == listed


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_own_answers_are_right_over_a_thousand_seeds(family: object) -> None:
    assert isinstance(family, type(FAMILIES["bill"]))
    for seed in range(1000):
        problem = draw(family, Random(seed))
        assert read_answer(problem, own_answer(problem)).right


def test_corrections_are_right_over_thousands_of_answers() -> None:
    rng = Random(0)
    for index, (question, answer) in enumerate(islice(documents(11, habits=True), 3000)):
        problem = find_problem(question)
        assert problem is not None
        shown = damaged(answer, rng) if index % 3 == 0 else answer
        correction = correct(problem, shown)
        assert read_answer(problem, correction.text).right
        assert apply(shown, correction.changes) == correction.text


def test_most_words_of_a_habitual_answer_stay() -> None:
    kept = []
    for question, answer in islice(documents(12, habits=True), 600):
        problem = find_problem(question)
        assert problem is not None
        if not read_answer(problem, answer).right:
            kept.append(resemblance(answer, correct(problem, answer).text))
    assert median(kept) > 0.9


@given(st.text(), st.integers(0, 4))
def test_any_text_is_made_right(text: str, index: int) -> None:
    problem = list(problems("dev", 5, seed=2))[index]
    correction = correct(problem, text)
    assert read_answer(problem, correction.text).right
    assert apply(text, correction.changes) == correction.text


def test_the_judge_prefers_the_right_result_then_more_right_steps() -> None:
    wrong_step, wrong_end = RIGHT.replace("4 = 12", "4 = 13"), RIGHT.replace("= 20", "= 25")
    assert judge(BILL, RIGHT, wrong_end) == "first"
    assert judge(BILL, wrong_end, wrong_step) == "second"
    assert judge(BILL, wrong_step, RIGHT) == "second"
    assert judge(BILL, RIGHT, own_answer(BILL)) == "tie"
