"""Ray: the only file here that knows it. Joins a cluster, or starts one on this machine, and runs workers as actors.

A worker takes one CPU of Ray's count and is started where there is one free, spread over the machines. API keys go to
it in a call, never in its constructor or its runtime environment: those are kept and shown by Ray.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from importlib import import_module
from types import ModuleType
from typing import Any

from clair.engines.ray.desk import WorkerLost
from clair.engines.ray.messages import Keys, Order, Report, Work
from clair.engines.ray.worker import Worker
from clair.errors import ClairError, RunStopped, UsageError

INSTALL = "pip install 'clair[ray]'"
CONNECT_S = 5.0


def imported() -> ModuleType:
    """Ray. Raises UsageError if it is not installed."""
    try:
        return import_module("ray")
    except ImportError as error:
        raise UsageError(f"--engine ray needs Ray, which is not installed ({error}). Install it: {INSTALL}") from error


async def join(address: str | None, *, workers: int | None) -> RayCluster:
    """Connect to the cluster at `address`; None is $RAY_ADDRESS, or else a Ray of this process with room for `workers`.

    Raises UsageError if there is none or it cannot be joined.
    """
    ray = imported()
    if ray.is_initialized():
        return RayCluster(ray, mine=False)
    address = address or os.environ.get("RAY_ADDRESS") or None
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address is None:
        # Nothing about a run leaves this machine that the user did not ask for.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        cpus = max(workers or 1, os.cpu_count() or 1)
        options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
    else:
        await _look(address)
        options["address"] = address
    try:
        # In a thread: it takes seconds, and in the main one it would take the place of the handler of SIGTERM.
        await asyncio.to_thread(ray.init, **options)
    except Exception as error:
        what = "Ray cannot be started on this machine" if address is None else f"{_name(address)} cannot be joined"
        raise UsageError(f"{what}: {_first_line(error)}") from error
    return RayCluster(ray, mine=True)


async def _look(address: str) -> None:
    """Refuse an address of another kind, and one where nothing listens: Ray itself would try for a minute."""
    if address.startswith("ray://"):
        raise UsageError(
            f"--address {address!r} is one of Ray Client's. Run the command on a machine of the cluster with "
            "--address auto, or submit it as a job: ray job submit -- clair generate --engine ray ..."
        )
    host, colon, port = address.rpartition(":")
    if not colon:
        return
    if not port.isdecimal():
        raise UsageError(f"--address {address!r}: expected HOST:PORT of the cluster's head, or auto")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), CONNECT_S)
    except (OSError, asyncio.TimeoutError, OverflowError) as error:
        raise UsageError(
            f"{_name(address)} does not answer ({_first_line(error)}). Is it running (ray start --head), and is this "
            "the address it printed?"
        ) from error
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _name(address: str) -> str:
    return f"the Ray cluster at {address!r}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class RayCluster:
    """A cluster that this process is connected to; `mine` if it connected for this run."""

    def __init__(self, ray: ModuleType, *, mine: bool) -> None:
        self._ray = ray
        self._mine = mine
        self._actor_class = ray.remote(Worker).options(num_cpus=1, max_restarts=0, scheduling_strategy="SPREAD")

    @property
    def machines(self) -> int:
        """Machines that can run a worker, at least one."""
        alive = [node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
        return max(1, len(alive))

    def hire(self) -> RayActor:
        """Start a worker, as soon as there is a CPU for it."""
        return RayActor(self._ray, self._actor_class.remote())

    async def aclose(self) -> None:
        """Leave the cluster; a Ray of this process ends."""
        if self._mine:
            self._mine = False
            await asyncio.to_thread(self._ray.shutdown)


class RayActor:
    """One worker, reached through Ray."""

    def __init__(self, ray: ModuleType, handle: Any) -> None:
        self._ray = ray
        self._handle = handle

    async def open(self, work: Work, keys: Keys) -> ClairError | None:
        """See `Worker.open`."""
        return await self._result(self._handle.open.remote(work, keys))  # type: ignore[no-any-return]

    async def give(self, orders: list[Order]) -> None:
        """See `Worker.give`."""
        await self._result(self._handle.give.remote(orders))

    async def take(self) -> Report:
        """See `Worker.take`."""
        return await self._result(self._handle.take.remote())  # type: ignore[no-any-return]

    def kill(self) -> None:
        """End it, should it still be there."""
        with contextlib.suppress(Exception):
            self._ray.kill(self._handle)

    async def _result(self, reference: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return await reference
        except errors.RayTaskError as mistake:
            raise RunStopped(f"a worker failed:\n{mistake}") from mistake
        except errors.RayError as lost:
            if "ModuleNotFoundError" in str(lost):
                raise RunStopped(f"a machine of the Ray cluster cannot load clair: install {INSTALL} there") from lost
            raise WorkerLost(_first_line(lost)) from lost
