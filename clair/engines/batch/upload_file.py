"""One input file while it fills: on disk, in the run folder, within the limits of the Batch API."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from clair.engines.batch.records import Request
from clair.errors import ClairError

MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000
"""Of one input file, by the API reference of 2026. A megabyte is taken as the smaller of its two meanings."""

BYTES_PER_TOKEN = 3
"""For the limit on enqueued prompt tokens. English takes about four; what is estimated too high only waits."""

_PATTERN = "ledger.upload-*.jsonl"  # beside the ledger: not part of the dataset, never published


class UploadFile:
    """Request lines on disk, each question once. `worst_usd` is the most that its answers can cost, as far as known.

    Raises ClairError if it cannot be written.
    """

    def __init__(self, run_dir: Path, name: str) -> None:
        self.path = run_dir / _PATTERN.replace("*", name)
        self.requests: dict[bytes, Request] = {}
        self.size = 0
        self.tokens = 0
        self.worst_usd = 0.0
        with self._explained():
            self._file = self.path.open("wb")

    def add(self, request: Request, line: bytes) -> None:
        """Append one line."""
        with self._explained():
            self._file.write(line)
        self.requests[request.key] = request
        self.size += len(line)
        self.tokens += tokens_of(line)
        self.worst_usd += request.worst_usd or 0.0

    def close(self) -> None:
        """Nothing more is added; the file can be read."""
        with self._explained():
            self._file.close()

    def remove(self) -> None:
        """Delete it from the disk."""
        with contextlib.suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ClairError(
                f"cannot write {self.path}: {error.strerror or error}. Nothing of it was submitted; make room or see "
                "to your permissions, and run the same command again"
            ) from error


def tokens_of(line: bytes) -> int:
    """About how many prompt tokens a line holds."""
    return len(line) // BYTES_PER_TOKEN


def remove_leftovers(run_dir: Path) -> None:
    """Delete what a killed process left behind."""
    for path in run_dir.glob(_PATTERN):
        path.unlink(missing_ok=True)
