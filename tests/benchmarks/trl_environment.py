"""A Python environment of its own for the programs that need TRL, made on first use and kept.

The folder is `.venv-trl` beside the sources; set CLAIR_TRL_PYTHON to the interpreter of one that exists. It holds
clair, its trainer's dependencies and TRL, so that both run on one torch and one transformers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venv-trl"
WANTED = ("trl>=1.16", "transformers[serving]")


def python() -> str:
    """The interpreter of the environment; the first call installs it (minutes, gigabytes with a CUDA torch)."""
    given = os.environ.get("CLAIR_TRL_PYTHON")
    if given:
        return given
    interpreter = FOLDER / ("Scripts" if os.name == "nt" else "bin") / "python"
    done = FOLDER / ".installed"
    if not done.exists():
        print(f"making {FOLDER.name} for TRL", file=sys.stderr, flush=True)
        venv.create(FOLDER, with_pip=True)
        install = [interpreter, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
        subprocess.run([*install, "--editable", f"{ROOT}[train]", *WANTED], check=True)
        done.touch()
    return str(interpreter)


def variables() -> dict[str, str]:
    """Environment variables for programs there: clair importable from the sources, no hub, no progress bars."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
