"""The folder of an export: written aside, then put in place, so that a reader never finds half of one.

    with Staging(out) as staging:
        with JsonLines(staging.path("train.jsonl")) as file:
            file.write(records)
        staging.publish(manifest)

Files are written into a hidden folder inside `out` and renamed at the end, behind the removal of the old ones: a
process killed in between leaves too few files, never a mixture. `export.json` says which files are ours; only these
are ever replaced.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from clair.dataset.storage import sync, sync_folder
from clair.errors import UsageError

MANIFEST = "export.json"
KEY = "clair_export"
STAGING = ".clair-export"
GROUP_ROWS = 500

_NAME = re.compile(r"\w+\.\w+")
_LINE_ENDS = {ord(char): f"\\u{ord(char):04x}" for char in "\u0085\u2028\u2029"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d(:?\d\d(:?\d\d)?)?(Z|[+-]\d\d(:?\d\d)?)?)?")


class Staging:
    """A place for new files inside `out`. Leaving without `publish` removes them and changes nothing.

    Raises:
        UsageError: `out` is a file, or a folder with files in it that no export has made.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._aside = out / STAGING
        self._ours = _files_of_earlier(out)

    def __enter__(self) -> Staging:
        self._made = not self.out.exists()
        self._aside.mkdir(parents=True, exist_ok=True)
        for leftover in self._aside.iterdir():
            leftover.unlink()
        return self

    def path(self, name: str) -> Path:
        """Where to write the file that will be called `name`."""
        return self._aside / name

    def publish(self, manifest: dict[str, Any]) -> None:
        """Put the files in place of those of an earlier export; `manifest` becomes export.json, with their names."""
        names = sorted(path.name for path in self._aside.iterdir())
        text = json.dumps({KEY: 1, **manifest, "files": names}, ensure_ascii=False, indent=2)
        self.path(MANIFEST).write_text(text + "\n", encoding="utf-8", newline="\n")
        for path in self._aside.iterdir():
            sync(path)
        for name in self._ours:
            (self.out / name).unlink(missing_ok=True)
        for name in (MANIFEST, *names):  # first the manifest: killed from here on, the folder is still known as ours
            self.path(name).replace(self.out / name)
        sync_folder(self.out)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._aside, ignore_errors=True)
        if kind is not None and self._made:
            with suppress(OSError):
                self.out.rmdir()


def _files_of_earlier(out: Path) -> list[str]:
    """The names of the files that an earlier export wrote into `out`; refuses a folder with anything else in it."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{str(out)!r} is a file. An export is a folder: name a new one with -o.")
    if not out.exists() or not any(out.iterdir()):
        return []
    try:
        manifest = json.loads((out / MANIFEST).read_bytes())
        if manifest[KEY] == 1:
            return [name for name in manifest["files"] if _NAME.fullmatch(name)]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if all(path.name == STAGING for path in out.iterdir()):
        return []
    raise UsageError(
        f"{str(out)!r} has files in it that are not an earlier export (no {MANIFEST}). Nothing was written: "
        "name a new folder with -o."
    )


class JsonLines:
    """Records as UTF-8 JSON, one per line, in order. Line separators that only some readers know are escaped."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self._only_dates: dict[str, bool] = {}
        self.records = 0

    def write(self, records: Iterable[dict[str, Any]]) -> None:
        """Append the records."""
        for record in records:
            if self.records == 0 or any(self._only_dates.values()):
                self._look_for_dates(record)
            line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).translate(_LINE_ENDS)
            self._file.write(line.encode("utf-8") + b"\n")
            self.records += 1

    def date_columns(self) -> list[str]:
        """Columns in which every text looks like a date: readers that guess types would turn them into times."""
        return sorted(name for name, only in self._only_dates.items() if only)

    def _look_for_dates(self, record: dict[str, Any]) -> None:
        for name, text in _texts(record, ""):
            self._only_dates[name] = self._only_dates.get(name, True) and _DATE.fullmatch(text) is not None

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def _texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, name)


class ParquetRows:
    """Records in Parquet, with the types of `schema`, in row groups of about GROUP_ROWS."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = pq.ParquetWriter(path, schema, compression="zstd", write_page_index=True)
        self._schema = schema
        self._held: list[dict[str, Any]] = []
        self.records = 0

    def write(self, records: Iterable[dict[str, Any]]) -> None:
        """Append the records."""
        before = len(self._held)
        self._held.extend(records)
        self.records += len(self._held) - before
        if len(self._held) >= GROUP_ROWS:
            self._flush()

    def date_columns(self) -> list[str]:
        """None: the types are written down."""
        return []

    def close(self) -> None:
        """Finish the file."""
        try:
            self._flush()
        finally:
            self._file.close()

    def _flush(self) -> None:
        if self._held:
            self._file.write_batch(pa.RecordBatch.from_pylist(self._held, schema=self._schema))
            self._held = []
