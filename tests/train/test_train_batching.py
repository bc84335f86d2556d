"""Which pairs a step holds, and what the collator and the data set make of them. Pure."""

from __future__ import annotations

import numpy as np
import pytest

from clair.train import batching, probe
from clair.train.batching import Collator, Item, PairDataset, StepSampler
from clair.train.layout import PairTokens


def test_an_epoch_holds_every_pair_once_then_blanks() -> None:
    sampler = StepSampler(5, block=4, seed=1)
    first = list(sampler)
    assert sorted(first[:5]) == [0, 1, 2, 3, 4]
    assert first[5:] == [5, 6, 7]
    assert len(sampler) == 8
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(StepSampler(5, block=4, seed=1)) == first
    assert list(StepSampler(3, block=2, seed=None)) == [0, 1, 2, 3]


def test_blanks_vanish_in_the_collator() -> None:
    pair = PairTokens((1,), (2,), (3,))
    item = Item(pair, np.array([-1.0, -2.0], np.float32), None, None)
    batch = Collator(tokens_per_row=10, backend="sdpa")([item, None, None])
    assert batch["n_pairs"] == 1
    assert [row.reference.tolist() for row in batch["rows"]] == [[-1.0, -2.0]]
    assert Collator(tokens_per_row=10, backend="sdpa")([None])["rows"] == []


def test_token_weights_are_worked_out_once_for_each_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs of two pairs, one of them given twice."""
    compared = []
    real = batching.token_weights
    monkeypatch.setattr(batching, "token_weights", lambda *args: compared.append(args[0]) or real(*args))
    pairs = [PairTokens((1,), (2, 3), (4, 3)), PairTokens((1,), (2, 3), (5, 3))]
    collator = Collator(tokens_per_row=10, backend="sdpa", shared_weight=0.25)
    for _ in range(2):
        rows = collator.rows([*pairs, pairs[0]])
        assert [weight for row in rows for weight in row.weights.tolist()] == [1, 0.25, 1, 0.25] * 3
    assert compared == pairs


def test_probe_pairs_keep_the_branch() -> None:
    """A long pair is cut to the tokens around the place where its answers part."""
    pair = PairTokens(tuple(range(100)), (*range(200, 300), 7, *range(50)), (*range(200, 300), 8, 9))
    (cut,) = probe.probe_pairs([pair])
    assert (cut.shared, len(cut.prompt), len(cut.chosen), cut.rejected[-2:]) == (4, 48, 24, (8, 9))


def test_a_data_set_knows_what_sharing_saves() -> None:
    data = PairDataset([PairTokens((1, 2, 3), (4, 5), (4, 6))], report=None)
    assert data.tokens() == (10, 6)
