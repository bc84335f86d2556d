"""Parquet shards of one split, written from a stream of outcomes.

    paths = write_split(outcomes, run_dir, "pairs")     # RUN/data/train-00000-of-00001.parquet

Rows keep their order. The same outcomes give the same bytes (with the same pyarrow). All shards are
complete and synced under temporary names before the first old one is touched, so a failure while writing
changes nothing. Where one shard replaces one shard, as in any split below `SHARD_BYTES`, the change is
atomic. Otherwise the old shards are removed before the new ones get their names: a process killed between
the two leaves fewer rows than the card promises, which `datasets.load_dataset` refuses, and writing again
from the ledger repairs it.

Layout for the Hub: zstd, page index and checksums, content-defined chunks (a later upload transfers only what changed),
and row groups small enough for the dataset viewer. An empty split is a file without row groups; a row group
of no rows would make `load_dataset` fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clair.dataset.arrays import record_batch
from clair.dataset.invariants import SeenIds, check_outcome, duplicates
from clair.dataset.schema import SCHEMAS, Kind, pair_columns, reject_columns
from clair.dataset.storage import sync, sync_folder
from clair.errors import ClairError
from clair.records import Outcome, Pair, Reject

FOLDERS: dict[Kind, str] = {"pairs": "data", "rejects": "rejects"}
SHARD_BYTES = 300 * 10**6
GROUP_BYTES = 50 * 10**6
GROUP_ROWS = 1000

_SHARD = re.compile(r"train-\d{5}-of-\d{5}\.parquet")
_TEMPORARY = re.compile(r"\.writing-\d{5}\.parquet")


def write_split(
    outcomes: Iterable[Outcome],
    run_dir: Path,
    kind: Kind,
    *,
    shard_bytes: int = SHARD_BYTES,
    group_bytes: int = GROUP_BYTES,
    group_rows: int = GROUP_ROWS,
) -> list[Path]:
    """Replace a split by these outcomes, all pairs or all rejects; returns the shards in order.

    Sizes are of uncompressed text, estimated. Memory: one row group, and 8 bytes per row.

    Raises:
        ClairError: an outcome breaks an invariant of the dataset, or an id occurs twice; it is named, and
        what was
            in the folder stays.
    """
    folder = Path(run_dir) / FOLDERS[kind]
    folder.mkdir(parents=True, exist_ok=True)
    _remove_temporaries(folder)
    try:
        seen = SeenIds()
        groups = _groups(_checked(outcomes, kind, seen), group_bytes, group_rows)
        written = _write_shards(groups, folder, kind, shard_bytes)
        _refuse_duplicates(written, seen)
        return _publish(written, folder)
    finally:
        _remove_temporaries(folder)


def shards(run_dir: Path, kind: Kind) -> list[Path]:
    """The shards of a split as they are on disk, in order."""
    folder = Path(run_dir) / FOLDERS[kind]
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _SHARD.fullmatch(path.name))


def _checked(outcomes: Iterable[Outcome], kind: Kind, seen: SeenIds) -> Iterator[Outcome]:
    expected = Pair if kind == "pairs" else Reject
    for outcome in outcomes:
        if not isinstance(outcome, expected):
            raise ClairError(f"{outcome.id!r} is a {type(outcome).__name__}, which is not one of the {kind}.")
        check_outcome(outcome)
        seen.add(outcome.id)
        yield outcome


def _groups(outcomes: Iterable[Outcome], group_bytes: int, group_rows: int) -> Iterator[tuple[list[Outcome], int]]:
    """Row groups with their estimated sizes; an outcome that is larger than a group gets its own."""
    group: list[Outcome] = []
    size = 0
    for outcome in outcomes:
        more = _size(outcome)
        if group and (len(group) == group_rows or size + more > group_bytes):
            yield group, size
            group, size = [], 0
        group.append(outcome)
        size += more
    if group:
        yield group, size


def _size(outcome: Outcome) -> int:
    """About the bytes of a row in UTF-8. Three per character is what scripts other than Latin take at
    most."""
    texts = [message["content"] for message in outcome.prompt]
    if isinstance(outcome, Pair):
        texts += [outcome.chosen, outcome.rejected, outcome.rationale, outcome.metadata]
    else:
        texts += [outcome.detail, outcome.response or "", outcome.revision or ""]
    return 300 + sum(len(text) if text.isascii() else 3 * len(text) for text in texts)


def _write_shards(
    groups: Iterator[tuple[list[Outcome], int]], folder: Path, kind: Kind, shard_bytes: int
) -> list[Path]:
    paths: list[Path] = []
    group = next(groups, None)
    while group is not None or not paths:
        path = folder / f".writing-{len(paths):05d}.parquet"
        paths.append(path)
        size = 0
        with _open(path, kind) as file:
            while group is not None and (size == 0 or size + group[1] <= shard_bytes):
                file.write_batch(_batch(group[0], kind))
                size += group[1]
                group = next(groups, None)
        sync(path)
    return paths


def _open(path: Path, kind: Kind) -> Any:
    return pq.ParquetWriter(
        path,
        SCHEMAS[kind],
        compression="zstd",
        write_page_index=True,
        write_page_checksum=True,
        use_content_defined_chunking=True,
    )


def _batch(outcomes: list[Any], kind: Kind) -> pa.RecordBatch:
    columns = pair_columns(outcomes) if kind == "pairs" else reject_columns(outcomes)
    return record_batch(columns, SCHEMAS[kind])


def _refuse_duplicates(paths: list[Path], seen: SeenIds) -> None:
    suspects = seen.suspects()
    if not suspects:
        return
    ids = (
        row_id
        for path in paths
        for batch in pq.ParquetFile(path).iter_batches(columns=["id"])
        for row_id in batch.column(0).to_pylist()
    )
    twice = next(duplicates(ids, suspects), None)
    if twice is not None:
        raise ClairError(f"The id {twice!r} occurs twice in one split. Nothing was written.")


def _publish(written: list[Path], folder: Path) -> list[Path]:
    old = [path for path in folder.iterdir() if _SHARD.fullmatch(path.name)]
    final = [folder / f"train-{index:05d}-of-{len(written):05d}.parquet" for index in range(len(written))]
    if old != final or len(final) > 1:
        for path in old:
            path.unlink()
    for temporary, path in zip(written, final, strict=True):
        temporary.replace(path)
    sync_folder(folder)
    return final


def _remove_temporaries(folder: Path) -> None:
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            path.unlink()
