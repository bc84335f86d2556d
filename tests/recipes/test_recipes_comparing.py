"""The recipes that compare whole answers: of two samples, of a stronger model, of n samples. Doubles: the models."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from clair.contrast import Gate
from clair.errors import RowFailure
from clair.recipes.catalog import RECIPES
from clair.records import Ask, Check, Pair, Reject
from clair.settings import RecipeName
from clair.templates import Templates
from tests.recipes.driving import block, completion, drive, row

QUALITY = {"good": 9, "fair": 6, "poor": 2, "bad": 2}


def judge(ask: Ask) -> str:
    """Rates and compares by QUALITY of the first word."""
    if not block("answer-A", ask):
        return f"Hm.\n[[{QUALITY[block('answer', ask).split()[0]]}]]"
    one, two = (QUALITY[block(f"answer-{name}", ask).split()[0]] for name in "AB")
    return f"Hm.\n[[{'A' if one > two else 'B' if two > one else 'C'}]]"


def models(*samples: Any) -> Any:
    """The target's samples by their index; the reviser says "good one"."""

    def answer(ask: Ask) -> Any:
        if ask.part == "target":
            return samples[ask.sample_index % len(samples)]
        return judge(ask) if ask.part == "judge" else "good one"

    return answer


def test_the_catalog_holds_every_recipe_and_all_its_prompts_load() -> None:
    assert set(RECIPES) == set(get_args(RecipeName))
    for recipe in RECIPES.values():
        assert set(Templates.load(names=recipe.prompts).sha256) == set(recipe.prompts.values())


@pytest.mark.parametrize(("samples", "chosen"), [(("poor a", "good b"), "good b"), (("good a", "fair b"), "good a")])
def test_of_two_samples_the_better_is_chosen(samples: tuple[str, str], chosen: str) -> None:
    outcome, asked = drive("judge_on_policy", models(*samples))
    assert [len(group) for group in asked] == [2, 2]
    assert [ask.sample_index for ask in asked[0] if isinstance(ask, Ask)] == [0, 1]
    assert isinstance(outcome, Pair)
    assert (outcome.chosen, {outcome.chosen, outcome.rejected}) == (chosen, set(samples))
    assert (outcome.protocol, outcome.judge_model, outcome.spent.attempts) == ("judge", "fair", 0)
    assert (outcome.spent.requests, outcome.spent.cost_usd) == (4, 4.0)


def test_the_samples_of_a_later_row_are_others() -> None:
    _, asked = drive("judge_on_policy", models("good a", "bad b"), of=row(sample_index=2))
    assert [ask.sample_index for ask in asked[0] if isinstance(ask, Ask)] == [4, 5]


def test_two_samples_are_needed_and_equal_ones_are_a_tie() -> None:
    outcome, asked = drive("judge_on_policy", models("good a", completion("bad", "length")))
    assert isinstance(outcome, Reject)
    assert (outcome.stage, outcome.reason, len(asked), outcome.spent.cost_usd) == ("sample", "truncated", 1, 2.0)
    outcome, asked = drive("judge_on_policy", models("poor a", "bad b"))
    assert isinstance(outcome, Reject)
    assert (outcome.reason, outcome.detail) == ("judge_tie", "the judge sees no difference in either order")


def test_the_gate_applies_where_a_bound_is_set() -> None:
    outcome, _ = drive("judge_on_policy", models("good a", "bad b c d"), gate=Gate(max_change=0.5))
    assert isinstance(outcome, Reject)
    assert (outcome.stage, outcome.reason) == ("gate", "too_different")


def test_stronger_preferred_puts_the_prompt_to_the_reviser_as_it_is() -> None:
    outcome, asked = drive("stronger_preferred", models("poor a"))
    assert asked[1] == [Ask("reviser", "revise", row().messages)]
    assert isinstance(outcome, Pair)
    assert (outcome.chosen, outcome.rejected, outcome.protocol) == ("good one", "poor a", "direct")
    assert (outcome.spent.attempts, outcome.spent.requests, outcome.edits) == (1, 2, ())


def test_what_is_given_is_not_asked_for() -> None:
    outcome, asked = drive("stronger_preferred", models("poor a"), of=row(answers=("good g",)))
    assert [ask.part for group in asked for ask in group] == ["target"]  # type: ignore[union-attr]
    outcome, asked = drive("stronger_preferred", models(), of=row(response="poor r", answers=("good g",)))
    assert isinstance(outcome, Pair)
    assert (outcome.chosen, outcome.rejected, asked) == ("good g", "poor r", [])
    assert (outcome.spent.requests, outcome.spent.cost_usd) == (0, 0.0)


def test_the_same_answer_of_both_is_no_pair_and_a_cut_off_one_neither() -> None:
    outcome, _ = drive("stronger_preferred", models("good  one"))
    assert isinstance(outcome, Reject)
    assert (outcome.stage, outcome.reason) == ("revise", "unchanged")
    outcome, _ = drive("stronger_preferred", lambda ask: "poor" if ask.part == "target" else completion("go", "length"))
    assert isinstance(outcome, Reject)
    assert (outcome.stage, outcome.reason, outcome.response) == ("revise", "truncated", "poor")


def test_the_best_and_the_worst_of_n_are_rated_then_compared_in_both_orders() -> None:
    outcome, asked = drive("best_of_n", models("fair a", "bad b", "good c", "good d"), candidates=4)
    assert [len(group) for group in asked] == [4, 4, 2]
    assert [block("answer", ask) for ask in asked[1] if isinstance(ask, Ask)] == ["fair a", "bad b", "good c", "good d"]
    assert isinstance(outcome, Pair)
    assert (outcome.chosen, outcome.rejected) == ("good c", "bad b")
    assert outcome.rationale == "Scores: 9 for chosen, 2 for rejected.\n\nHm."
    assert (outcome.protocol, outcome.judge_model, outcome.spent.requests) == ("judge", "fair", 10)


def test_equal_ratings_equal_answers_and_a_comparison_that_disagrees_are_ties() -> None:
    outcome, asked = drive("best_of_n", models("poor a", "bad b"), candidates=2)
    assert isinstance(outcome, Reject)
    assert (outcome.reason, outcome.detail, len(asked)) == ("judge_tie", "all 2 answers have the score 2", 2)
    outcome, asked = drive("best_of_n", models("poor a", "poor  a"), candidates=3)
    assert isinstance(outcome, Reject)
    assert (outcome.detail, len(asked)) == ("all 3 answers have the same words", 1)

    def fickle(ask: Ask) -> str:
        if ask.part == "judge" and block("answer-A", ask):
            return f"Hm.\n[[{'A' if block('answer-A', ask) == 'bad b' else 'B'}]]"
        return str(models("good a", "bad b")(ask))

    outcome, _ = drive("best_of_n", fickle, candidates=2)
    assert isinstance(outcome, Reject)
    assert outcome.detail == "the ratings and the comparison of best and worst disagree"


def test_samples_that_failed_are_left_out_while_two_remain() -> None:
    broken = (completion("cut", "length"), RowFailure("context_too_long", "no"))
    outcome, _ = drive("best_of_n", models("good a", *broken, "bad b"), candidates=4)
    assert isinstance(outcome, Pair)
    assert (outcome.chosen, outcome.rejected, outcome.spent.requests) == ("good a", "bad b", 7)
    outcome, _ = drive("best_of_n", models("good a", RowFailure("timeout", "slow"), "bad b"), candidates=3)
    assert isinstance(outcome, Reject)
    assert (outcome.stage, outcome.reason) == ("sample", "timeout")
    outcome, asked = drive("best_of_n", models("good a", *broken), candidates=3)
    assert isinstance(outcome, Reject)
    assert (outcome.stage, outcome.reason, len(asked)) == ("sample", "truncated", 1)


def test_a_checker_takes_the_place_of_the_judge() -> None:
    answer = models("3", "4", "44")
    outcome, asked = drive(
        "best_of_n",
        lambda question: float(question.answer == "4") if isinstance(question, Check) else answer(question),
        candidates=3,
        checked=True,
        judge_model=None,
    )
    assert asked[1] == [Check(row().messages, text, '{"sum":4}') for text in ("3", "4", "44")]
    assert isinstance(outcome, Pair)
    assert (outcome.chosen, outcome.rejected, outcome.protocol) == ("4", "3", "checker")
    assert (outcome.judge_model, outcome.rationale) == (None, "Scores: 1 for chosen, 0 for rejected.")
    assert outcome.spent.requests == 3


def test_given_answers_are_ranked_without_sampling_and_their_columns_are_told() -> None:
    of = row(answers=("fair a", "bad b", "good c"))
    outcome, asked = drive("best_of_n", judge, of=of, columns=("x", "y", "z"))
    assert [len(group) for group in asked] == [3, 2]
    assert isinstance(outcome, Pair)
    assert (outcome.chosen, outcome.rejected) == ("good c", "bad b")
    assert (outcome.reviser_model, outcome.target_model) == ("column:z", "column:y")
