"""Rows in, records out: each into the file of its prompt's side, with what could not be written counted."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from clair.errors import ClairError
from clair.exports.folder import JsonLines, ParquetRows, Staging
from clair.exports.formats import FORMATS, Format, Record, Row
from clair.exports.split import Side, side

SHORT_ANSWER = 20
"""Characters. A shorter answer may occur by accident in what a chat template writes around the turns."""


class Sides:
    """The data files of one export. `pairs`, `short` and `left_out` count what went by."""

    def __init__(self, staging: Staging, name: str, schema: pa.Schema, *, test_share: float, seed: int) -> None:
        self._staging = staging
        self._format: Format = FORMATS[name]
        self._schema = schema
        self._share = test_share
        self._seed = seed
        self._files: dict[Side, JsonLines | ParquetRows] = {}
        self._batches = 0
        self.pairs = 0
        self.short = 0
        self.left_out: Counter[str] = Counter()

    def add(self, batch: list[Row]) -> None:
        """Write the records of a batch of rows."""
        records: dict[Side, list[Record]] = {}
        for row in batch:
            problem = self._format.unreadable and self._format.unreadable(row)
            if problem:
                self.left_out[problem] += 1
                continue
            self.pairs += 1
            self.short += min(len(row[name][0]["content"].strip()) for name in ("chosen", "rejected")) < SHORT_ANSWER
            where = side(row["prompt"], share=self._share, seed=self._seed)
            records.setdefault(where, []).extend(self._format.records(row))
        for where, found in records.items():
            if self._format.shuffled:
                random.Random(f"{self._seed} {self._batches} {where}").shuffle(found)  # noqa: S311
            self._file(where).write(found)
        self._batches += 1

    @property
    def names(self) -> dict[str, str]:
        """Split -> file name, train first; only of sides that got a row."""
        return {where: where + self._format.suffix for where in _SIDES if where in self._files}

    @property
    def records(self) -> dict[str, int]:
        """Split -> number of records."""
        return {where: self._files[where].records for where in _SIDES if where in self._files}

    def refuse_dates(self) -> None:
        """Raises ClairError where every text of a column looks like a date.

        Loaders read JSON with a reader that guesses types: it would give times, or the texts in another spelling,
        also where the folder's README.md names the type (measured with datasets 5.2 and pyarrow 26).
        """
        for where, file in self._files.items():
            for column in file.date_columns():
                raise ClairError(
                    f"In the {where} split every text of {column!r} is a date. Loaders that read JSON would turn "
                    "them into times and change their spelling. Use --format parquet, which states its types."
                )

    def __enter__(self) -> Sides:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            with suppress(
                *(() if kind is None else (OSError,))
            ):  # a full disk fails again here: the first error counts
                file.close()

    def _file(self, where: Side) -> JsonLines | ParquetRows:
        if where not in self._files:
            path: Path = self._staging.path(where + self._format.suffix)
            jsonl = self._format.suffix == ".jsonl"
            self._files[where] = JsonLines(path) if jsonl else ParquetRows(path, self._schema)
        return self._files[where]


_SIDES: tuple[Side, ...] = ("train", "test")
