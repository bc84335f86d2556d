"""A Python environment for each peer, made on first use from `requirements/NAME.txt` and kept in `.bench/NAME`.

The requirement files pin every package; a changed file makes its environment anew. The folder ignores itself in git.
"""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[2] / ".bench"


def python(name: str) -> Path:
    """The interpreter of the environment of `name`; the first call installs it (a minute or two, below 1 GB)."""
    wanted = requirements(name).read_text(encoding="utf-8")
    folder = CACHE / name
    done = folder / ".installed"
    if not done.exists() or done.read_text(encoding="utf-8") != wanted:
        CACHE.mkdir(exist_ok=True)
        (CACHE / ".gitignore").write_text("*\n", encoding="utf-8")
        print(f"making the environment of {name} in {CACHE.name}", file=sys.stderr, flush=True)
        venv.create(folder, clear=True, with_pip=True)
        install = [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", "--no-deps"]
        subprocess.run([*install, "--requirement", str(requirements(name))], check=True)
        done.write_text(wanted, encoding="utf-8")
    return folder / "bin" / "python"


def requirements(name: str) -> Path:
    return HERE / "requirements" / f"{name}.txt"


def version(name: str, package: str) -> str:
    """The version of `package` that the requirements of `name` pin."""
    found = re.search(rf"^{re.escape(package)}==(\S+)", requirements(name).read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, (name, package)
    return found[1]
