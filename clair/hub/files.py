"""What goes up: an explicit list, so that the ledger, prompts, temporary and foreign files stay at home.

for file in publication(run_dir, card=text, license="mit", rejects=True):
    file.path, file.size, file.content          # content: a path in the run folder, or bytes
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from clair.dataset.schema import Kind
from clair.dataset.writer import FOLDERS, shards
from clair.errors import ClairError, UsageError

CARD, RUN_JSON, REPORT = "README.md", "run.json", "report.html"

_OWN = re.compile(
    rf"(?:{'|'.join(FOLDERS.values())})/train-\d{{5}}-of-\d{{5}}\.parquet|{re.escape(RUN_JSON)}|{re.escape(REPORT)}"
)
AGAIN = "The `clair generate` command that made the run writes its files again from the ledger, without buying anything"


class File(NamedTuple):
    """A file of the publication: its path there, and where its bytes come from."""

    path: str
    content: Path | bytes

    @property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


def publication(run_dir: Path, *, card: str, run_json: Mapping[str, Any], rejects: bool) -> list[File]:
    """Every file that goes up, the card first. `run_json` is the parsed run.json as it should be."""
    kinds: tuple[Kind, ...] = ("pairs", "rejects") if rejects else ("pairs",)
    paths = [path for kind in kinds for path in all_shards(run_dir, kind)]
    report = run_dir / REPORT
    text = json.dumps(run_json, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return [
        File(CARD, card.encode()),
        *(File(path.relative_to(run_dir).as_posix(), path) for path in paths),
        File(RUN_JSON, text.encode()),
        *([File(REPORT, report)] if report.is_file() else []),
    ]


def own_paths(paths: Iterable[str]) -> list[str]:
    """Those that a publication may have, its card aside."""
    return [path for path in paths if _OWN.fullmatch(path)]


def all_shards(run_dir: Path, kind: Kind) -> list[Path]:
    """The Parquet files of a split.

    Raises:
        UsageError: there are none.
        ClairError: some are missing.
    """
    paths = shards(run_dir, kind)
    if not paths:
        raise UsageError(f"{str(run_dir)!r} holds no {kind}. Expected a run folder made by `clair generate`.")
    expected = [f"train-{number:05d}-of-{len(paths):05d}.parquet" for number in range(len(paths))]
    if [path.name for path in paths] != expected:
        raise ClairError(
            f"{str(paths[0].parent)!r} holds {', '.join(path.name for path in paths)}: not one set. {AGAIN}."
        )
    return paths


def read_run_json(run_dir: Path) -> dict[str, Any]:
    """run.json, parsed.

    Raises:
        UsageError: no such file.
        ClairError: it is damaged.
    """
    path = run_dir / RUN_JSON
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(
            f"{str(run_dir)!r} holds no {RUN_JSON}. Expected a run folder made by `clair generate`."
        ) from error
    except (OSError, ValueError) as error:
        raise ClairError(f"{str(path)!r} cannot be read: {error}. {AGAIN}.") from error
    if not isinstance(values, dict) or not isinstance(values.get("settings"), dict):
        raise ClairError(f"{str(path)!r} does not hold the settings of a run. {AGAIN}.")
    return values


def read_card(run_dir: Path) -> str:
    """README.md. Raises as `read_run_json`."""
    path = run_dir / CARD
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(
            f"{str(run_dir)!r} holds no {CARD}. Expected a run folder made by `clair generate`."
        ) from error
    except (OSError, ValueError) as error:
        raise ClairError(f"{str(path)!r} cannot be read: {error}. {AGAIN}.") from error
