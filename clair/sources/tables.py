"""Readers of .csv and .parquet files, a row or a small batch at a time."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clair.errors import UsageError
from clair.sources.record import Raw

LARGEST_FIELD = 16 * 2**20
"""Characters in one CSV field. The standard library's 128 Ki are fewer than a long prompt has; without any
limit, one missing quote would pull the rest of the file into memory."""

PARQUET_BATCH = 256


def read_csv(path: Path) -> Iterator[Raw]:
    """Rows of a CSV file with a header line; all values are strings. Quoted fields may hold line breaks.

    Raises:
        UsageError: the header cannot be read or names a column twice.
    """
    csv.field_size_limit(LARGEST_FIELD)
    # Bytes that are not UTF-8 arrive as lone surrogates, so that only their row is bad and not the file.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, None)
        except csv.Error as error:
            raise UsageError(f"{path.name}, line 1: the header is not CSV ({error}).") from error
        if header is None:
            return
        _check_header(path, "the header in line 1", header)
        while True:
            place = f"line {reader.line_num + 1}"
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Raw(place, None, f"not CSV ({error})")
                continue
            if fields:
                yield _csv_record(place, header, fields)


def _check_header(path: Path, where: str, header: list[str]) -> None:
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise UsageError(
            f"{path.name}: {where} names {', '.join(map(repr, twice))} more than once. "
            "Give every column a name of its own."
        )


def _csv_record(place: str, header: list[str], fields: list[str]) -> Raw:
    if len(fields) != len(header):
        return Raw(place, None, f"expected {len(header)} fields as in the header, got {len(fields)}")
    try:
        "".join(fields).encode()
    except UnicodeEncodeError:
        return Raw(place, None, "not UTF-8")
    return Raw(place, dict(zip(header, fields, strict=True)))


def read_parquet(path: Path) -> Iterator[Raw]:
    """Rows of a Parquet file, in batches of `PARQUET_BATCH`.

    Raises:
        UsageError: not a Parquet file, damaged, or with two columns of one name.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            _check_header(path, "the schema", file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=PARQUET_BATCH):
                for value, problem in _batch_values(batch):
                    number += 1
                    yield Raw(f"row {number}", value, problem)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last one for column names
        raise UsageError(f"{path.name} cannot be read as Parquet after row {number}: {error}") from error


def _batch_values(batch: Any) -> Iterator[tuple[dict[str, Any] | None, str | None]]:
    try:
        yield from ((value, None) for value in batch.to_pylist())
    except UnicodeDecodeError:
        for index in range(batch.num_rows):
            try:
                yield batch.slice(index, 1).to_pylist()[0], None
            except UnicodeDecodeError:
                yield None, "not UTF-8"
