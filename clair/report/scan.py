"""One streaming pass over the Parquet files of a run folder: its figures, and a sample of its rows.

    scanned = scan(run_dir)
    scanned.figures, scanned.pairs, scanned.rejects

Needs no ledger: a folder that was published and downloaded again will do. A row group is the most that is held.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from clair.dataset.reading import batches, require_run
from clair.errors import UsageError
from clair.report.figures import AXES, Collector, Figures
from clair.report.rows import Row, island, pair_row, reject_row
from clair.report.sample import Sample

PAIRS_SHOWN, PAIR_BYTES = 1_000, 6_000_000
REJECTS_SHOWN, REJECT_BYTES = 100, 5_000_000
"""Of each reason, so that rare reasons can be looked at; the bytes are for all reasons together."""


@dataclass
class Scanned:
    """What one pass found. The samples hold rows as JSON texts; `rejects` has one for each reason."""

    figures: Figures
    pairs: Sample
    rejects: dict[str, Sample] = field(default_factory=dict)


def scan(run_dir: Path) -> Scanned:
    """Read the splits of a run folder.

    Raises:
        UsageError: it holds no pairs, or they lack columns of a run of clair.
        ClairError: a file cannot be read.
    """
    require_run(run_dir)
    collector = Collector()
    pairs = Sample(rows=PAIRS_SHOWN, size=PAIR_BYTES)
    rejects: dict[str, Sample] = {}
    for batch in batches(run_dir, "pairs"):
        _add_pairs(batch, collector, pairs)
    for batch in batches(run_dir, "rejects"):
        _add_rejects(batch, collector, rejects)
    for sample in rejects.values():
        sample.shrink(REJECT_BYTES // len(rejects))
    return Scanned(collector.figures(), pairs, rejects)


def _add_pairs(batch: pa.RecordBatch, collector: Collector, sample: Sample) -> None:
    parents = batch.column("parent_id").to_pylist() if "parent_id" in batch.schema.names else repeat(None)
    for place, (row_id, parent) in enumerate(zip(batch.column("id").to_pylist(), parents)):  # noqa: B905
        # A step ranks with its whole pair, so that both are shown or none is.
        sample.offer(parent or row_id, partial(_encoded, pair_row, batch, place, sample.seen + 1))
    kept = batch
    if "parent_id" in batch.schema.names:
        kept = batch.filter(pc.is_null(batch.column("parent_id")))
        collector.step_pairs += batch.num_rows - kept.num_rows
    collector.add_pairs(
        {axis.name: kept.column(axis.name).to_pylist() for axis in AXES}
        | {name: kept.column(name).to_pylist() for name in ("attempts", "protocol", "cost_usd")}
    )
    texts = zip(kept.column("id").to_pylist(), _answers(kept, "chosen"), _answers(kept, "rejected"), strict=True)
    for row_id, chosen, rejected in texts:
        collector.audit.add_texts(row_id, chosen=chosen, rejected=rejected)


def _add_rejects(batch: pa.RecordBatch, collector: Collector, samples: dict[str, Sample]) -> None:
    columns = (batch.column(name).to_pylist() for name in ("id", "stage", "reason", "cost_usd"))
    for place, (row_id, stage, reason, cost_usd) in enumerate(zip(*columns, strict=True)):
        collector.add_reject(stage, reason, cost_usd)
        sample = samples.setdefault(reason, Sample(rows=REJECTS_SHOWN, size=REJECT_BYTES))
        number = sum(it.seen for it in samples.values()) + 1
        sample.offer(row_id, partial(_encoded, reject_row, batch, place, number))


def _answers(batch: pa.RecordBatch, name: str) -> list[str]:
    """The texts of a column of answers. (`pyarrow.compute` would import pandas, which takes a second.)"""
    texts: list[str] = batch.column(name).flatten().field("content").to_pylist()
    if len(texts) != batch.num_rows:
        raise UsageError(f"the column {name!r} holds answers that are not exactly one turn. Expected a run of clair.")
    return texts


def _encoded(shown: Callable[[Row, int], dict[str, Any]], batch: pa.RecordBatch, place: int, number: int) -> str:
    return island(shown(batch.slice(place, 1).to_pylist()[0], number))
