"""The intersection of datasets and what is held out of it. Pure; worked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clair.records import Message
from clair.study.datasets import contrast_of, intersection, split
from tests.dataset.dataset_examples import pair


def asked(question: str, **changes):
    return replace(pair(0), prompt=(Message(role="user", content=question),), **changes)


def test_only_prompts_of_every_dataset_remain_in_one_order():
    datasets = {
        "a": [asked("one", chosen="a1"), asked("two", chosen="a2"), asked("three", chosen="a3")],
        "b": [asked("three", chosen="b3"), asked("four", chosen="b4"), asked("one", chosen="b1")],
    }
    shared = intersection(datasets)
    assert {name: [it.chosen for it in pairs] for name, pairs in shared.items()} == {
        "a": ["a1", "a3"],
        "b": ["b1", "b3"],
    }


def test_steps_of_a_chain_are_no_pairs_of_their_own():
    assert intersection({"a": [asked("one"), asked("one", parent_id="x", step=1)], "b": [asked("one")]}) == {
        "a": [asked("one")],
        "b": [asked("one")],
    }


def test_each_nth_pair_is_held_out():
    pairs = [asked(str(number)) for number in range(1, 8)]
    trained, held_out = split(pairs, every=3)
    assert [it.prompt[0]["content"] for it in held_out] == ["3", "6"]
    assert [it.prompt[0]["content"] for it in trained] == ["1", "2", "4", "5", "7"]


def test_contrast_is_a_mean_over_pairs():
    one = asked("one")
    two = replace(one, contrast=replace(one.contrast, word_similarity=one.contrast.word_similarity - 0.5, edits=5))
    found = contrast_of([one, two])
    assert found["words_changed"] == pytest.approx(1 - one.contrast.word_similarity + 0.25)
    assert found["edits"] == (one.contrast.edits + 5) / 2
    assert found["jaccard"] == one.contrast.jaccard
