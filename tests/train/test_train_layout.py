"""Rows worked by hand. Nothing is doubled."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from clair.train.layout import PairTokens, Span, common_prefix, pack, padded_row, shared_row

PAIR = PairTokens(prompt=(10, 11), chosen=(20, 21, 22), rejected=(20, 31))
TOKENS = st.lists(st.integers(0, 5), min_size=1, max_size=6).map(tuple)
PAIRS = st.builds(PairTokens, TOKENS, TOKENS, TOKENS)


def test_a_shared_row_is_prompt_and_common_tokens_then_both_rests() -> None:
    row = shared_row([PAIR])
    assert row.input_ids.tolist() == [[10, 11, 20, 21, 22, 31]]
    assert row.position_ids.tolist() == [[0, 1, 2, 3, 4, 3]]
    assert row.spans == (Span(start=0, trunk=3, chosen=5, end=6),)


def test_the_last_shared_token_predicts_both_branches() -> None:
    row = shared_row([PAIR])
    assert row.targets.tolist() == [20, 21, 22, 31]
    assert row.predictors.tolist() == [1, 2, 3, 2]
    assert row.branches.tolist() == [[1, 1, 1, 0], [1, 0, 0, 1]]
    assert row.lengths.tolist() == [3, 2]


def test_a_second_pair_starts_over() -> None:
    row = shared_row([PAIR, PairTokens((7,), (8,), (9, 9))])
    assert row.input_ids.tolist() == [[10, 11, 20, 21, 22, 31, 7, 8, 9, 9]]
    assert row.position_ids.tolist() == [[0, 1, 2, 3, 4, 3, 0, 1, 1, 2]]
    assert row.predictors.tolist() == [1, 2, 3, 2, 6, 6, 8]
    assert row.targets.tolist() == [20, 21, 22, 31, 8, 9, 9]
    assert row.bounds == (4, 7)
    assert row.branches.tolist() == [
        [1, 1, 1, 0, 0, 0, 0],
        [1, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 1, 1],
    ]
    assert (row.tokens_unshared, row.tokens_computed) == (9 + 5, 10)


def test_an_answer_that_ends_where_the_other_goes_on_has_an_empty_branch() -> None:
    row = shared_row([PairTokens((1,), (2, 3), (2,))])
    assert row.input_ids.tolist() == [[1, 2, 3]]
    assert row.spans == (Span(0, 2, 3, 3),)
    assert row.branches.tolist() == [[1, 1], [1, 0]]


def test_a_padded_row_is_two_sequences_with_the_same_listed_tokens() -> None:
    row = padded_row(PAIR)
    assert row.input_ids.tolist() == [[10, 11, 20, 21, 22], [10, 11, 20, 31, 0]]
    assert row.attention_mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]
    assert row.predictors.tolist() == [1, 2, 3, 5 + 2]
    assert (row.targets.tolist(), row.bounds) == ([20, 21, 22, 31], (4,))


@given(pairs=st.lists(PAIRS, min_size=1, max_size=5))
def test_every_target_follows_its_predictor_on_its_own_path(pairs: list[PairTokens]) -> None:
    """Predictor and target have consecutive positions, and reading each branch gives back its completion."""
    row = shared_row(pairs)
    for i, pair in enumerate(pairs):
        for branch, completion in zip(row.branches[2 * i : 2 * i + 2], (pair.chosen, pair.rejected), strict=True):
            assert row.targets[branch.bool()].tolist() == list(completion)
            positions = row.position_ids[0, row.predictors[branch.bool()]].tolist()
            assert positions == list(range(len(pair.prompt) - 1, len(pair.prompt) - 1 + len(completion)))
    assert row.tokens_computed == sum(pair.tree_length for pair in pairs)


@given(pair=PAIRS)
def test_both_layouts_list_the_same_tokens(pair: PairTokens) -> None:
    shared, padded = shared_row([pair]), padded_row(pair)
    assert shared.targets.tolist() == padded.targets.tolist()
    assert torch.equal(shared.branches, padded.branches)
    assert shared.bounds == padded.bounds == (pair.listed_length,)


def test_packing_takes_the_longest_first_and_fills_the_gaps() -> None:
    assert pack([4, 9, 3, 6, 2], 10) == [[0, 3], [1], [2, 4]]
    assert pack([12, 3], 10) == [[0], [1]]
    assert pack([], 10) == []


@given(lengths=st.lists(st.integers(1, 12), max_size=30))
def test_packing_loses_nothing_and_keeps_to_the_budget(lengths: list[int]) -> None:
    groups = pack(lengths, 10)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    assert all(len(group) == 1 or sum(lengths[i] for i in group) <= 10 for group in groups)


def test_common_prefix_counts_leading_equals() -> None:
    assert [common_prefix((1, 2, 3), x) for x in ((1, 2), (1, 3), (), (1, 2, 3, 4))] == [2, 1, 0, 3]


def test_moving_a_row_keeps_everything() -> None:
    row = shared_row([PAIR], reference=[[0.5, 1.0, 1.5, 2.0]], weights=[[1.0, 0.0, 1.0, 0.0]])
    moved = row.to("cpu")
    assert moved.reference.tolist() == [0.5, 1.0, 1.5, 2.0]
    assert moved.weights.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert (moved.spans, moved.bounds, moved.tokens_unshared) == (row.spans, row.bounds, row.tokens_unshared)
