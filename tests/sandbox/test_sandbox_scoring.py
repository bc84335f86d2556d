"""Scores of models. The models are functions that answer as the solver would, so every figure is known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from clair.errors import UsageError
from clair.records import Message
from clair.sandbox.problems import find_problem, problems
from clair.sandbox.scoring import Conversations, bootstrap, evaluate, score_answers
from clair.sandbox.teacher import own_answer


def perfect(conversations: Conversations, temperature: float, seed: int) -> list[str]:
    return [solved(messages) for messages in conversations]


def half(conversations: Conversations, temperature: float, seed: int) -> list[str]:
    """Right on every second problem when greedy, silent when sampled."""
    if temperature:
        return ["" for _ in conversations]
    return [solved(messages) if index % 2 else "" for index, messages in enumerate(conversations)]


def solved(messages: Sequence[Message]) -> str:
    problem = find_problem(messages[-1]["content"])
    assert problem is not None
    return own_answer(problem)


def test_figures_of_known_models() -> None:
    report = evaluate(perfect, half, split="dev", n=40, seed=1)
    every_family = dict.fromkeys(("bill", "trip", "week", "stock", "marks"), 1.0)
    assert report["model"] == {
        "exact": 1.0, "steps": 1.0, "low": 1.0, "high": 1.0,
        "sampled_exact": 1.0, "sampled_steps": 1.0, "sampled_low": 1.0, "sampled_high": 1.0, "families": every_family,
    }  # fmt: skip
    assert (report["split"], report["n"], report["seed"]) == ("dev", 40, 1)
    assert report["baseline"]["exact"] == report["baseline"]["steps"] == 0.5
    assert report["baseline"]["sampled_exact"] == 0.0
    assert report["gain"]["exact"] == 0.5
    assert 0.3 < report["gain"]["low"] < 0.5 < report["gain"]["high"] < 0.7


def test_without_baseline_there_is_none() -> None:
    assert set(evaluate(half, n=10)) == {"split", "n", "seed", "model"}


def test_score_answers_pairs_problems_with_answers() -> None:
    asked = list(problems("dev", 2))
    assert [score.exact for score in score_answers(asked, [own_answer(asked[0]), "no idea"])] == [True, False]


def test_the_interval_of_a_mean_is_about_two_standard_errors() -> None:
    """p = 0.5, n = 400: standard error 0.025."""
    low, high = bootstrap([0, 1] * 200)
    assert low == pytest.approx(0.45, abs=0.01)
    assert high == pytest.approx(0.55, abs=0.01)


def test_bad_options_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        evaluate(perfect, n=0)
    with pytest.raises(UsageError, match="unknown split"):
        evaluate(perfect, split="train")  # type: ignore[arg-type]
