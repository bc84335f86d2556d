"""Chains worked by hand, and what holds for any edits. Nothing is doubled."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.contrast import measure
from clair.dataset.chain import stages, steps, with_steps
from clair.dataset.codec import decode_outcome, encode_outcome
from clair.records import Edit, Spent
from clair.revision.edits import apply, inverted
from tests.dataset.dataset_examples import pair, reject

OLD, NEW = "one two three four", "ONE two 3 four ."
EDITS = (Edit(0, 3, "ONE"), Edit(8, 13, "3"), Edit(18, 18, " ."))


def test_each_edit_is_a_step_from_left_to_right():
    whole = pair(7, rejected=OLD, chosen=NEW, edits=EDITS)
    found = steps(whole)
    assert [(step.rejected, step.chosen) for step in found] == [
        ("one two three four", "ONE two three four"),
        ("ONE two three four", "ONE two 3 four"),
        ("ONE two 3 four", "ONE two 3 four ."),
    ]
    assert [(step.id, step.parent_id, step.step) for step in found] == [
        (f"{whole.id}-s{number}", whole.id, number) for number in (1, 2, 3)
    ]
    assert [step.contrast for step in found] == [measure(step.chosen, step.rejected) for step in found]
    assert {step.spent for step in found} == {Spent(attempts=1)}
    assert [(step.rationale, step.prompt, step.source_index) for step in found] == [("off by one", whole.prompt, 7)] * 3


def test_without_blocks_the_stretches_of_words_that_differ_are_the_edits():
    assert stages(OLD, NEW) == [OLD, "ONE two three four", "ONE two 3 four", NEW]


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ((Edit(3, 4, "\n"), Edit(0, 3, "ONE"), Edit(8, 13, "3")), [OLD, "ONE two three four", "ONE\ntwo 3 four"]),
        ((Edit(0, 3, "ONE"), Edit(8, 13, "3"), Edit(13, 14, "\n")), [OLD, "ONE two three four", "ONE two 3\nfour"]),
        ((Edit(0, 18, ""), Edit(18, 18, "uno dos")), [OLD, "uno dos"]),
    ],
)
def test_a_step_without_change_of_words_or_without_words_joins_its_neighbor(edits, expected):
    assert stages(OLD, apply(OLD, edits), edits) == expected


def test_in_a_text_without_spaces_letters_are_edited_and_their_spacing_is_no_step():
    assert stages("猫坐在mat上", "猫跳在 mat 下") == ["猫坐在mat上", "猫跳在mat上", "猫跳在 mat 下"]


def test_a_pair_with_one_step_has_none_of_its_own():
    assert steps(pair(1, rejected=OLD, chosen="ONE two three four", edits=EDITS[:1])) == []
    assert steps(pair(1, rejected=OLD, chosen="ONE two three four")) == []


def test_pairs_are_followed_by_their_steps_and_rejects_by_nothing():
    whole, single = pair(1, rejected=OLD, chosen=NEW, edits=EDITS), pair(2)
    assert list(with_steps([whole, single])) == [whole, *steps(whole), single]
    assert list(with_steps([reject(3)])) == [reject(3)]


def test_edits_survive_the_ledger_and_bodies_without_them_still_decode():
    whole = pair(1, rejected=OLD, chosen=NEW, edits=EDITS)
    assert decode_outcome(encode_outcome(whole)) == whole
    assert all(isinstance(edit, Edit) for edit in decode_outcome(encode_outcome(whole)).edits)
    assert b'"edits":[[' not in encode_outcome(pair(1))
    assert decode_outcome(encode_outcome(pair(1))) == pair(1)


words = st.lists(st.sampled_from(["a", "b", "\n", "c  d"]), min_size=1, max_size=8).map(" ".join).filter(str.strip)


@given(words, st.data())
def test_whatever_the_edits_the_steps_lead_from_rejected_to_chosen(rejected: str, data: st.DataObject):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rejected)), max_size=6)))
    news = st.sampled_from(["", " ", "x", "a", "b c"])
    edits = [Edit(a, b, data.draw(news)) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    chosen = apply(rejected, edits)
    if not chosen.split() or chosen.split() == rejected.split():
        return
    for given_edits in (edits, ()):
        texts = stages(rejected, chosen, given_edits)
        assert (texts[0], texts[-1]) == (rejected, chosen)
        assert all(before.split() != after.split() for before, after in pairwise(texts))
        assert all(text.split() for text in texts)
        assert len(texts) <= max(2, 1 + len(edits)) or not given_edits


@given(words, st.data())
def test_inverted_edits_lead_back(text: str, data: st.DataObject):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    edits = [Edit(a, b, data.draw(words)) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    assert apply(apply(text, edits), inverted(text, edits)) == text
