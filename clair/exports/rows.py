"""The pairs of a run folder as rows, read batch by batch.

    for batch in read_batches(run, pairs="whole"):        # lists of rows, at most BATCH_ROWS each
        ...

Memory: one Parquet row group. With `pairs="steps"` also the ids of the pairs that were taken apart into steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clair.dataset.writer import shards
from clair.errors import ClairError, UsageError

Pairs = Literal["whole", "steps", "all"]
PAIRS: tuple[Pairs, ...] = ("whole", "steps", "all")
NEEDED = ("id", "prompt", "chosen", "rejected")
BATCH_ROWS = 500

_UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)


def find_shards(run: Path) -> list[Path]:
    """The pair files of a run folder, all of them.

    Raises:
        UsageError: no such folder, or no pair files in it.
        ClairError: some of the files are missing.
    """
    if not run.is_dir():
        raise UsageError(f"There is no folder {str(run)!r}. Expected a run folder made by `clair generate`.")
    paths = shards(run, "pairs")
    if not paths:
        raise UsageError(
            f"{str(run)!r} holds no data/train-*.parquet. Expected a run folder made by `clair generate`; where it "
            "was stopped early, the same command again finishes it."
        )
    promised = re.search(r"-of-(\d+)", paths[0].name)
    if promised is None or len(paths) != int(promised[1]):
        raise ClairError(f"{str(run / 'data')!r} holds {len(paths)} of the files of {paths[0].name!r}. {_AGAIN}")
    return paths


def read_schema(path: Path) -> pa.Schema:
    """The columns of a pair file. Raises ClairError if it is damaged, UsageError if it does not hold pairs."""
    try:
        schema = pq.read_schema(path)
    except _UNREADABLE as error:
        raise _damaged(path, error) from error
    missing = [name for name in NEEDED if name not in schema.names]
    if missing:
        raise UsageError(f"{str(path)!r} has no column {', '.join(missing)}; expected pairs made by `clair generate`.")
    return schema


def read_batches(run: Path, *, pairs: Pairs = "whole", every_column: bool = False) -> Iterator[list[dict[str, Any]]]:
    """Stream the pairs in their order, with the columns of NEEDED or all of them.

    `pairs`: "whole" leaves out the steps of chains; "steps" gives the steps, and of pairs without steps the pair
    itself; "all" gives both.

    Raises:
        UsageError, ClairError: see `find_shards` and `read_schema`; a damaged file is found when it is reached.
    """
    paths = find_shards(run)
    chained = "parent_id" in read_schema(paths[0]).names
    taken_apart = _parents(paths) if chained and pairs == "steps" else None
    wanted = [*NEEDED, "parent_id"] if chained else [*NEEDED]
    for batch in _batches(paths, None if every_column else wanted):
        kept = batch.filter(_selected(batch, pairs, taken_apart)) if chained and pairs != "all" else batch
        if kept.num_rows:
            yield kept.to_pylist()


def _selected(batch: pa.RecordBatch, pairs: Pairs, taken_apart: pa.Array | None) -> pa.Array:
    whole = pc.is_null(batch.column("parent_id"))
    if pairs == "whole":
        return whole
    return pc.or_(pc.invert(whole), pc.invert(pc.is_in(batch.column("id"), value_set=taken_apart)))


def _parents(paths: list[Path]) -> pa.Array:
    found = [pc.unique(batch.column(0).drop_null()) for batch in _batches(paths, ["parent_id"])]
    return pc.unique(pa.chunked_array(found, type=pa.string()))


def _batches(paths: list[Path], columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    for path in paths:
        read_schema(path)
        batches = _open(path, columns)
        while True:
            try:
                batch = next(batches, None)
                if batch is not None:
                    batch.validate(full=True)
            except _UNREADABLE as error:
                raise _damaged(path, error) from error
            if batch is None:
                break
            yield batch


def _open(path: Path, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=BATCH_ROWS, columns=columns)


_AGAIN = (
    "The `clair generate` command that made the run writes its files again from the ledger, without buying anything."
)


def _damaged(path: Path, error: Exception) -> ClairError:
    return ClairError(f"{str(path)!r} cannot be read ({error}). {_AGAIN}")
