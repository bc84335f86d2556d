"""The same fuzzing, guided by coverage: atheris drives the targets of `tests.chaos` for a bounded time.

    pip install atheris
    python -m tests.chaos.guided                # lists the targets
    python -m tests.chaos.guided templates:test_a_template_is_refused_or_filled_in_one_pass -max_total_time=60

Not part of the tests: atheris has wheels for few versions of Python, and it takes the whole process.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any


def targets() -> dict[str, Any]:
    """ "module:test" -> the hypothesis test."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("test_fuzz_*.py")):
        module = importlib.import_module(f"tests.chaos.{path.stem}")
        for name, value in vars(module).items():
            if name.startswith("test_") and hasattr(value, "target"):
                found[f"{path.stem.removeprefix('test_fuzz_')}:{name}"] = value.target
    return found


def main() -> None:
    if len(sys.argv) < 2:
        print("\n".join(targets()))
        return
    import atheris

    with atheris.instrument_imports(include=["clair"]):
        found = targets()
    atheris.Setup([sys.argv[0], *sys.argv[2:]], found[sys.argv[1]].hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
