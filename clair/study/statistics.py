"""The figures of a study from right and wrong answers. Pure.

Answers of one model are a string of "1" (right) and "0", one character per problem, in the problems' order. An *arm*
is the models of one dataset and objective, one per seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from statistics import fmean, stdev
from typing import NamedTuple

from clair.study.plan import Cell

RESAMPLES = 1000
INTERVAL = 0.95

Answers = str
Arm = Sequence[Answers]


class Difference(NamedTuple):
    """A difference of two shares of right answers, and its 95 % interval."""

    mean: float
    low: float
    high: float


class Score(NamedTuple):
    """An arm: mean share of right answers, its standard deviation over seeds (None for one), gain over the student."""

    exact: float
    std: float | None
    gain: Difference


def share(answers: Answers) -> float:
    """Share of right answers."""
    return answers.count("1") / len(answers)


def score(arm: Arm, student: Answers) -> Score:
    """The figures of an arm beside the untrained student on the same problems."""
    shares = [share(answers) for answers in arm]
    return Score(fmean(shares), stdev(shares) if len(shares) > 1 else None, difference(arm, [student]))


def difference(ours: Arm, theirs: Arm, *, resamples: int = RESAMPLES) -> Difference:
    """Mean share of `ours` minus that of `theirs`, with a bootstrap interval.

    Each resample draws problems, the same for both, and of each side its seeds: both make the result vary.
    """
    rng = Random("study")  # noqa: S311 - resampling needs no secret
    left, right = ([[int(char) for char in answers] for answers in arm] for arm in (ours, theirs))
    problems = range(len(left[0]))
    drawn: list[float] = []
    for _ in range(resamples):
        chosen = rng.choices(problems, k=len(problems))
        drawn.append(_mean(left, chosen, rng) - _mean(right, chosen, rng))
    drawn.sort()
    tail = (1 - INTERVAL) / 2
    mean = fmean(map(share, ours)) - fmean(map(share, theirs))
    return Difference(mean, drawn[int(tail * resamples)], drawn[int((1 - tail) * resamples) - 1])


def _mean(rows: list[list[int]], chosen: list[int], rng: Random) -> float:
    drawn = rng.choices(rows, k=len(rows)) if len(rows) > 1 else rows
    return fmean(sum(map(row.__getitem__, chosen)) for row in drawn) / len(chosen)


def best_rates(scores: Mapping[Cell, float]) -> dict[str, float]:
    """For each objective the learning rate with the best mean score over the datasets; of equals the lower one.

    One rate for all datasets, so that no dataset has more choices than another.
    """
    found: dict[str, dict[float, list[float]]] = {}
    for cell, value in scores.items():
        found.setdefault(cell.objective, {}).setdefault(cell.learning_rate, []).append(value)
    return {
        objective: max(sorted(rates), key=lambda rate: round(fmean(rates[rate]), 12))
        for objective, rates in found.items()
    }
