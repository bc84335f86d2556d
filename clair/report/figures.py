"""The figures of the charts, collected in one pass.

    collector = Collector()
    collector.add_pair(pair)
    figures = collector.figures(audit)

Whole pairs and step pairs are told apart by the caller: only whole pairs are added here, steps are counted. Memory:
32 bytes per pair, so that quartiles are exact.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from clair.dataset.audit import AuditFigures
from clair.dataset.quartiles import Quartiles
from clair.dataset.summary import Rejected, Sum, Total
from clair.records import Pair


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
    """Takes whole pairs and rejects."""

    def __init__(self) -> None:
        self.step_pairs = 0
        self._values: dict[str, array[float]] = {axis.name: array("d") for axis in AXES}
        self._attempts: Counter[int] = Counter()
        self._protocols: Counter[str] = Counter()
        self._rejects: dict[tuple[str, str], tuple[int, Sum]] = {}
        self._cost = Sum()

    def add_pair(self, pair: Pair) -> None:
        """One whole pair."""
        for name, held in self._values.items():
            held.append(getattr(pair.contrast, name))
        self._attempts[pair.spent.attempts] += 1
        self._protocols[pair.protocol] += 1
        self._cost.add(pair.spent.cost_usd)

    def add_reject(self, stage: str, reason: str, cost_usd: float | None) -> None:
        """One reject."""
        rows, cost = self._rejects.get((stage, reason), (0, Sum()))
        cost.add(cost_usd)
        self._cost.add(cost_usd)
        self._rejects[stage, reason] = (rows + 1, cost)

    def figures(self, audit: AuditFigures) -> Figures:
        """The figures so far; `audit` is that of the same pairs."""
        rejects = [Rejected(*key, rows, cost.total().value) for key, (rows, cost) in self._rejects.items()]
        distributions = tuple(distribution(axis, np.frombuffer(self._values[axis.name])) for axis in AXES)
        return Figures(
            pairs=self._attempts.total(),
            step_pairs=self.step_pairs,
            rejects=tuple(sorted(rejects, key=lambda it: (-it.rows, it.stage, it.reason))),
            distributions=distributions,
            audit=audit,
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
