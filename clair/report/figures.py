"""The figures of the charts, collected column by column in one pass.

    collector = Collector()
    collector.add_pairs({"word_similarity": [...], ...})
    figures = collector.figures()

Whole pairs and step pairs are told apart by the caller: only whole pairs are added here, steps are counted. Memory:
40 bytes per pair, so that quartiles are exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from clair.dataset.audit import Audit, AuditFigures
from clair.dataset.summary import Quartiles, Rejected, Sum, Total


@dataclass(frozen=True)
class Axis:
    """How one figure is cut into bins [edge, next edge). The last bin holds its upper edge too.

    `open_low` and `open_high` add a bin for what lies outside. `whole` marks figures that are whole numbers: a bin is
    then one number.
    """

    name: str
    title: str
    about: str
    edges: tuple[float, ...]
    open_low: bool = False
    open_high: bool = False
    whole: bool = False
    percent: bool = False


@dataclass(frozen=True)
class Bin:
    """Values in [low, high); None where the bin has no bound on that side."""

    low: float | None
    high: float | None
    count: int


@dataclass(frozen=True)
class Distribution:
    """One figure over all whole pairs; `quartiles` is None without pairs."""

    axis: Axis
    bins: tuple[Bin, ...]
    quartiles: Quartiles | None


_TWENTIETHS = tuple(number / 20 for number in range(21))

AXES = (
    Axis("word_similarity", "Word similarity", "share of words in place; 1 is no change", _TWENTIETHS, percent=True),
    Axis("edits", "Edits", "separate changed spans", tuple(map(float, range(1, 17))), open_high=True, whole=True),
    Axis(
        "length_ratio", "Length ratio", "words of chosen / words of rejected",
        tuple(number / 10 for number in range(5, 21)), open_low=True, open_high=True,
    ),
    Axis("shared_prefix", "Shared prefix", "share of rejected before the first change", _TWENTIETHS, percent=True),
)  # fmt: skip
"""What the report draws, by column name."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a run folder holds. `pairs` are whole pairs; `step_pairs` derived from them are counted nowhere else.

    `cost_usd` is over whole pairs and rejects. `rejects` are sorted by number.
    """

    pairs: int
    step_pairs: int
    rejects: tuple[Rejected, ...]
    distributions: tuple[Distribution, ...]
    audit: AuditFigures
    attempts: Mapping[int, int]
    protocols: Mapping[str, int]
    cost_usd: Total

    @property
    def rejected(self) -> int:
        return sum(it.rows for it in self.rejects)

    @property
    def rows(self) -> int:
        """Input rows: each ended as one whole pair or one reject."""
        return self.pairs + self.rejected

    @property
    def cost_per_pair_usd(self) -> float | None:
        """All that was spent on these rows per whole pair; None if unknown or without pairs."""
        total = self.cost_usd.value
        return None if total is None or not self.pairs else total / self.pairs


class Collector:
    """Takes whole pairs and rejects in batches."""

    def __init__(self) -> None:
        self.audit = Audit()
        self.step_pairs = 0
        self._values: dict[str, list[Any]] = {axis.name: [] for axis in AXES}
        self._attempts: Counter[int] = Counter()
        self._protocols: Counter[str] = Counter()
        self._rejects: dict[tuple[str, str], tuple[int, Sum]] = {}
        self._cost = Sum()

    def add_pairs(self, columns: Mapping[str, Any]) -> None:
        """Whole pairs as lists by column: the figures of `AXES`, `attempts`, `protocol`, `cost_usd`."""
        for name, held in self._values.items():
            held.append(np.asarray(columns[name], dtype=np.float64))
        self._attempts.update(columns["attempts"])
        self._protocols.update(columns["protocol"])
        for cost in columns["cost_usd"]:
            self._cost.add(cost)

    def add_reject(self, stage: str, reason: str, cost_usd: float | None) -> None:
        """One reject."""
        rows, cost = self._rejects.get((stage, reason), (0, Sum()))
        cost.add(cost_usd)
        self._cost.add(cost_usd)
        self._rejects[stage, reason] = (rows + 1, cost)

    def figures(self) -> Figures:
        """The figures so far."""
        rejects = [Rejected(*key, rows, cost.total().value) for key, (rows, cost) in self._rejects.items()]
        distributions = tuple(distribution(axis, _joined(self._values[axis.name])) for axis in AXES)
        return Figures(
            pairs=self._attempts.total(),
            step_pairs=self.step_pairs,
            rejects=tuple(sorted(rejects, key=lambda it: (-it.rows, it.stage, it.reason))),
            distributions=distributions,
            audit=self.audit.figures(),
            attempts=dict(sorted(self._attempts.items())),
            protocols=dict(sorted(self._protocols.items())),
            cost_usd=self._cost.total(),
        )


def distribution(axis: Axis, values: Any) -> Distribution:
    """Bins and quartiles (linearly interpolated) of an array of numbers."""
    edges = np.asarray(axis.edges)
    places = np.searchsorted(edges, values, side="right")
    places = np.clip(places, 0 if axis.open_low else 1, len(edges) - (0 if axis.open_high else 1))
    counts = np.bincount(places, minlength=len(edges) + 1).tolist()
    bounds = [None, *axis.edges, None]
    bins = [Bin(low, high, count) for (low, high), count in zip(pairwise(bounds), counts, strict=True)]
    bins = bins[0 if axis.open_low else 1 : len(bins) if axis.open_high else len(bins) - 1]
    quartiles = Quartiles(*np.quantile(values, (0.25, 0.5, 0.75)).tolist()) if len(values) else None
    return Distribution(axis, tuple(bins), quartiles)


def _joined(arrays: list[Any]) -> Any:
    return np.concatenate(arrays) if arrays else np.empty(0)
