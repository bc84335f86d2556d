"""Reading and scoring worked answers. Nothing is doubled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clair.sandbox.answers import Score, read_answer
from clair.sandbox.corpus import CLOSERS, OPENERS, write_answer
from clair.sandbox.families import FAMILIES
from clair.sandbox.problems import Problem, problems

BILL = Problem(
    FAMILIES["bill"],
    {"who": "Ida", "item1": "pens", "n1": "3", "p1": "4", "item2": "cups", "n2": "2", "p2": "9", "paid": "50"},
    "",
)
RIGHT = (
    "The pens cost 3 x 4 = 12 dollars. The cups cost 2 x 9 = 18 dollars. "
    "Together that is 12 + 18 = 30 dollars. The change is 50 - 30 = 20 dollars."
)


def test_a_right_answer_scores_full() -> None:
    assert read_answer(BILL, RIGHT).score == Score(exact=True, steps=1.0)
    assert read_answer(BILL, f"Good question! {RIGHT} I hope this helps!").right


def test_a_wrong_step_with_a_right_end_is_exact_but_not_right() -> None:
    reading = read_answer(BILL, RIGHT.replace("3 x 4 = 12", "3 x 4 = 13"))
    assert reading.score == Score(exact=True, steps=0.75)
    assert not reading.right


def test_a_wrong_end_is_not_exact() -> None:
    assert read_answer(BILL, RIGHT.replace("= 20", "= 80")).score == Score(exact=False, steps=0.75)


def test_a_contradiction_is_not_exact() -> None:
    assert not read_answer(BILL, f"{RIGHT} No, it is 70 dollars.").score.exact


def test_a_missing_step_costs_its_share() -> None:
    without = RIGHT.replace("Together that is 12 + 18 = 30 dollars. ", "")
    assert read_answer(BILL, without).score == Score(exact=True, steps=0.75)


def test_an_answer_in_other_words_is_judged_by_its_last_value() -> None:
    assert read_answer(BILL, "12 and 18 make 30, so 20 dollars come back").score == Score(exact=True, steps=1.0)
    assert read_answer(BILL, "12 and 18 make 30, so 30 dollars come back").score == Score(exact=False, steps=0.0)


def test_every_writer_of_every_family_is_understood() -> None:
    for index, problem in enumerate(problems("dev", 300, seed=0)):
        writer = index % problem.family.writers
        opener, closer = OPENERS[index % len(OPENERS)], CLOSERS[index % len(CLOSERS)]
        reading = read_answer(problem, write_answer(problem, problem.solution, writer, opener, closer))
        assert reading.right
        assert reading.writer == writer


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    reading = read_answer(BILL, text)
    assert 0 <= reading.score.steps <= 1
    assert all(text[s.start : s.end] == reading.words(s) for s in reading.sentences)
