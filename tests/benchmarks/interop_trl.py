"""TRL trains on what `clair generate` writes, as it stands: `load_dataset(RUN)` straight into `DPOTrainer`.

python -m tests.benchmarks.interop_trl [RUN]

Without RUN, a folder is made first, with `clair generate` against the tests' own server. TRL runs in an environment
of its own, see `trl_environment.py`. Exits 1 unless two steps were trained on every pair and changed the model.
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


def check(folder: Path) -> None:
    """Train two steps and print them."""
    command = [trl_environment.python(), "-m", "tests.benchmarks.trl_two_steps", str(folder.resolve())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=trl_environment.variables(), check=False)
    if done.returncode:
        sys.exit(f"TRL could not train on {folder}: exit code {done.returncode}")
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    expected = json.loads((folder / "run.json").read_text(encoding="utf-8"))["counts"]["pairs"]
    print(f"TRL {report['trl']}, DPOTrainer, apo_zero, {report['pairs']} pairs of {folder.name}, no mapping")
    names = list(report["history"][0])
    table(("step", *names), [(i + 1, *entry.values()) for i, entry in enumerate(report["history"])])
    print(f"largest change of a weight of the head: {report['head_moved']:.1e}")
    for warning in report["warnings"]:
        print(f"warning: {warning}")
    finite = all(math.isfinite(value) for entry in report["history"] for value in entry.values())
    if not (finite and report["steps"] == 2 and report["pairs"] == expected and report["head_moved"] > 0):
        sys.exit(f"not as expected: {report}")


if __name__ == "__main__":
    main(sys.argv[1:])
