"""How often a model wins against a baseline, with an interval, and the same with length taken out. Pure.

    rates = win_rates(preferences, differences, seed=0)
    rates.raw.value, rates.raw.low, rates.raw.high
    rates.length_controlled                     # the same three, or None

`preferences` are 1 for a win, 0 for a loss, 0.5 for a tie, one for each prompt; `differences` are characters of the
model's answer minus characters of the baseline's.

The length-controlled win rate is that of Dubois et al. 2024 (arXiv 2404.04475, AlpacaEval 2) for one pair of models:
the preference is modeled as

    P(model wins on prompt i) = logistic(theta + phi * tanh(difference_i / s)),     s = sd(differences)

and the win rate at equal lengths is logistic(theta). What is simpler than theirs: no term for the difficulty of a
prompt (theirs is estimated from the answers of a leaderboard's other models); no judgments of the baseline asked to be
verbose and concise, which steady their fit; preferences are 0, 0.5 or 1 and not a probability of the judge's token;
and in place of an L1 penalty chosen by cross-validation phi alone has a wide normal prior, so that lengths that tell
winners from losers perfectly do not drive it to infinity. Theta has none: at equal lengths the result is the raw rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clair.errors import UsageError

Floats = npt.NDArray[np.float64]

RESAMPLES = 1000
INTERVAL = 0.95
PRIOR_SD = 5.0
"""Of phi, in logits: a share of 0.99 of wins for answers longer by far is a phi of 4.6."""
STEPS = 100


class Rate(NamedTuple):
    """A win rate and its 95 % interval, all from 0 to 1."""

    value: float
    low: float
    high: float


class WinRates(NamedTuple):
    """Over `prompts` judged ones. `length_effect` is phi: above 0 the longer answer wins more often than it should.

    The length-controlled rate and phi are None where all answers differ in length by the same number of characters
    but 0: then nothing tells the effect of length from the model's.
    """

    raw: Rate
    length_controlled: Rate | None
    length_effect: float | None


def win_rates(preferences: Sequence[float], differences: Sequence[float], *, seed: int = 0) -> WinRates:
    """Both rates, with percentile bootstrap intervals over the prompts: a prompt is drawn with all that belongs to it.

    The same input and seed give the same result. Raises UsageError if there is no prompt.
    """
    if not preferences:
        raise UsageError("no prompt was judged, so there is no win rate")
    wins, lengths = np.array(preferences, dtype=float), scaled(differences)
    draws = list(_draws(len(wins), seed))
    raw = Rate(float(wins.mean()), *_interval([float(wins[draw].mean()) for draw in draws]))
    if lengths is None:
        return WinRates(raw, None, None)
    theta, phi = fit(wins, lengths)
    resampled = _logistic(np.array([fit(wins[draw], lengths[draw])[0] for draw in draws]))
    controlled = Rate(float(_logistic(np.array(theta))), *_interval(resampled.tolist()))
    return WinRates(raw, controlled, phi)


def scaled(differences: Sequence[float]) -> Floats | None:
    """tanh(difference / standard deviation), 0 where all are 0; None where all are the same other number."""
    values = np.array(differences, dtype=float)
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    if spread == 0.0:
        return None if values.any() else values
    return np.tanh(values / spread)


def fit(wins: Floats, lengths: Floats) -> tuple[float, float]:
    """(theta, phi) of logistic(theta + phi * lengths) with the largest posterior, by Newton's method.

    With wins only, or losses only, theta is infinite and phi 0.
    """
    mean = float(wins.mean())
    if mean in (0.0, 1.0):
        return (np.inf if mean else -np.inf), 0.0
    at = np.array([np.log(mean / (1 - mean)), 0.0])
    design = np.stack([np.ones_like(lengths), lengths], axis=1)
    prior = np.diag([0.0, PRIOR_SD**-2])

    def loss(point: Floats) -> float:
        logits = design @ point
        return float((np.logaddexp(0.0, logits) - wins * logits).sum() + point @ prior @ point / 2)

    for _ in range(STEPS):
        shares = _logistic(design @ at)
        slope = design.T @ (shares - wins) + prior @ at
        curvature = (design.T * (shares * (1 - shares))) @ design + prior
        at, moved = _step(loss, at, np.linalg.solve(curvature, slope))
        if moved < 1e-10:
            break
    return float(at[0]), float(at[1])


def _step(loss: Callable[[Floats], float], at: Floats, step: Floats) -> tuple[Floats, float]:
    """Go along the Newton step, half as far as long as that makes things worse. The new place, and how far it is."""
    before = loss(at)
    while loss(at - step) > before and np.abs(step).max() > 1e-12:
        step = step / 2
    return at - step, float(np.abs(step).max())


def _draws(count: int, seed: int) -> Sequence[npt.NDArray[np.intp]]:
    rng = Random(f"bootstrap/{seed}")  # noqa: S311 - resampling needs no secret
    return [np.array(rng.choices(range(count), k=count)) for _ in range(RESAMPLES)]


def _interval(values: Sequence[float]) -> tuple[float, float]:
    ordered, tail = sorted(values), (1 - INTERVAL) / 2
    return ordered[int(tail * RESAMPLES)], ordered[int((1 - tail) * RESAMPLES) - 1]


def _logistic(logits: Floats) -> Floats:
    return np.exp(-np.logaddexp(0.0, -logits))
