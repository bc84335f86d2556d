"""Means, intervals, learning rates and verdicts. Pure; worked by hand, intervals by their properties."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.study.claims import claims, verdict
from clair.study.plan import Cell, StudySettings, grid_cells
from clair.study.run import chosen_rates, figures
from clair.study.statistics import Difference, best_rates, difference, score, share

answers = st.text("01", min_size=5, max_size=5)


def test_a_share_is_right_answers_by_all():
    assert share("1101") == 0.75


def test_an_arm_has_mean_deviation_and_gain():
    found = score(["1100", "1111"], "1000")
    assert found.exact == 0.75
    assert found.std == pytest.approx(0.25 * 2**0.5)  # of 0.5 and 1.0 around 0.75, divided by n - 1 = 1
    assert found.gain.mean == 0.5
    assert score(["1100"], "1000").std is None


def test_a_model_that_is_right_wherever_the_other_is_wrong_gains_one():
    assert difference(["1111"], ["0000"]) == Difference(1.0, 1.0, 1.0)
    assert difference(["0000"], ["1111"]) == Difference(-1.0, -1.0, -1.0)


def test_problems_are_paired():
    """On every problem the same: each resample has a difference of zero, though its share varies."""
    assert difference(["1100"], ["1100"]) == Difference(0.0, 0.0, 0.0)


def test_seeds_that_disagree_widen_the_interval():
    """On every problem one seed is right and the other wrong: only drawing seeds makes the result vary."""
    found = difference(["1111", "0000"], ["0000"])
    assert found == Difference(0.5, 0.0, 1.0)


@given(st.lists(answers, min_size=1, max_size=3), st.lists(answers, min_size=1, max_size=3))
def test_an_interval_is_ordered_and_bounded_and_its_mean_is_the_difference(ours, theirs):
    found = difference(ours, theirs, resamples=40)
    assert -1 <= found.low <= found.high <= 1
    assert found.mean == pytest.approx(fmean(map(share, ours)) - fmean(map(share, theirs)))


def test_the_best_rate_is_by_mean_over_datasets_and_the_lower_of_equals():
    def cell(dataset, objective, rate):
        return Cell("grid", dataset, objective, rate, 0)

    scores = {
        cell("a", "sft", 1e-3): 0.9, cell("b", "sft", 1e-3): 0.1,
        cell("a", "sft", 1e-4): 0.6, cell("b", "sft", 1e-4): 0.6,
        cell("a", "dpo", 1e-3): 0.5, cell("b", "dpo", 1e-3): 0.7,
        cell("a", "dpo", 1e-4): 0.7, cell("b", "dpo", 1e-4): 0.5,
    }  # fmt: skip
    assert best_rates(scores) == {"sft": 1e-4, "dpo": 1e-4}


def test_rates_come_from_the_grid_or_are_the_only_one_there_is():
    settings = StudySettings(datasets=("clair",), objectives=("sft", "dpo"), grid=(1e-4, 4e-4))
    scores = dict(zip(grid_cells(settings), (0.5, 0.6, 0.6, 0.5), strict=True))
    grid = {cell: {"exact": exact} for cell, exact in scores.items()}
    assert chosen_rates(settings, grid) == {"sft": 4e-4, "dpo": 1e-4}
    assert chosen_rates(replace(settings, grid=(3e-4,)), {}) == {"sft": 3e-4, "dpo": 3e-4}


def test_figures_are_grouped_by_arm_and_displacement_is_a_mean_over_seeds():
    def result(answers, chosen):
        return {"answers": answers, "steps": 0.5, "displacement": {"chosen": chosen, "rejected": -1.0, "accuracy": 1.0}}

    results = {
        Cell("test", "clair", "sft", 1e-4, 0): result("11", 1.0),
        Cell("test", "clair", "dpo", 1e-4, 0): result("00", 0.0),
        Cell("test", "clair", "sft", 1e-4, 1): result("11", 2.0),
    }
    sft, dpo = figures(results, "00")["summary"]
    assert sft == {
        "dataset": "clair",
        "objective": "sft",
        "seeds": 2,
        "exact": 1.0,
        "std": 0.0,
        "steps": 0.5,
        "gain": {"mean": 1.0, "low": 1.0, "high": 1.0},
        "displacement": {"chosen": 1.5, "rejected": -1.0, "accuracy": 1.0},
    }
    assert (dpo["objective"], dpo["exact"], dpo["std"]) == ("dpo", 0.0, None)


def test_a_claim_is_decided_by_an_interval_without_zero():
    above, below, around = Difference(0.2, 0.1, 0.3), Difference(-0.2, -0.3, -0.1), Difference(0.1, -0.1, 0.3)
    assert [verdict(it, expected=1) for it in (above, below, around)] == [
        "as in the paper",
        "against the paper",
        "not decided",
    ]
    assert [verdict(it, expected=-1) for it in (above, below)] == ["against the paper", "as in the paper"]


def test_claims_compare_with_the_best_rival_and_with_the_student():
    right, wrong, half = "1" * 40, "0" * 40, "1" * 20 + "0" * 20
    arms = {
        ("clair", "sft"): [right],
        ("clair", "apo_zero"): [half],
        ("judge_on_policy", "apo_zero"): [wrong],
        ("stronger_preferred", "sft"): [half],
        ("stronger_preferred", "apo_zero"): [wrong],
    }
    found = [(it.says, it.measured, it.verdict) for it in claims(arms, half)]
    assert found == [
        (
            "CLAIR is the best dataset (here: sft)",
            "clair x sft 100.0 %, best other stronger_preferred x sft 50.0 %",
            "as in the paper",
        ),
        (
            "CLAIR is the best dataset (here: apo_zero)",
            "clair x apo_zero 50.0 %, best other judge_on_policy x apo_zero 0.0 %",
            "as in the paper",
        ),
        (
            "APO-zero is the best objective on CLAIR",
            "clair x apo_zero 50.0 %, best other clair x sft 100.0 %",
            "against the paper",
        ),
        (
            "contrastive objectives on stronger-preferred data harm the model (here: apo_zero)",
            "stronger_preferred x apo_zero 0.0 %, the student 50.0 %",
            "as in the paper",
        ),
    ]


def test_without_rivals_nothing_is_claimed():
    assert claims({("judge_on_policy", "sft"): ["10"]}, "10") == []
