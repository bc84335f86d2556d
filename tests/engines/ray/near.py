"""A cluster in this process: what the driver does with workers, without the seconds that Ray takes to start.

Real: fleet, desks, workers, their messages (pickled and unpickled), the whole pipeline on both sides. Double: Ray.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clair.engines.ray.desk import WorkerLost
from clair.engines.ray.fleet import Fleet
from clair.engines.ray.messages import Keys, Order, Report, Work
from clair.engines.ray.worker import Worker
from clair.errors import ClairError
from clair.pipeline.progress import Progress
from clair.pipeline.run import Opened, agenerate
from clair.settings import resolve


class NearCluster:
    """Starts workers here. `workers` are those that were ever started."""

    def __init__(self, *, doomed: bool = False) -> None:
        self.workers: list[NearActor] = []
        self.closed = False
        self._doomed = doomed

    def hire(self) -> NearActor:
        actor = NearActor()
        self.workers.append(actor)
        if self._doomed:
            actor.kill()
        return actor

    async def aclose(self) -> None:
        """Close what the processes' end would close."""
        self.closed = True
        for actor in self.workers:
            rows = [*actor._worker._rows]
            for row in rows:
                row.cancel()
            await asyncio.gather(*rows, return_exceptions=True)
            await actor._worker._stack.aclose()


class NearActor:
    """A worker here, that can be killed as a process can."""

    def __init__(self) -> None:
        self._worker = Worker()
        self._dead = asyncio.Event()
        self.rows = 0

    async def open(self, work: Work, keys: Keys) -> ClairError | None:
        return await self._call(self._worker.open, work, keys)  # type: ignore[no-any-return]

    async def give(self, orders: list[Order]) -> None:
        await self._call(self._worker.give, orders)

    async def take(self) -> Report:
        return await self._call(self._worker.take)  # type: ignore[no-any-return]

    def kill(self) -> None:
        """No request goes on, nothing more is said."""
        self._dead.set()
        for row in self._worker._rows:
            row.cancel()

    async def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        call = asyncio.ensure_future(method(*pickle.loads(pickle.dumps(arguments))))
        death = asyncio.ensure_future(self._dead.wait())
        try:
            await asyncio.wait({call, death}, return_when=asyncio.FIRST_COMPLETED)
            if self._dead.is_set():
                raise WorkerLost("killed by the test")
            return pickle.loads(pickle.dumps(call.result()))
        finally:
            call.cancel()
            death.cancel()


def run_near(
    cluster: NearCluster, out: Path, *, seats: int = 2, meanwhile: Any = None, **options: Any
) -> tuple[Any, Progress]:
    """`clair.generate` with workers in this process; `meanwhile(stop)` runs beside it."""
    progress = Progress()
    stops: list[Callable[[], None]] = []

    async def fleet(opened: Opened) -> Fleet:
        return Fleet(opened, cluster, seats=seats)

    async def main() -> Any:
        beside = asyncio.ensure_future(meanwhile(stops)) if meanwhile else None
        try:
            settings = resolve({**options, "out": str(out)})
            return await agenerate(settings, progress=progress, on_stop=stops.append, open_site=fleet)
        finally:
            if beside is not None:
                beside.cancel()

    return asyncio.run(main()), progress
