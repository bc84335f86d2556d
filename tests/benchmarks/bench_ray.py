"""`--engine ray` beside one process on this machine: throughput, and what a row costs the driver and a worker.

A machine is one of Ray's simulation (`tests.engines.ray.nodes`), so driver, workers, Ray and the models' server share
this machine's cores: with two of them, more workers are hardly faster. The CPU times are what counts: a driver's CPU
per row bounds what any number of machines can do, a worker's says how many workers it takes to get there.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType

from tests.benchmarks.measure import run, server, table
from tests.engines.ray.nodes import Nodes
from tests.servers.world import write_prompts

ROWS = int(os.environ.get("CLAIR_RAY_ROWS", "4000"))
MACHINES = 16
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
HEADER = ("rows/s while driven", "CPU ms/row", "on its main thread", "CPU ms/row of workers", "writing files, ms/row")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        prompts = write_prompts(Path(folder, "prompts.jsonl"), ROWS)
        with server("tests.servers.world", "--latency", "0.05") as url:
            rows = [("one process", *_measured(prompts, Path(folder, "here"), url))]
            for workers in (1, 2):
                with Nodes(workers) as nodes:
                    out = Path(folder, f"there-{workers}")
                    found = _measured(prompts, out, url, nodes.address, str(workers))
                rows.append((f"{workers} worker{'s' * (workers > 1)}", *found))
    table((f"{ROWS:,} rows, 50 ms latency", *HEADER), rows)
    _work_out(driver_ms=rows[-1][2], main_ms=rows[-1][3], worker_ms=rows[-1][4])


def _work_out(*, driver_ms: float, main_ms: float, worker_ms: float) -> None:
    each, lowest, highest = 1000 / worker_ms, 1000 / driver_ms, 1000 / main_ms
    print(f"\nworked out: a worker with a core to itself drives {each:,.0f} rows/s; a driver hands out {lowest:,.0f}")
    print(f"rows/s on one core, and up to {highest:,.0f} with cores for its ledger's and Ray's threads.")
    print(f"{MACHINES} machines with one worker each: {min(MACHINES * each, lowest):,.0f}", end=" to ")
    print(f"{min(MACHINES * each, highest):,.0f} rows/s, as the driver's machine has cores.")


def _measured(prompts: Path, out: Path, url: str, *where: str) -> tuple[float, float, float, float, float]:
    with WorkerTime() as workers:
        done = run([sys.executable, "-m", "tests.benchmarks.ray_run", str(prompts), str(out), url, *where])
    assert done.code == 0
    found = json.loads(done.output)
    driving, writing = found["driving"], found["writing"]
    per_row = [1000 * seconds / ROWS for seconds in (driving["cpu_s"], driving["main_cpu_s"], workers.cpu_s)]
    return (ROWS / driving["wall_s"], per_row[0], per_row[1], per_row[2], 1000 * writing["cpu_s"] / ROWS)


class WorkerTime:
    """The CPU seconds that Ray's workers use meanwhile."""

    def __init__(self) -> None:
        self._seen: dict[str, list[float]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def cpu_s(self) -> float:
        """Over all workers, without what each had used when it was first seen: what it takes to start."""
        return sum(times[-1] - times[0] for times in self._seen.values())

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    if not (folder / "cmdline").read_bytes().startswith(b"ray::Worker"):
                        continue
                    fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                self._seen.setdefault(folder.name, []).append((int(fields[11]) + int(fields[12])) * TICK_S)

    def __enter__(self) -> WorkerTime:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()


if __name__ == "__main__":
    main()
