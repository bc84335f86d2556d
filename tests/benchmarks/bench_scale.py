"""Many rows: rows per second, memory over the run, what lies on disk, and what it takes to run the finished run again.

    CLAIR_SCALE_ROWS=100000 python -m tests.benchmarks scale

"Again, nothing changed" is the same command on the finished run; "again, all rows looked at" the same after somebody
else had the ledger open, so that every row is visited and every file written. The models answer at once and in the
process (`scale_run`), so this is what the pipeline itself costs. What a million rows would take is extrapolated from
the rows that were run, linearly, and marked so.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from clair.ledger import Ledger
from tests.benchmarks.measure import run, table
from tests.servers.world import write_prompts

ROWS = int(os.environ.get("CLAIR_SCALE_ROWS", "50000"))
MILLION = 1_000_000
CONCURRENCY = 64
POINTS = 10


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        prompts, out = write_prompts(Path(folder, "prompts.jsonl"), ROWS), Path(folder, "run")
        empty = _run(write_prompts(Path(folder, "one.jsonl"), 1), Path(folder, "one"))
        first, again = _run(prompts, out), _run(prompts, out)
        Ledger.open(out, create=False).close()
        visited = _run(prompts, out)
        sizes = {name: _mb(out, name) for name in ("ledger.sqlite*", "data/*", "rejects/*", "report.html")}
    print(f"{first['rows']:,} rows, {first['pairs']:,} pairs, {first['bought']:,} answers\n")
    rows = [
        _row("first run", first, empty),
        ("of it, dataset and report", first["writing_s"], None, _per_million(first["writing_s"], 0.0)),
        _row("again, all rows looked at", visited, empty),
        _row("again, nothing changed", again, empty),
    ]
    table(("what", "wall s", "CPU s", "1,000,000 rows, extrapolated, min"), rows)
    print(f"\nrows/s while rows are driven: {first['rows'] / first['driving_s']:,.0f}")
    print("on disk, MB: " + ", ".join(f"{name} {size:.1f}" for name, size in sizes.items()))
    large = {name: sizes[name] * MILLION / ROWS / 1024 for name in ("ledger.sqlite*", "data/*", "rejects/*")}
    print("a million rows, extrapolated, GB: " + ", ".join(f"{name} {size:.2f}" for name, size in large.items()))
    print(f"memory, MB, by rows finished: {_curve(first)}; peak while the dataset is written {_peak(first):.0f}")
    print(f"peak of the same again: all rows looked at {_peak(visited):.0f}, nothing changed {_peak(again):.0f}")


def _run(prompts: Path, out: Path) -> dict[str, Any]:
    done = run([sys.executable, "-m", "tests.benchmarks.scale_run", str(prompts), str(out), str(CONCURRENCY)])
    assert done.code == 0
    found: dict[str, Any] = json.loads(done.output)
    return found


def _row(name: str, taken: dict[str, Any], empty: dict[str, Any]) -> tuple[object, ...]:
    return (name, taken["wall_s"], taken["cpu_s"], _per_million(taken["wall_s"], empty["wall_s"]))


def _per_million(wall_s: float, start_up_s: float) -> float:
    return (start_up_s + (wall_s - start_up_s) * MILLION / ROWS) / 60


def _curve(taken: dict[str, Any]) -> str:
    driven = [(rows, mb) for rows, mb in taken["curve"] if 0 < rows < taken["rows"]]
    chosen = driven[:: max(1, len(driven) // POINTS)]
    return ", ".join(f"{rows:,}: {mb:.0f}" for rows, mb in chosen)


def _peak(taken: dict[str, Any]) -> float:
    peak: float = max((mb for _, mb in taken["curve"]), default=0.0)
    return peak


def _mb(out: Path, pattern: str) -> float:
    return sum(path.stat().st_size for path in out.glob(pattern)) / 2**20


if __name__ == "__main__":
    main()
