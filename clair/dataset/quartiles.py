"""Quartiles, by linear interpolation between neighbors (numpy's default), of values and of counted values."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Quartiles:
    """First quartile, median and third quartile, linearly interpolated."""

    q1: float
    median: float
    q3: float


def quartiles(values: Iterable[float]) -> Quartiles:
    """Quartiles of at least one value."""
    ordered = array("d", sorted(values))
    return Quartiles(*(_quantile(ordered, share) for share in (0.25, 0.5, 0.75)))


def _quantile(ordered: array[float], share: float) -> float:
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def counted_quartiles(counts: Counter[int]) -> Quartiles:
    """Quartiles of at least one value given as counts."""
    ordered = sorted(counts.items())
    last = counts.total() - 1

    def at(place: int) -> int:
        for value, count in ordered:
            place -= count
            if place < 0:
                return value
        return ordered[-1][0]

    def quantile(share: float) -> float:
        below = int(share * last)
        low, high = at(below), at(min(below + 1, last))
        return low + (high - low) * (share * last - below)

    return Quartiles(quantile(0.25), quantile(0.5), quantile(0.75))
