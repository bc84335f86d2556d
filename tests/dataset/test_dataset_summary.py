"""Figures of a run, worked by hand. Everything is real."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from dataset_examples import CONTRAST, FACTS, pair, reject
from hypothesis import given, settings
from hypothesis import strategies as st

from clair.dataset.quartiles import Quartiles, quartiles
from clair.dataset.run_json import installed_versions, run_dict, run_json, without_passwords, write_run_json
from clair.dataset.summary import Lengths, Rejected, StageSpent, Tally, Total
from clair.records import Spent


def tally_of(*outcomes):
    tally = Tally()
    assert list(tally.watch(outcomes)) == list(outcomes)
    return tally.summary(FACTS)


def test_counts_costs_and_rejects_add_up():
    summary = tally_of(
        pair(1),
        reject(2),
        reject(3, reason="length_ratio"),
        reject(4, reason="length_ratio", spent=Spent(attempts=1, cost_usd=None)),
        pair(5, protocol="rewrite", spent=Spent(attempts=2, prompt_tokens=None, cost_usd=0.25)),
    )
    assert (summary.rows, summary.pairs, summary.rejected) == (5, 2, 3)
    assert summary.rejects == (
        Rejected("gate", "length_ratio", 2, None),
        Rejected("gate", "too_different", 1, 1.5),
    )
    assert summary.attempts == {1: 1, 2: 1}
    assert summary.protocols == {"edits": 1, "rewrite": 1}
    assert summary.prompt_tokens == Total(70.0, 1)
    assert summary.prompt_tokens.value is None
    assert summary.completion_tokens == Total(35.0, 0)
    assert summary.cost_usd == Total(3.75, 1)
    assert summary.cost_per_pair_usd is None


def test_cost_per_pair_includes_what_rejects_cost():
    assert tally_of(pair(1), pair(2), reject(3)).cost_per_pair_usd == 1.25
    assert tally_of(reject(3)).cost_per_pair_usd is None


def test_contrast_and_lengths():
    summary = tally_of(
        pair(1, contrast=replace(CONTRAST, word_similarity=0.5, edits=4), chosen="a b c d e f", rejected="a b"),
        pair(2, chosen="a", rejected="b"),
        pair(3, chosen="a b", rejected="a b c d"),
        pair(4, chosen="a b c", rejected="b"),
    )
    assert summary.contrast["words_changed"] == Quartiles(0.25, 0.25, 0.3125)
    assert summary.contrast["edits"] == Quartiles(1, 1, 1.75)
    assert summary.lengths == Lengths(
        chosen=Quartiles(1.75, 2.5, 3.75),
        rejected=Quartiles(1, 1.5, 2.5),
        chosen_longer=0.5,
        chosen_shorter=0.25,
        equal=0.25,
    )


def test_no_outcomes_give_no_figures():
    summary = tally_of()
    assert (summary.rows, summary.contrast, summary.lengths, summary.cost_usd) == (0, {}, None, Total(0.0, 0))
    assert run_dict(summary)["contrast"] == {}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_quartiles_are_numpys(values):
    found = quartiles(values)
    assert [found.q1, found.median, found.q3] == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75]), abs=1e-6)


def test_run_json_is_the_summary_and_always_the_same(tmp_path):
    summary = tally_of(pair(1), reject(2))
    path = write_run_json(tmp_path, summary)
    values = json.loads(path.read_text())
    assert path == tmp_path / "run.json"
    assert values["models"] == {"target": "small", "reviser": "large", "judge": None}
    assert values["settings"] == {"max_change": 0.5, "principle": ["be brief"]}
    assert values["counts"] == {"rows": 2, "pairs": 1, "rejects": 1}
    assert values["tokens"] == {"prompt": 40, "completion": 20}
    assert values["cost"] == {"usd": 2.0, "known_usd": 2.0, "rows_without_cost": 0, "per_pair_usd": 2.0}
    assert values["contrast"]["jaccard"] == {"q1": 0.6, "median": 0.6, "q3": 0.6}
    assert values["rejects"] == [{"stage": "gate", "reason": "too_different", "rows": 1, "cost_usd": 1.5}]
    assert run_json(summary) == path.read_text() == run_json(tally_of(pair(1), reject(2)))


def test_stages_come_in_the_order_of_a_run_and_an_unknown_part_makes_a_sum_unknown():
    tally = Tally()
    stages = {"revise": StageSpent(3, 40, 9, 0.1 + 0.2, 1), "sample": StageSpent(2, 20, 8, 0.1 + 0.2)}
    found = run_dict(tally.summary(FACTS, stages=stages))["stages"]
    assert list(found) == ["sample", "revise"]
    assert found["sample"] == {
        "requests": 2,
        "prompt_tokens": 20,
        "completion_tokens": 8,
        "cost_usd": 0.3,
        "known_usd": 0.3,
        "requests_without_cost": 0,
    }
    assert (found["revise"]["cost_usd"], found["revise"]["known_usd"]) == (None, 0.3)
    assert run_dict(tally_of())["stages"] == {}


def test_passwords_in_urls_do_not_get_through():
    facts = replace(FACTS, command="clair --target m@http://me:hush@h/v1", settings={"reviser": "https://k@h/v1"})
    assert "hush" not in run_json(replace(tally_of(), facts=facts))
    assert run_dict(replace(tally_of(), facts=facts))["settings"] == {"reviser": "https://***@h/v1"}
    assert without_passwords("m@http://a/v1,http://b/v1") == "m@http://a/v1,http://b/v1"


def test_installed_versions_name_what_shapes_the_output():
    assert {"clair", "python", "pyarrow", "openai"} <= installed_versions().keys()
