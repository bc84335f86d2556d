"""Rows of a split as the records they were written from.

    for pair in read_split(run_dir, "pairs"): ...

Streams, a row group at the most in memory. What the files do not hold (the tokens of a reject) is None.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clair.dataset.schema import COLUMNS, Kind
from clair.dataset.writer import shards
from clair.errors import ClairError, UsageError
from clair.records import Contrast, Message, Outcome, Pair, Reject, Spent

BATCH_ROWS = 256


def read_split(run_dir: Path, kind: Kind) -> Iterator[Outcome]:
    """The rows of a split in file order. Raises as `batches` does."""
    record = pair_of if kind == "pairs" else reject_of
    for batch in batches(run_dir, kind):
        yield from map(record, batch.to_pylist())


def batches(run_dir: Path, kind: Kind) -> Iterator[pa.RecordBatch]:
    """The rows of a split in file order, some at a time; none if there is no such split.

    Raises:
        UsageError: a file lacks columns that every run of clair has.
        ClairError: a file cannot be read.
    """
    for path in shards(run_dir, kind):
        with _explained(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
            missing = {it.name for it in COLUMNS[kind] if not it.nullable} - set(file.schema_arrow.names)
            if missing:
                raise UsageError(f"{str(path)!r} lacks the columns {', '.join(sorted(missing))} of a run of clair.")
            for group in range(file.num_row_groups):
                yield from file.iter_batches(BATCH_ROWS, row_groups=[group])


def require_run(run_dir: Path) -> None:
    """Raise UsageError unless the folder holds pairs, be it none."""
    if not shards(run_dir, "pairs"):
        raise UsageError(f"{str(run_dir)!r} holds no pairs. Expected a run folder made by `clair generate`.")


def pair_of(row: Mapping[str, Any]) -> Pair:
    """A row of the split `pairs`."""
    return Pair(
        id=row["id"],
        prompt=_messages(row["prompt"]),
        chosen=_answer(row, "chosen"),
        rejected=_answer(row, "rejected"),
        rationale=row["rationale"],
        recipe=row["recipe"],
        protocol=row["protocol"],
        target_model=row["target_model"],
        reviser_model=row["reviser_model"],
        judge_model=row.get("judge_model"),
        contrast=Contrast(**{field.name: row[field.name] for field in fields(Contrast)}),
        spent=_spent(row),
        source=row["source"],
        source_index=row["source_index"],
        metadata=row["metadata"],
        parent_id=row.get("parent_id"),
        step=row.get("step"),
    )


def reject_of(row: Mapping[str, Any]) -> Reject:
    """A row of the split `rejects`."""
    return Reject(
        id=row["id"],
        prompt=_messages(row["prompt"]),
        stage=row["stage"],
        reason=row["reason"],
        detail=row["detail"],
        response=row.get("response"),
        revision=row.get("revision"),
        spent=_spent(row),
        source=row["source"],
        source_index=row["source_index"],
    )


def _answer(row: Mapping[str, Any], name: str) -> str:
    turns = row[name]
    if len(turns) != 1:
        raise UsageError(f"the column {name!r} holds answers that are not exactly one turn. Expected a run of clair.")
    return str(turns[0]["content"])


def _messages(turns: list[dict[str, str]]) -> tuple[Message, ...]:
    return tuple(Message(role=turn["role"], content=turn["content"]) for turn in turns)


def _spent(row: Mapping[str, Any]) -> Spent:
    return Spent(
        attempts=row["attempts"],
        prompt_tokens=row.get("prompt_tokens"),
        completion_tokens=row.get("completion_tokens"),
        cost_usd=row.get("cost_usd"),
    )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise ClairError(
            f"{str(path)!r} cannot be read: {error}. The command that made the run folder writes it again."
        ) from error
