"""Identity settings: those that decide what is asked, so that changing them would mix two kinds of data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from clair.errors import LedgerError

Alike = Callable[[str, object, object], bool]
"""Whether the old and the new value of the setting with this name ask for the same data, although they differ."""


def refuse_changes(
    run_dir: Path, old: Mapping[str, object], new: Mapping[str, object], alike: Alike | None = None
) -> None:
    """Raise LedgerError if two sets of identity settings differ; both are plain JSON values."""
    changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    if alike is not None:
        changed = [key for key in changed if not alike(key, old.get(key), new.get(key))]
    if changed:
        lines = [f"  {key}: {json.dumps(old.get(key))} -> {json.dumps(new.get(key))}" for key in changed]
        raise LedgerError(
            f"{run_dir} was made with other settings, and one dataset must not mix two kinds of data:\n"
            + "\n".join(lines)
            + "\nGo back to the old settings, or add --fork NEW: a new run that reuses every answer it can."
        )
