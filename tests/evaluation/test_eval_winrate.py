"""Win rates, raw and length-controlled, against closed forms. Everything is real."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clair.errors import UsageError
from clair.evaluation.winrate import PRIOR_SD, fit, scaled, win_rates

LOGIT_3 = np.log(3.0)


def test_the_raw_rate_is_the_mean_and_its_interval_about_two_standard_errors():
    """200 wins of 400: standard error 0.025."""
    raw = win_rates([1, 0] * 200, [0] * 400).raw
    assert raw.value == 0.5
    assert raw.low == pytest.approx(0.45, abs=0.01)
    assert raw.high == pytest.approx(0.55, abs=0.01)


def test_ties_count_half():
    assert win_rates([1, 0.5, 0.5, 0], [1, 2, 3, 4]).raw.value == 0.5
    assert win_rates([1, 0.5], [1, 2]).raw.value == 0.75


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others():
    rng = Random(3)
    wins, differences = [rng.choice((0, 0.5, 1)) for _ in range(60)], [rng.gauss(100, 200) for _ in range(60)]
    first = win_rates(wins, differences, seed=1)
    assert win_rates(wins, differences, seed=1) == first
    other = win_rates(wins, differences, seed=2)
    assert (other.raw.value, other.length_effect) == (first.raw.value, first.length_effect)
    assert (other.raw.low, other.raw.high, other.length_controlled) != (
        first.raw.low,
        first.raw.high,
        first.length_controlled,
    )


def test_lengths_are_scaled_by_their_standard_deviation():
    """Sample standard deviation of 0, 2, 4: 2."""
    found = scaled([0, 2, 4])
    assert found is not None
    assert found == pytest.approx([0.0, np.tanh(1), np.tanh(2)])


def test_two_groups_of_lengths_have_a_fit_in_closed_form():
    """At length +1 the model wins 3/4, at -1 it wins 1/2: theta + phi = logit 3/4 = ln 3, theta - phi = 0. With 8,000
    prompts the prior is worth next to nothing."""
    wins = np.array(([1] * 3 + [0]) * 1000 + [1, 0] * 2000, dtype=float)
    lengths = np.array([1.0] * 4000 + [-1.0] * 4000)
    theta, phi = fit(wins, lengths)
    assert theta == pytest.approx(LOGIT_3 / 2, abs=1e-3)
    assert phi == pytest.approx(LOGIT_3 / 2, abs=1e-3)


def test_the_fit_is_where_the_slope_of_the_penalized_likelihood_is_zero():
    rng = np.random.default_rng(5)
    lengths = np.tanh(rng.normal(0.5, 1, 80))
    wins = rng.choice([0.0, 0.5, 1.0], 80)
    theta, phi = fit(wins, lengths)
    errors = 1 / (1 + np.exp(-(theta + phi * lengths))) - wins
    assert errors.sum() == pytest.approx(0.0, abs=1e-8)
    assert errors @ lengths + phi / PRIOR_SD**2 == pytest.approx(0.0, abs=1e-8)


def test_where_lengths_are_equal_the_controlled_rate_is_the_raw_one():
    rates = win_rates([1, 1, 0.5, 0, 1] * 20, [0] * 100)
    assert rates.length_controlled is not None
    assert rates.length_controlled == pytest.approx(rates.raw, abs=1e-9)
    assert rates.length_effect == pytest.approx(0.0, abs=1e-9)


def test_a_judge_that_only_sees_length_gives_half_at_equal_lengths():
    """The model is longer in four of five prompts and wins exactly those."""
    rng = Random(0)
    differences = [rng.gauss(250, 300) for _ in range(400)]
    rates = win_rates([float(difference > 0) for difference in differences], differences)
    assert rates.raw.value == pytest.approx(0.8, abs=0.05)
    assert rates.length_controlled is not None
    assert rates.length_controlled.value == pytest.approx(0.5, abs=0.1)
    assert rates.length_controlled.low < 0.5 < rates.length_controlled.high
    assert rates.length_effect is not None
    assert rates.length_effect > 4


def test_a_judge_that_does_not_see_length_gives_the_same_rate_at_equal_lengths():
    rng = Random(1)
    differences = [rng.gauss(100, 300) for _ in range(1000)]
    rates = win_rates([float(rng.random() < 0.7) for _ in differences], differences)
    assert rates.length_controlled is not None
    assert rates.length_controlled.value == pytest.approx(rates.raw.value, abs=0.02)


def test_wins_only_are_a_rate_of_one_at_any_length():
    rates = win_rates([1.0] * 5, [1, 2, 3, 4, 5])
    assert rates.raw == (1.0, 1.0, 1.0)
    assert rates.length_controlled == (1.0, 1.0, 1.0)
    assert win_rates([0.0, 0.0], [1, 2]).length_controlled == (0.0, 0.0, 0.0)


def test_lengths_that_always_differ_alike_cannot_be_controlled_for():
    rates = win_rates([1, 0, 1], [7, 7, 7])
    assert (rates.length_controlled, rates.length_effect) == (None, None)
    assert win_rates([1], [7]).length_controlled is None


def test_without_prompts_there_is_no_rate():
    with pytest.raises(UsageError, match="no prompt was judged"):
        win_rates([], [])


prompts = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(-5000, 5000)), min_size=2, max_size=40
).filter(lambda items: len({difference for _, difference in items}) > 1)


@settings(max_examples=100, deadline=None)
@given(prompts)
def test_changing_places_mirrors_the_fit(items: list[tuple[float, int]]):
    wins, differences = np.array([win for win, _ in items]), [difference for _, difference in items]
    lengths, mirrored = scaled(differences), scaled([-difference for difference in differences])
    assert lengths is not None
    assert mirrored is not None
    theta, phi = fit(wins, lengths)
    other_theta, other_phi = fit(1 - wins, mirrored)
    assert other_theta == pytest.approx(-theta, abs=1e-6)
    assert other_phi == pytest.approx(phi, abs=1e-6)
    assert np.isfinite(theta) or wins.mean() in (0.0, 1.0)
