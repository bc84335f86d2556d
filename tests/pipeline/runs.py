"""What tests of whole runs share: what a run folder holds, and the command as a process."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

Rows = list[dict[str, Any]]

STARTED: list[subprocess.Popen[str]] = []
"""Processes of the present test; what is left of them at its end is killed."""


def pairs(run: Path) -> Rows:
    """The pairs of a run folder, in file order."""
    return _rows(run / "data")


def rejects(run: Path) -> Rows:
    """The rejects of a run folder, in file order."""
    return _rows(run / "rejects")


def _rows(folder: Path) -> Rows:
    return [row for path in sorted(folder.glob("train-*.parquet")) for row in pq.read_table(path).to_pylist()]


def reasons(run: Path) -> dict[int, tuple[str, str]]:
    """Stage and reason of each reject, by the number of its input record."""
    return {row["source_index"]: (row["stage"], row["reason"]) for row in rejects(run)}


def digests(run: Path) -> dict[str, str]:
    """sha256 of every file that belongs to the dataset (all but the ledger)."""
    files = [path for path in run.rglob("*") if path.is_file() and not path.name.startswith("ledger.")]
    assert files
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> Path:
    """Records as JSON lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def arguments(prompts: Path, run: Path, url: str, *more: str) -> list[str]:
    """`clair generate` against the world at `url`."""
    models = ["--target", f"target@{url}", "--reviser", f"reviser@{url}"]
    return ["generate", str(prompts), "-o", str(run), *models, *more]


def start(*words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """The command as a process of its own, its output in pipes."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", **(env or {})}
    process = subprocess.Popen(
        [sys.executable, "-m", "clair", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    return process


def clair(*words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command as a process, run to its end."""
    with start(*words, env=env) as process:
        stdout, stderr = process.communicate(timeout=120)
    return subprocess.CompletedProcess(list(words), process.returncode, stdout, stderr)
