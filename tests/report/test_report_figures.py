"""Bins and funnel, worked by hand. Everything is real."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.dataset.audit import Audit
from clair.dataset.quartiles import Quartiles
from clair.dataset.summary import Rejected, Total
from clair.records import Spent
from clair.report.charts import bin_name, described, histogram, position
from clair.report.figures import AXES, Axis, Bin, Collector, distribution
from clair.report.markup import html
from tests.dataset.dataset_examples import pair

SIMILARITY, EDITS, RATIO, PREFIX = AXES
AUDIT = Audit().figures()


def counts(axis, values):
    return {bin_name(axis, it): it.count for it in distribution(axis, values).bins if it.count}


def test_the_last_bin_of_a_share_holds_one_itself():
    assert counts(SIMILARITY, [0.0, 0.05, 0.0499, 0.95, 1.0]) == {"0 % to 5 %": 2, "5 % to 10 %": 1, "95 % to 100 %": 2}


def test_edits_have_a_bin_each_and_the_many_one_together():
    assert counts(EDITS, [1, 1, 2, 15, 16, 900]) == {"1": 2, "2": 1, "15": 1, "16 or more": 2}


def test_ratios_outside_the_axis_have_bins_of_their_own():
    assert counts(RATIO, [0.2, 0.5, 1.0, 1.05, 2.0, 7.5]) == {
        "below 0.5": 1, "0.5 to 0.6": 1, "1 to 1.1": 2, "2 or more": 2,
    }  # fmt: skip


@given(st.lists(st.floats(0, 1), min_size=1))
def test_bins_are_numpys_histogram(values):
    found = distribution(PREFIX, values)
    assert [it.count for it in found.bins] == np.histogram(values, bins=PREFIX.edges)[0].tolist()
    assert found.quartiles == Quartiles(*np.quantile(values, (0.25, 0.5, 0.75)))


def test_no_values_are_no_quartiles():
    found = distribution(SIMILARITY, [])
    assert (found.quartiles, sum(it.count for it in found.bins)) == (None, 0)
    assert described(found) == "Word similarity: No pairs"
    assert "median" not in html(histogram(found)).partition("aria-label")[0]


def test_a_chart_has_a_column_for_each_bin_with_pairs_and_says_its_numbers():
    found = distribution(EDITS, [1, 1, 2, 40])
    text = html(histogram(found))
    assert text.count("<rect") == 3
    assert 'role="img"' in text
    assert 'aria-label="Edits: Half of the pairs lie between 1 and 11.5, the median is 1.5"' in text
    assert "<title>16 or more: 1</title>" in text


@pytest.mark.parametrize(("value", "place"), [(0.0, 0.0), (0.5, 1.0), (0.75, 1.5), (1.0, 2.0)])
def test_a_value_stands_where_it_belongs_on_the_axis(value, place):
    axis = Axis("x", "X", "", (0.0, 0.5, 1.0))
    assert position(distribution(axis, [value]), value) == pytest.approx(place)


def test_a_value_beyond_the_axis_stands_in_the_open_column():
    found = distribution(RATIO, [0.1, 99.0])
    assert (position(found, 0.1), position(found, 99.0)) == (0.5, len(found.bins) - 0.5)
    assert found.bins[0] == Bin(None, 0.5, 1)


def test_rows_are_whole_pairs_and_rejects():
    collector = Collector()
    collector.add_pair(pair(1, spent=Spent(attempts=1, cost_usd=0.5)))
    collector.add_pair(pair(2, spent=Spent(attempts=3, cost_usd=0.25)))
    collector.step_pairs = 4
    for reason, cost in (("too_different", 1.0), ("unchanged", 0.25), ("unchanged", 2.0)):
        collector.add_reject("gate", reason, cost)
    figures = collector.figures(AUDIT)
    assert (figures.rows, figures.pairs, figures.step_pairs, figures.rejected) == (5, 2, 4, 3)
    assert figures.rejects == (Rejected("gate", "unchanged", 2, 2.25), Rejected("gate", "too_different", 1, 1.0))
    assert (figures.attempts, figures.protocols) == ({1: 1, 3: 1}, {"edits": 2})
    assert (figures.cost_usd, figures.cost_per_pair_usd) == (Total(4.0, 0), 2.0)


def test_a_cost_that_is_unknown_anywhere_makes_the_cost_of_a_pair_unknown():
    collector = Collector()
    collector.add_pair(pair(1))
    collector.add_reject("gate", "unchanged", None)
    assert collector.figures(AUDIT).cost_usd == Total(0.5, 1)
    assert collector.figures(AUDIT).cost_per_pair_usd is None
