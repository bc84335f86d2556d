"""What the report shows of a run's rows, taken in one pass: figures, and a sample to browse.

    scanned = scan(run_dir)                 # from its Parquet files
    scanned.figures, scanned.pairs, scanned.rejects

    found = Scan()                          # or while the rows pass by on their way into these files
    for outcome in outcomes: found.add(outcome)
    scanned = found.scanned(audit)

`scan` needs no ledger: a folder that was published and downloaded again will do. A row group is the most that is held.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from clair.dataset.audit import Audit, AuditFigures
from clair.dataset.reading import read_split, require_run
from clair.dataset.schema import Kind, pair_values, reject_values
from clair.records import Outcome, Pair, Reject
from clair.report.figures import Collector, Figures
from clair.report.rows import island, pair_row, reject_row
from clair.report.sample import Sample

PAIRS_SHOWN, PAIR_BYTES = 1_000, 6_000_000
REJECTS_SHOWN, REJECT_BYTES = 100, 5_000_000
"""Of each reason, so that rare reasons can be looked at; the bytes are for all reasons together."""

SPLITS: tuple[Kind, ...] = ("pairs", "rejects")


@dataclass
class Scanned:
    """What one pass found. The samples hold rows as JSON texts; `rejects` has one for each reason."""

    figures: Figures
    pairs: Sample
    rejects: dict[str, Sample] = field(default_factory=dict)


class Scan:
    """Takes all pairs in the order of their file, and all rejects in theirs."""

    def __init__(self) -> None:
        self._collector = Collector()
        self._pairs = Sample(rows=PAIRS_SHOWN, size=PAIR_BYTES)
        self._rejects: dict[str, Sample] = {}
        self._rejected = 0

    def add(self, outcome: Outcome) -> None:
        """Take one row, steps of chains included."""
        if isinstance(outcome, Pair):
            self._add_pair(outcome)
        else:
            self._add_reject(outcome)

    def _add_pair(self, pair: Pair) -> None:
        number = self._pairs.seen + 1
        # A step ranks with its whole pair, so that both are shown or none is.
        self._pairs.offer(pair.parent_id or pair.id, lambda: island(pair_row(pair_values(pair), number)))
        if pair.parent_id is None:
            self._collector.add_pair(pair)
        else:
            self._collector.step_pairs += 1

    def _add_reject(self, reject: Reject) -> None:
        self._collector.add_reject(reject.stage, reject.reason, reject.spent.cost_usd)
        self._rejected = number = self._rejected + 1
        sample = self._rejects.setdefault(reject.reason, Sample(rows=REJECTS_SHOWN, size=REJECT_BYTES))
        sample.offer(reject.id, lambda: island(reject_row(reject_values(reject), number)))

    def scanned(self, audit: AuditFigures) -> Scanned:
        """What was found. `audit` is that of the whole pairs."""
        for sample in self._rejects.values():
            sample.shrink(REJECT_BYTES // len(self._rejects))
        return Scanned(self._collector.figures(audit), self._pairs, self._rejects)


def scan(run_dir: Path) -> Scanned:
    """Read the splits of a run folder.

    Raises:
        UsageError: it holds no pairs, or they lack columns of a run of clair.
        ClairError: a file cannot be read.
    """
    require_run(run_dir)
    found, audit = Scan(), Audit()
    for kind in SPLITS:
        for outcome in read_split(run_dir, kind):
            found.add(outcome)
            if isinstance(outcome, Pair) and outcome.parent_id is None:
                audit.add(outcome)
    return found.scanned(audit.figures())
