"""TRL trains on what `clair generate` and `clair export` write, as it stands: `load_dataset(FOLDER)`, then a trainer.

python -m tests.benchmarks.interop_trl [RUN]

Without RUN, a folder is made first, with `clair generate` against the tests' own server. TRL runs in an environment
of its own, see `trl_environment.py`. Exits 1 unless two steps were trained with every pair there and changed the model.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks import trl_environment
from tests.benchmarks.measure import run, server, table
from tests.servers.world import write_prompts

ROWS = 100
EXPORTS = (
    ("jsonl", "DPOTrainer", 1),
    ("parquet", "DPOTrainer", 1),
    ("conversations", "DPOTrainer", 1),
    ("unpaired", "KTOTrainer", 2),
    ("sft", "SFTTrainer", 1),
)
"""Format, the trainer that reads it, records of a pair."""


def main(arguments: list[str] | None = None) -> None:
    if arguments:
        check(Path(arguments[0]))
        return
    with tempfile.TemporaryDirectory() as folder:
        check(produce(Path(folder)))


def produce(folder: Path) -> Path:
    """A run folder of `clair generate` with two models that a test server plays."""
    out = folder / "run"
    prompts = write_prompts(folder / "prompts.jsonl", ROWS)
    with server("tests.servers.world") as url:
        command = [sys.executable, "-m", "clair", "generate", str(prompts), "-o", str(out), "--json"]
        made = run([*command, "--target", f"target@{url}", "--reviser", f"reviser@{url}"])
    if made.code:
        sys.exit(f"clair generate ended with exit code {made.code}")
    return out


def check(run_folder: Path) -> None:
    """Train two steps on the folder itself and on each export that TRL reads; print them."""
    pairs = json.loads((run_folder / "run.json").read_text(encoding="utf-8"))["counts"]["pairs"]
    two_steps("DPOTrainer", run_folder, rows=pairs)
    with tempfile.TemporaryDirectory() as folder:
        for name, trainer, records in EXPORTS:
            out = Path(folder, name)
            made = run([sys.executable, "-m", "clair", "export", str(run_folder), "--format", name, "-o", str(out)])
            if made.code:
                sys.exit(f"clair export --format {name} ended with exit code {made.code}")
            two_steps(trainer, out, rows=records * pairs)


def two_steps(trainer: str, folder: Path, *, rows: int) -> None:
    """Two steps of a trainer; exits unless it saw `rows` rows, the figures are finite and the model changed."""
    command = [trl_environment.python(), "-m", "tests.benchmarks.trl_two_steps", trainer, str(folder.resolve())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=trl_environment.variables(), check=False)
    if done.returncode:
        sys.exit(f"TRL's {trainer} could not train on {folder}: exit code {done.returncode}")
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"TRL {report['trl']}, {trainer}, {report['rows']} rows of {folder.name}, no mapping")
    names = list(report["history"][0])
    table(("step", *names), [(i + 1, *entry.values()) for i, entry in enumerate(report["history"])])
    print(f"largest change of a weight of the head: {report['head_moved']:.1e}")
    for warning in report["warnings"]:
        print(f"warning: {warning}")
    finite = all(math.isfinite(value) for entry in report["history"] for value in entry.values())
    if not (finite and report["steps"] == 2 and report["rows"] == rows and report["head_moved"] > 0):
        sys.exit(f"not as expected: {report}")


if __name__ == "__main__":
    main(sys.argv[1:])
