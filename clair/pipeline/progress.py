"""What a run has done so far, for whoever shows it. The pipeline writes, a display polls."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from clair.dataset.summary import RunSummary


class Gauge(Protocol):
    """What an endpoint shows of itself while it works."""

    @property
    def in_flight(self) -> int:
        """Requests sent and not answered yet."""

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""


@dataclass(slots=True)
class Progress:
    """Counters of one invocation. `total` is None while the input's length is unknown; with `target_pairs` the run
    ends at so many pairs if the rows last.

    `resumed` rows were finished by an earlier invocation. `noun` says what rows become if they are not rejected.
    `notes` are sentences for the user, in order; `waiting` says what somebody else is working on, if a run waits for it
    or has left it to them.
    """

    total: int | None = None
    target_pairs: int | None = None
    noun: str = "pairs"
    rows: int = 0
    resumed: int = 0
    pairs: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    rows_in_flight: int = 0
    gauges: Mapping[str, Gauge] = field(default_factory=dict)
    bought: int = 0
    cost_usd: float = 0.0
    cost_known: bool = True
    draining: bool = False
    waiting: str | None = None
    passes: int = 0
    notes: list[str] = field(default_factory=list)
    started_s: float = field(default_factory=time.monotonic)

    def record(self, kind: str, reason: str | None, *, resumed: bool = False) -> None:
        """Count one finished row."""
        self.rows += 1
        self.resumed += resumed
        if kind == "pair":
            self.pairs += 1
        else:
            self.rejects[reason or "?"] += 1

    def begin_pass(self) -> None:
        """Another pass over the same rows begins: they are counted afresh."""
        self.passes += 1
        self.rows = self.pairs = self.resumed = self.rows_in_flight = 0
        self.rejects.clear()
        self.waiting = None

    def resume(self, summary: RunSummary) -> None:
        """Count the rows of a finished run, which is left as it is."""
        self.rows = self.resumed = summary.rows
        self.pairs = summary.pairs
        for reject in summary.rejects:
            self.rejects[reject.reason] += reject.rows

    @property
    def requests_in_flight(self) -> int:
        """Requests sent and not answered yet, over all endpoints."""
        return sum(gauge.in_flight for gauge in self.gauges.values())

    @property
    def limits(self) -> dict[str, int]:
        """What each endpoint may have in flight now."""
        return {name: gauge.limit for name, gauge in self.gauges.items()}

    @property
    def acceptance(self) -> float | None:
        """Share of finished rows that became pairs."""
        return self.pairs / self.rows if self.rows else None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started_s

    @property
    def pairs_per_s(self) -> float:
        """Rows finished by this invocation per second, times acceptance."""
        fresh = (self.rows - self.resumed) / max(self.elapsed_s, 1e-9)
        return fresh * (self.acceptance or 0.0)

    @property
    def eta_s(self) -> float | None:
        """Seconds to the end at this pace, if the end is known; None in a run of several passes."""
        fresh = self.rows - self.resumed
        left = self._rows_left
        return None if left is None or not fresh or self.passes else left * self.elapsed_s / fresh

    @property
    def done(self) -> float | None:
        """The share of the work that is done, if the end is known."""
        left = self._rows_left
        return None if left is None else self.rows / max(1.0, self.rows + left)

    @property
    def _rows_left(self) -> float | None:
        wanted = None
        if self.target_pairs is not None and self.pairs:
            wanted = (self.target_pairs - self.pairs) * self.rows / self.pairs
        ends = [left for left in (wanted, None if self.total is None else self.total - self.rows) if left is not None]
        return min(ends, default=None)
