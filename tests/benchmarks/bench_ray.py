"""`--engine ray` beside one process on this machine: throughput, and what a row costs the driver and a worker.

A machine is one of Ray's simulation (`tests.engines.ray.nodes`), so driver, workers, Ray and the models' server share
this machine's cores: with two of them, more workers cannot be faster. The CPU times are what counts: a driver's CPU
per row bounds what any number of machines can do, a worker's says how many workers it takes to get there.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType

from tests.benchmarks.measure import Cost, run, server, table
from tests.engines.ray.nodes import Nodes
from tests.servers.world import write_prompts

ROWS = int(os.environ.get("CLAIR_RAY_ROWS", "4000"))
MACHINES = 16
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        prompts = write_prompts(Path(folder, "prompts.jsonl"), ROWS)
        one = write_prompts(Path(folder, "one.jsonl"), 1)
        with server("tests.servers.world", "--latency", "0.05") as url:
            alone = _per_row(*(_generate(file, url, Path(folder, file.stem)) for file in (prompts, one)))
            rows: list[tuple[object, ...]] = [("one process", *alone, None)]
            for workers in (1, 2):
                rows.append((f"{workers} worker{'s' * (workers > 1)}", *_on_ray(prompts, one, url, workers)))
    table((f"{ROWS:,} rows, 50 ms latency", "rows/s", "CPU ms/row of the command", "CPU ms/row of workers"), rows)
    driver_ms, worker_ms = (float(str(cell)) for cell in rows[1][2:])
    bound, each = 1000 / driver_ms, 1000 / worker_ms
    print(f"\nworked out: a worker with a core to itself {each:,.0f} rows/s, a driver with one {bound:,.0f} rows/s;")
    print(f"{MACHINES} machines with one worker each: {min(bound, MACHINES * each):,.0f} rows/s")


def _on_ray(prompts: Path, one: Path, url: str, workers: int) -> tuple[float, float, float]:
    with Nodes(workers) as nodes:
        ray = ("--engine", "ray", "--address", nodes.address, "--workers", str(workers))
        idle = _generate(one, url, one.parent / f"one-{workers}", *ray)
        with WorkerTime() as time:
            busy = _generate(prompts, url, prompts.parent / f"run-{workers}", *ray)
    return (*_per_row(busy, idle), time.cpu_s * 1000 / ROWS)


def _per_row(busy: Cost, idle: Cost) -> tuple[float, float]:
    """Rows a second once everything is up, and the CPU of the command for each, in ms."""
    return (ROWS / (busy.wall_s - idle.wall_s), (busy.cpu_s - idle.cpu_s) * 1000 / ROWS)


def _generate(prompts: Path, url: str, out: Path, *more: str) -> Cost:
    command = [sys.executable, "-m", "clair", "generate", str(prompts), "-o", str(out), "--json"]
    done = run([*command, "--target", f"target@{url}", "--reviser", f"reviser@{url}", *more])
    assert done.code == 0
    return done


class WorkerTime:
    """The CPU seconds that Ray's workers use meanwhile, from the moment they have opened their models."""

    def __init__(self) -> None:
        self._seen: dict[str, list[float]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def cpu_s(self) -> float:
        """Over all workers, without what they take to start: about as much as an idle one."""
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
