"""Problems, their splits and their solutions. Nothing is doubled."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest

from clair.errors import UsageError
from clair.sandbox.arithmetic import BadHabits
from clair.sandbox.corpus import documents
from clair.sandbox.families import FAMILIES
from clair.sandbox.problems import SPLITS, Problem, Split, draw, find_problem, problems

BILL = {"who": "Ida", "item1": "pens", "n1": "3", "p1": "4", "item2": "cups", "n2": "2", "p2": "9", "paid": "50"}


@pytest.mark.parametrize(
    ("family", "given", "expected"),
    [
        ("bill", BILL, {"c1": "12", "c2": "18", "total": "30", "change": "20"}),
        (
            "trip",
            {"city": "Rome", "dep": "9:45", "dh": "2", "dm": "20"},
            {"sum": "65", "carry": "1", "rest": "5", "entered": "1", "hours": "12", "arr": "12:05"},
        ),
        (
            "week",
            {"start": "Friday", "o1": "8", "o2": "16", "o3": "20"},
            {"r1": "1", "d1": "Saturday", "days2list": "Saturday, Sunday", "d2": "Sunday", "r3": "6", "d3": "Thursday"},
        ),
        (
            "stock",
            {"a1": "52", "b1": "25", "a2": "40", "b2": "40", "a3": "99", "b3": "11"},
            {"l1": "27", "l2": "0", "l3": "88"},
        ),
        (
            "marks",
            {"things": "ages", "list": "41, 17, 90, 62"},
            {"sorted_list": "17, 41, 62, 90", "low": "17", "high": "90", "gap": "73"},
        ),
    ],
)
def test_solutions_worked_by_hand(family: str, given: dict[str, str], expected: dict[str, str]) -> None:
    solution = Problem(FAMILIES[family], given, "").solution
    assert {name: solution[name] for name in expected} == expected


def test_bad_habits_worked_by_hand() -> None:
    habits = BadHabits(Random(0), chance=1.0)
    assert habits.minus(52, 25) == 33  # no borrowing: |5-2|, |2-5|
    assert habits.minus(100, 7) == 107
    assert habits.carried_hour(1) == 0
    assert habits.days_after("Monday", 2) == ["Monday", "Tuesday"]  # today counted as the first day
    assert BadHabits(Random(0), chance=0.0).minus(52, 25) == 27


def test_same_seed_gives_the_same_problems_and_another_seed_others() -> None:
    first = [problem.question for problem in problems("align", 60, seed=3)]
    assert first == [problem.question for problem in problems("align", 60, seed=3)]
    assert not set(first) & {problem.question for problem in problems("align", 60, seed=4)}


def test_problems_are_distinct_and_families_take_turns() -> None:
    drawn = list(problems("dev", 500, seed=0))
    assert len({problem.key for problem in drawn}) == 500
    assert [problem.family.name for problem in drawn[:6]] == ["bill", "trip", "week", "stock", "marks", "bill"]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_every_family_has_tens_of_thousands_of_problems(family: object) -> None:
    rng = Random(0)
    assert isinstance(family, type(FAMILIES["bill"]))
    assert len({draw(family, rng).key for _ in range(60_000)}) > 20_000


def test_at_least_two_families_have_independent_steps() -> None:
    """Whatever values the other fields are given, a field's result stays the same."""
    independent = [family for family in FAMILIES.values() if family.independent]
    assert {family.name for family in independent} == {"week", "stock"}
    for family in independent:
        problem, last = draw(family, Random(1)), family.answer[-1][-1]
        other = draw(family, Random(2))
        mixed = {**other.given, **{name: problem.given[name] for name in problem.given if not name.endswith(last)}}
        solution = Problem(family, mixed, "").solution
        assert [solution[name] for name in family.answer[:-1]] == [
            problem.solution[name] for name in family.answer[:-1]
        ]


def test_the_split_depends_on_numbers_alone() -> None:
    """By construction: other names and another wording stay in the same split."""
    rng = Random(5)
    for family in FAMILIES.values():
        for _ in range(50):
            problem, decoration = draw(family, rng), draw(family, rng)
            numbers = {name: problem.given[name] for name in family.numbers}
            for question in family.questions:
                given = {**decoration.given, **numbers}
                assert Problem(family, given, question.write(given)).split == problem.split


def test_evaluation_problems_occur_in_no_training_data() -> None:
    """By search, over what is really drawn: pretraining documents, alignment, dev and test problems."""
    found: dict[Split, set[str]] = {split: {p.key for p in problems(split, 1500, seed=0)} for split in SPLITS[1:]}
    pretraining = set()
    for question, _ in islice(documents(0, habits=True), 3000):
        problem = find_problem(question)
        assert problem is not None
        pretraining.add(problem.key)
    found["pretrain"] = pretraining
    for split in SPLITS:
        for other in SPLITS:
            assert split == other or not found[split] & found[other]


def test_a_question_is_recognized_in_other_text() -> None:
    for problem in problems("test", 200, seed=1):
        assert find_problem(f"Hello!\n{problem.question} Thank you.") == problem
    assert find_problem("How much is a fish?") is None
    assert find_problem("a" * 200_000 + "\n" + "7, " * 50_000) is None
    assert find_problem(next(problems("test", 1)).question[:-8]) is None


def test_what_contradicts_itself_is_no_problem() -> None:
    problem = Problem(FAMILIES["trip"], {"city": "Rome", "dep": "noon", "dh": "2", "dm": "5"}, "")
    question = problem.family.questions[0].write(problem.given)
    assert find_problem(question) is None


def test_unknown_split_and_exhausted_families_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="unknown split 'train'"):
        next(problems("train", 1))  # type: ignore[arg-type]
