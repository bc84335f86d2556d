"""One run, here or on Ray, that says what driving its rows took and what writing its files took.

python -m tests.benchmarks.ray_run PROMPTS RUN URL [ADDRESS WORKERS]

Prints one JSON object: seconds of wall time, of CPU, and of CPU on the main thread, per part. Driving begins when all
workers have opened their models. CPU is that of this process, the driver's, and of nothing that it started.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from clair.api import run_async
from clair.engines.ray.cluster import join
from clair.engines.ray.fleet import Fleet
from clair.pipeline import run
from clair.pipeline.site import Site
from clair.records import Pair
from clair.settings import resolve

Times = tuple[float, float, float]


def now() -> Times:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.monotonic(), usage.ru_utime + usage.ru_stime, time.thread_time()


def main(prompts: str, out: str, url: str, address: str | None = None, workers: str = "0") -> None:
    marks: list[Times] = []
    write_run_folder = run.write_run_folder

    def writing(*arguments: Any) -> Any:
        marks.append(now())
        summary = write_run_folder(*arguments)
        marks.append(now())
        return summary

    async def site(opened: run.Opened) -> Site[Pair]:
        if address is None:
            marks.append(now())
            return await run.here(opened)
        fleet = Fleet(opened, await join(address, workers=int(workers)), seats=int(workers))
        while len(fleet._desks) < int(workers):
            await asyncio.sleep(0.05)
        marks.append(now())
        return fleet

    run.write_run_folder = writing
    models = {"target": f"target@{url}", "reviser": f"reviser@{url}"}
    run_async(run.agenerate(resolve({"prompts": prompts, "out": str(Path(out)), **models}), open_site=site))
    names = ("wall_s", "cpu_s", "main_cpu_s")
    parts = {
        part: dict(zip(names, (end - begin for begin, end in zip(*pair, strict=True)), strict=True))
        for part, pair in {"driving": marks[0:2], "writing": marks[1:3]}.items()
    }
    print(json.dumps(parts))


if __name__ == "__main__":
    main(*sys.argv[1:])
