"""Whether an input is what it was, without reading its records.

fingerprint("prompts.jsonl")        # 64 hex characters; others after any change of the file's name or content
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from clair.errors import UsageError
from clair.sources.files import find_files

CHUNK = 1 << 20


def fingerprint(name: str) -> str | None:
    """Changes with the records that `read_records(name)` yields; it reads all bytes, about 1 s per GB.

    None for what only reading could tell: a dataset id, a pipe, what cannot be read.
    """
    path = Path(name).expanduser()
    if not path.exists():
        return None
    digest = hashlib.sha256()
    try:
        for file in find_files(path):
            if not file.is_file():
                return None
            digest.update(f"{file.name!a} {content_hash(file)}\n".encode("ascii"))
    except (OSError, UsageError):
        return None
    return digest.hexdigest()


def content_hash(path: Path) -> str:
    """The sha256 of a file's bytes. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
