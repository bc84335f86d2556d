"""From token pairs to the rows of one optimizer step.

An item of `PairDataset` is a pair, the Trainer's batch size counts pairs, and `Collator` packs the pairs of a batch
into as many rows as the token budget needs. So a step holds exactly the pairs it would hold without packing, and
sharding over ranks, accumulation and resuming are the Trainer's own.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

import torch
from torch.utils.data import Dataset, Sampler
from transformers import TrainerCallback

from clair.train.attention import Backend
from clair.train.layout import PairTokens, Row, pack, padded_row, shared_row
from clair.train.reference import Logps, pair_key
from clair.train.tokenize import TokenReport, token_weights


class Item(NamedTuple):
    """One pair as the collator gets it. `baseline` is a completion of another prompt, for KTO only."""

    tokens: PairTokens
    reference: Logps | None
    baseline: PairTokens | None
    baseline_reference: Logps | None


class Batch(TypedDict):
    """What a training step gets. `baseline_rows` is empty except for KTO."""

    rows: list[Row]
    baseline_rows: list[Row]
    n_pairs: int


class PairDataset(Dataset[Item | None]):
    """Token pairs with the reference's log-probs once they are attached.

    Items past the last pair are None: blanks that fill the last step on every rank, see `StepSampler`.
    """

    def __init__(self, pairs: Sequence[PairTokens], report: TokenReport, *, with_baseline: bool = False) -> None:
        self.pairs = pairs
        self.report = report
        self.baselines = _baselines(pairs) if with_baseline else None
        self._reference: Mapping[bytes, Logps] | None = None
        self.reference_name: str | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Item | None:
        if index >= len(self.pairs):
            return None
        baseline = None if self.baselines is None else self.baselines[index]
        return Item(self.pairs[index], self._logps(self.pairs[index]), baseline, self._logps(baseline))

    def _logps(self, pair: PairTokens | None) -> Logps | None:
        return None if self._reference is None or pair is None else self._reference[pair_key(pair)]

    def scored_pairs(self) -> list[PairTokens]:
        """Everything whose reference log-probs are needed."""
        return [*self.pairs, *(self.baselines or ())]

    def attach(self, reference: Mapping[bytes, Logps], name: str) -> None:
        """Use these log-probs, of the reference model `name` (`model_key`); they must cover `scored_pairs()`."""
        self._reference = reference
        self.reference_name = name

    def tokens(self) -> tuple[int, int]:
        """(tokens of all sequences apart, tokens with prompts and common prefixes shared)."""
        return sum(p.unshared_length for p in self.pairs), sum(p.tree_length for p in self.pairs)


def _baselines(pairs: Sequence[PairTokens]) -> list[PairTokens]:
    """For each prompt the chosen answer to the next one, as a pair without rejected (KTO's mismatched examples)."""
    following = [*pairs[1:], *pairs[:1]]
    return [PairTokens(pair.prompt, other.chosen, ()) for pair, other in zip(pairs, following, strict=True)]


class StepSampler(Sampler[int]):
    """Every epoch another order of `n` pairs, from the seed and the epoch alone, then blanks up to whole blocks.

    A block is one batch on every rank: without blanks, accelerate would train some pairs twice to fill the last one.
    """

    def __init__(self, n: int, *, block: int, seed: int | None) -> None:
        self.n = n
        self.block = block
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.n // self.block) * self.block

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self.seed is None:
            yield from range(len(self))
            return
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        yield from torch.randperm(self.n, generator=generator).tolist()
        yield from range(self.n, len(self))


class Collator:
    """Packs the pairs of a batch into rows. `backend` may be changed until the first batch."""

    def __init__(self, *, tokens_per_row: int, backend: Backend, shared_weight: float = 1.0) -> None:
        self.tokens_per_row = tokens_per_row
        self.backend = backend
        self.shared_weight = shared_weight
        self._weights: dict[bytes, array[float]] = {}

    def __call__(self, items: Sequence[Item | None]) -> Batch:
        present = [item for item in items if item is not None]
        rows = self.rows([i.tokens for i in present], [i.reference for i in present])
        baselines = [(i.baseline, i.baseline_reference) for i in present if i.baseline is not None]
        baseline_rows = self.rows([b[0] for b in baselines], [b[1] for b in baselines])
        return Batch(rows=rows, baseline_rows=baseline_rows, n_pairs=len(present))

    def rows(self, pairs: Sequence[PairTokens], reference: Sequence[Logps | None] | None = None) -> list[Row]:
        """Rows under the token budget that hold every pair once."""
        rows: list[Row] = []
        for members in self.groups(pairs):
            chosen = [pairs[i] for i in members]
            known: list[Any] = [] if reference is None else [reference[i] for i in members if reference[i] is not None]
            extra: dict[str, Any] = {"reference": known if len(known) == len(members) else None}
            if self.shared_weight != 1.0:
                extra["weights"] = [self._weights_of(pair) for pair in chosen]
            if self.backend == "padded":
                rows.append(padded_row(chosen[0], **extra))
            else:
                rows.append(shared_row(chosen, **extra))
        return rows

    def _weights_of(self, pair: PairTokens) -> array[float]:
        """Worked out once for each pair: comparing two long answers takes a large part of a second."""
        key = pair_key(pair)
        if key not in self._weights:
            self._weights[key] = array("f", token_weights(pair, self.shared_weight))
        return self._weights[key]

    def groups(self, pairs: Sequence[PairTokens]) -> list[list[int]]:
        """Which pairs share a row, as indices."""
        if self.backend == "padded":
            return [[i] for i in range(len(pairs))]
        return pack([pair.tree_length for pair in pairs], self.tokens_per_row)


class EpochCallback(TrainerCallback):  # type: ignore[misc]
    """Tells the sampler its epoch: accelerate does not reach it through the wrappers of a resumed data loader."""

    def __init__(self, samplers: list[StepSampler]) -> None:
        self.samplers = samplers

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        del args, control, kwargs
        for sampler in self.samplers:
            sampler.set_epoch(int(state.epoch or 0))


def to_device(batch: Any, device: torch.device) -> Any:
    """The batch with its rows on `device`."""
    return {k: [row.to(device) for row in v] if isinstance(v, list) else v for k, v in batch.items()}
