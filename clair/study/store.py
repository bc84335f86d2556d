"""The study's folder: what is finished, in files of their own, each written whole or not at all.

OUT/
  settings.json            what the figures depend on; another study is refused here
  datasets/RECIPE/         run folder of each recipe
  pairs/RECIPE.jsonl, pairs/RECIPE-held-out.jsonl, pairs.json     the intersection
  cells/KEY.json           one result per model
  models/KEY/              only while a model is scored, or with --keep-models
  reference/               log-probs of the student, shared by all cells
  study.json, study.md, study.html
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from clair.dataset.storage import replace_text
from clair.errors import ClairError, UsageError
from clair.ledger.lock import RunLock, make_folder


class Store:
    """An open study folder; one process at a time has it. Raises UsageError, LedgerError."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        if folder.is_dir() and any(folder.iterdir()) and not (folder / "settings.json").is_file():
            raise UsageError(f"{str(folder)!r} is not empty and holds no study; give a new folder with -o")
        make_folder(folder)
        self.folder = folder
        self._lock = RunLock(folder)
        try:
            self._check(dict(identity))
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.release()

    def _check(self, identity: dict[str, Any]) -> None:
        stored = self.read("settings.json")
        if stored is None:
            self.write("settings.json", identity)
            return
        changed = [
            f"{name}: {stored.get(name)!r} -> {identity.get(name)!r}"
            for name in sorted({*stored, *identity})
            if stored.get(name) != identity.get(name)
        ]
        if changed:
            raise UsageError(
                f"the study in {str(self.folder)!r} has other settings ({'; '.join(changed)}); "
                "give them again as they were, or a new folder with -o"
            )

    def read(self, name: str) -> Any:
        """The value of a JSON file, None if there is no such file. Raises ClairError if it cannot be read."""
        path = self.folder / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ClairError(
                f"{str(path)!r} cannot be read: {error}. Delete it; the same command makes it again."
            ) from error

    def write(self, name: str, value: Any) -> None:
        """Write a JSON file in one piece."""
        self.write_text(name, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file in one piece. Raises ClairError."""
        try:
            replace_text(self.folder / name, text)
        except OSError as error:
            message = f"cannot write {str(self.folder / name)!r}: {error.strerror}. The same command goes on from here."
            raise ClairError(message) from error

    def result(self, key: str) -> dict[str, Any] | None:
        """The stored result of a cell."""
        found: dict[str, Any] | None = self.read(f"cells/{key}.json")
        return found

    def keep(self, key: str, result: Mapping[str, Any]) -> None:
        """Store the result of a cell."""
        self.write(f"cells/{key}.json", dict(result))

    def model_folder(self, key: str) -> Path:
        """A fresh place for a cell's model; what a killed study left there is removed."""
        folder = self.folder / "models" / key
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def forget_model(self, key: str) -> None:
        """Remove a cell's model, and the folder of models if it was the last."""
        folder = self.folder / "models" / key
        shutil.rmtree(folder, ignore_errors=True)
        if folder.parent.is_dir() and not any(folder.parent.iterdir()):
            folder.parent.rmdir()
