"""Local inputs: one file, or a folder of them.

for path in find_files(Path("prompts/")):
    for record in read_file(path): ...
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from clair.errors import UsageError
from clair.sources.lines import read_json, read_jsonl, read_text
from clair.sources.record import Raw, Record
from clair.sources.tables import read_csv, read_parquet

READERS: dict[str, Callable[[Path], Iterator[Raw]]] = {
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".parquet": read_parquet,
    ".txt": read_text,
}
KNOWN = ", ".join(READERS)


def find_files(path: Path) -> list[Path]:
    """The file itself, or the files of a folder whose kind is known, sorted by name.

    Sub-folders and hidden files are left out; files of other kinds only if there is one of a known kind.

    Raises:
        UsageError: a file of unknown kind, or a folder without a known one.
    """
    if not path.is_dir():
        if path.suffix.lower() not in READERS:
            raise UsageError(f"{str(path)!r} has no known ending. Expected one of {KNOWN}.")
        return [path]
    files = sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
    known = [file for file in files if file.suffix.lower() in READERS]
    if not known:
        found = ", ".join(file.name for file in files[:5]) or "no files"
        raise UsageError(f"The folder {str(path)!r} holds no {KNOWN} file (found: {found}).")
    return known


def read_file(path: Path) -> Iterator[Record]:
    """The records of one file; `source` is its name without folders.

    Raises:
        UsageError: the file cannot be opened or read at all.
    """
    source = os.fsencode(path.name).decode("utf-8", "replace")
    try:
        for index, raw in enumerate(READERS[path.suffix.lower()](path)):
            yield Record(source, index, *raw)
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
