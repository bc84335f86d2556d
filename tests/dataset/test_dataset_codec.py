"""Outcomes survive the ledger. Everything is real."""

from __future__ import annotations

from typing import get_args

import pytest
from dataset_examples import pair, reject
from hypothesis import given, settings
from hypothesis import strategies as st

from clair.dataset.codec import decode_outcome, encode_outcome
from clair.errors import LedgerError
from clair.records import Contrast, Message, Pair, Reason, Reject, Spent, Stage

texts = st.text(st.characters(exclude_categories=()))  # lone surrogates and control characters included
numbers = st.floats(allow_nan=False)
counts = st.integers(min_value=0)
prompts = st.lists(st.builds(Message, role=texts, content=texts)).map(tuple)
spent = st.builds(
    Spent,
    attempts=counts,
    prompt_tokens=st.none() | counts,
    completion_tokens=st.none() | counts,
    cost_usd=st.none() | numbers,
)
contrasts = st.builds(
    Contrast,
    word_distance=counts,
    word_similarity=numbers,
    jaccard=numbers,
    char_distance=counts,
    char_similarity=numbers,
    shared_prefix=numbers,
    length_ratio=numbers,
    edits=counts,
)
pairs = st.builds(
    Pair,
    id=texts,
    prompt=prompts,
    chosen=texts,
    rejected=texts,
    rationale=texts,
    recipe=texts,
    protocol=texts,
    target_model=texts,
    reviser_model=texts,
    judge_model=st.none() | texts,
    contrast=contrasts,
    spent=spent,
    source=texts,
    source_index=counts,
    metadata=texts,
)
rejects = st.builds(
    Reject,
    id=texts,
    prompt=prompts,
    stage=st.sampled_from(get_args(Stage)),
    reason=st.sampled_from(get_args(Reason)),
    detail=texts,
    response=st.none() | texts,
    revision=st.none() | texts,
    spent=spent,
    source=texts,
    source_index=counts,
)


@settings(deadline=None, max_examples=60)
@given(pairs | rejects)
def test_an_outcome_comes_back_exactly(outcome):
    assert decode_outcome(encode_outcome(outcome)) == outcome


def test_the_same_outcome_gives_the_same_bytes():
    assert encode_outcome(pair(1)) == encode_outcome(pair(1))
    assert encode_outcome(reject(1)).startswith(b'{"kind":"reject","id":"0000')


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"[]", b"{}", b'{"kind":"other"}', b'{"kind":"pair","id":"1"}', b'{"kind":"pair","prompt":[1]}'],
)
def test_other_bytes_are_a_ledger_error(body):
    with pytest.raises(LedgerError, match="cannot be read"):
        decode_outcome(body)


def test_an_unknown_field_is_a_ledger_error():
    body = encode_outcome(pair(1)).replace(b'"recipe"', b'"formula"')
    with pytest.raises(LedgerError, match="formula"):
        decode_outcome(body)
