"""How token pairs lie in the rows that go through the model.

A shared row holds several pairs one after another, each as a small tree:

    [ prompt + common first response tokens | rest of chosen | rest of rejected ]

Positions restart at the branch, so each completion sees the positions it would have alone. The last shared token
predicts the first token of both branches. A pair is never split over rows. Models that cannot run such rows get one
pair per row as two padded sequences; everything after the forward pass is the same for both.

The tokens whose log-probs count are listed pair by pair as [common response | rest of chosen | rest of rejected];
the log-prob of a common token is computed once and counts in both sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

LAYOUT_VERSION = 1
"""Goes into the key of the reference cache: raise it when the order of the listed tokens changes."""


class PairTokens(NamedTuple):
    """Token ids of one pair. `chosen` and `rejected` include their end-of-turn tokens.

    Any sequence of int will do; `tokenize` makes compact `array`s.
    """

    prompt: Sequence[int]
    chosen: Sequence[int]
    rejected: Sequence[int]

    @property
    def shared(self) -> int:
        """Number of first response tokens that chosen and rejected have in common."""
        return common_prefix(self.chosen, self.rejected)

    @property
    def tree_length(self) -> int:
        """Tokens that a shared row spends on the pair."""
        return len(self.prompt) + self.listed_length

    @property
    def listed_length(self) -> int:
        """Tokens whose log-probs count, the common ones once."""
        return len(self.chosen) + len(self.rejected) - self.shared

    @property
    def unshared_length(self) -> int:
        """Tokens of the two full sequences."""
        return 2 * len(self.prompt) + len(self.chosen) + len(self.rejected)


class Span(NamedTuple):
    """Where a pair lies in a shared row: trunk [start, trunk), chosen [trunk, chosen), rejected [chosen, end)."""

    start: int
    trunk: int
    chosen: int
    end: int


class Row:
    """What goes through the model at once, and what is read from it. Tensors; n pairs, t listed tokens.

    input_ids, position_ids [sequences, length]; attention_mask the same or None in a shared row; spans: the pairs of
    a shared row, else None. predictors, targets [t]: index of the hidden state (rows laid end to end) and token it
    predicts. branches [2 n, t]: 1 where a token belongs to a sequence (chosen, rejected, chosen, ...).
    weights [t]: weight of each token in the loss. reference [t]: log-probs of the reference model, or None.
    bounds: for each pair the end of its listed tokens.

    Not a dataclass on purpose: FSDP would look inside one and cast the float32 fields to bfloat16.
    """

    __slots__ = (
        "attention_mask", "bounds", "branches", "input_ids", "position_ids", "predictors", "reference", "spans",
        "targets", "tokens_unshared", "weights",
    )  # fmt: skip

    def __init__(
        self,
        *,
        input_ids: Tensor,
        position_ids: Tensor,
        predictors: Tensor,
        targets: Tensor,
        branches: Tensor,
        weights: Tensor,
        bounds: tuple[int, ...],
        tokens_unshared: int,
        spans: tuple[Span, ...] | None = None,
        attention_mask: Tensor | None = None,
        reference: Tensor | None = None,
    ) -> None:
        self.input_ids = input_ids
        self.position_ids = position_ids
        self.predictors = predictors
        self.targets = targets
        self.branches = branches
        self.weights = weights
        self.bounds = bounds
        self.tokens_unshared = tokens_unshared
        self.spans = spans
        self.attention_mask = attention_mask
        self.reference = reference

    @property
    def n_pairs(self) -> int:
        return len(self.bounds)

    @property
    def tokens_computed(self) -> int:
        """Tokens that the model computes, padding included."""
        return self.input_ids.numel()

    @property
    def tokens_real(self) -> int:
        """Tokens that the model computes, padding left out."""
        return self.tokens_computed if self.attention_mask is None else int(self.attention_mask.sum())

    @property
    def lengths(self) -> Tensor:
        """Completion tokens of each sequence, [2 n]."""
        return self.branches.sum(1)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Row:
        """A copy with every tensor on `device`."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        moved = {k: v.to(device, non_blocking=non_blocking) for k, v in fields.items() if isinstance(v, Tensor)}
        return Row(**{**fields, **moved})


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Number of leading items that `a` and `b` share."""
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))


def pack(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices into `lengths`, grouped so that each group adds up to at most `budget`: first-fit decreasing.

    An item longer than the budget gets a group of its own. Groups and items keep the order of `lengths`.
    """
    bins: list[list[int]] = []
    room: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        fit = next((b for b, free in enumerate(room) if free >= lengths[i]), None)
        if fit is None:
            bins.append([i])
            room.append(budget - lengths[i])
        else:
            bins[fit].append(i)
            room[fit] -= lengths[i]
    return sorted(sorted(members) for members in bins)


def shared_row(
    pairs: Sequence[PairTokens],
    *,
    weights: Sequence[Sequence[float]] | None = None,
    reference: Sequence[Sequence[float]] | None = None,
) -> Row:
    """One row of trees. `weights` and `reference` hold one value per listed token of each pair."""
    ids: list[int] = []
    positions: list[int] = []
    spans: list[Span] = []
    predictors: list[int] = []
    for pair in pairs:
        shared, start = pair.shared, len(ids)
        trunk = len(pair.prompt) + shared
        ids += [*pair.prompt, *pair.chosen, *pair.rejected[shared:]]
        positions += range(len(pair.prompt) + len(pair.chosen))
        positions += range(trunk, trunk + len(pair.rejected) - shared)
        chosen_end = start + len(pair.prompt) + len(pair.chosen)
        spans.append(Span(start, start + trunk, chosen_end, len(ids)))
        predictors += range(start + len(pair.prompt) - 1, chosen_end - 1)
        if len(pair.rejected) > shared:
            predictors += [start + trunk - 1, *range(chosen_end, len(ids) - 1)]
    return _row(pairs, [ids], [positions], predictors, weights, reference, spans=tuple(spans))


def padded_row(
    pair: PairTokens,
    *,
    weights: Sequence[Sequence[float]] | None = None,
    reference: Sequence[Sequence[float]] | None = None,
) -> Row:
    """One pair as two right-padded sequences, for models whose layers cannot follow a tree."""
    sequences = [[*pair.prompt, *pair.chosen], [*pair.prompt, *pair.rejected]]
    length = max(map(len, sequences))
    ids = [[*s, *[0] * (length - len(s))] for s in sequences]
    mask = [[1] * len(s) + [0] * (length - len(s)) for s in sequences]
    before = len(pair.prompt) - 1
    predictors = [*range(before, before + len(pair.chosen))]
    predictors += range(length + before + pair.shared, length + before + len(pair.rejected))
    positions = [list(range(length))] * 2
    return _row([pair], ids, positions, predictors, weights, reference, attention_mask=torch.tensor(mask))


def _row(
    pairs: Sequence[PairTokens],
    ids: list[list[int]],
    positions: list[list[int]],
    predictors: list[int],
    weights: Sequence[Sequence[float]] | None,
    reference: Sequence[Sequence[float]] | None,
    *,
    spans: tuple[Span, ...] | None = None,
    attention_mask: Tensor | None = None,
) -> Row:
    targets = [token for pair in pairs for token in (*pair.chosen, *pair.rejected[pair.shared :])]
    branches = torch.zeros(2 * len(pairs), len(targets))
    bounds: list[int] = []
    for i, pair in enumerate(pairs):
        start = bounds[-1] if bounds else 0
        chosen_end = start + len(pair.chosen)
        bounds.append(chosen_end + len(pair.rejected) - pair.shared)
        branches[2 * i, start:chosen_end] = 1
        branches[2 * i + 1, start : start + pair.shared] = 1
        branches[2 * i + 1, chosen_end : bounds[-1]] = 1
    return Row(
        input_ids=torch.tensor(ids),
        position_ids=torch.tensor(positions),
        predictors=torch.tensor(predictors, dtype=torch.long),
        targets=torch.tensor(targets, dtype=torch.long),
        branches=branches,
        weights=torch.ones(len(targets)) if weights is None else _flat(weights),
        bounds=tuple(bounds),
        tokens_unshared=sum(pair.unshared_length for pair in pairs),
        spans=spans,
        attention_mask=attention_mask,
        reference=None if reference is None else _flat(reference),
    )


def _flat(values: Sequence[Sequence[float]]) -> Tensor:
    return torch.cat([torch.as_tensor(v, dtype=torch.float32) for v in values])
