"""RUN/report.html, written from what is in the folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clair.dataset.storage import replace_text
from clair.errors import ClairError
from clair.report.page import report_page
from clair.report.scan import Scanned, scan


def write_report(run_dir: Path, scanned: Scanned | None = None) -> Path:
    """Write RUN/report.html in place of the one that is there; returns its path.

    `scanned` is what `scan(run_dir)` would find, if that is known. The same folder gives the same bytes. Raises
    UsageError if it is no run folder, ClairError if a file of it cannot be read or the page cannot be written.
    """
    path = Path(run_dir) / "report.html"
    page = report_page(scanned or scan(Path(run_dir)), _run_json(Path(run_dir)))
    try:
        replace_text(path, page)
    except OSError as error:
        raise ClairError(
            f"cannot write {str(path)!r}: {error.strerror or error}. Make room or see to your permissions, and run the "
            "same command again"
        ) from error
    return path


def _run_json(run_dir: Path) -> Mapping[str, Any]:
    """What run.json says; a folder without one has figures all the same."""
    path = run_dir / "run.json"
    if not path.is_file():
        return {"name": run_dir.resolve().name}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ClairError(f"{str(path)!r} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise ClairError(f"{str(path)!r} holds {type(found).__name__}, expected an object.")
    return found
