"""Run the benchmarks named on the command line, or all of them.

python -m tests.benchmarks generate
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent


def main(names: list[str]) -> None:
    modules = [*HERE.glob("bench_*.py"), *HERE.glob("interop_*.py")]
    known = {path.stem.removeprefix("bench_"): path.stem for path in sorted(modules)}
    unknown = sorted(set(names) - known.keys())
    if unknown:
        sys.exit(f"unknown benchmark {', '.join(unknown)}: there are {', '.join(known)}")
    for name in names or known:
        print(f"\n## {name}\n", flush=True)
        import_module(f"tests.benchmarks.{known[name]}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
