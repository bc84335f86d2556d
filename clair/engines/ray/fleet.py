"""The workers of a run, as the place where its rows are driven.

One process, the driver, reads the input in order, decides on duplicates, near-duplicates and contamination, counts
pairs, holds the ledger and writes the dataset: all that must be decided once is decided once, by the code of a run in
one process. A row is first driven over the ledger, which holds all that was bought for it (a tenth of a millisecond if
that is nothing), and then goes to whichever worker has most room, with the answers found there. So does the row of a
worker that is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn, Protocol

import clair
from clair.endpoints.endpoint import Endpoint
from clair.engines.ray.desk import Actor, Desk, WorkerLost
from clair.engines.ray.leave import Gate
from clair.engines.ray.messages import Keys, Work
from clair.engines.ray.replay import FromLedger, Missing
from clair.errors import RunStopped
from clair.ledger.store import StoredReply
from clair.pipeline.answers import Stopping
from clair.pipeline.parts import environment_of
from clair.pipeline.run import Opened, gauges_of
from clair.pipeline.site import Here
from clair.recipes.catalog import RECIPES
from clair.records import Outcome, Pair, Part, Row
from clair.settings import GenerateSettings

ROWS_AHEAD = 8  # rows that are ready when a worker comes
LOSSES = 5  # workers lost in a row, without one row finished in between, that end the run
PATIENCE_S = 20.0  # without a worker, before that is said
PAUSE_S = 1.0  # before a worker is replaced, times the losses in a row


class Cluster(Protocol):
    """Where workers are started."""

    def hire(self) -> Actor:
        """Start a worker, as soon as there is room for it; its first call waits for that."""

    async def aclose(self) -> None:
        """Let go of the cluster and of all workers."""


class Fleet:
    """The site of a run on `cluster`, with `seats` workers. A lost worker is replaced."""

    def __init__(self, opened: Opened, cluster: Cluster, *, seats: int) -> None:
        self._opened = opened
        self._cluster = cluster
        self._gates = gates_of(opened.settings, opened.endpoints)
        self._desks: list[Desk] = []
        self._changed = asyncio.Event()
        self._on_room: Callable[[], None] = lambda: None
        self._failure: Exception | None = None
        self._losses = 0
        self._asked: dict[bytes, asyncio.Future[None]] = {}
        self._keys = Keys(opened.ledger.secret, environment_of(opened.settings))
        shown = gauges_of(opened.endpoints)
        opened.progress.gauges = {part: Gauge(self._desks, part) for part in opened.endpoints if part in shown}
        self._tasks = [asyncio.create_task(self._tend(work)) for work in shares(opened, seats)]
        self._tasks.append(asyncio.create_task(self._note_if_idle()))

    @property
    def stopping(self) -> bool:
        """Whether nothing more is bought."""
        return self._opened.answers.stopping

    def stop(self) -> None:
        """Buy nothing more; what is in flight anywhere finishes and is kept."""
        self._opened.answers.stop()
        for gate in self._gates.values():
            gate.close()
        for desk in self._desks:
            desk.stop()
        self._wake()

    def capacity(self) -> int:
        """What all workers can have in hand; nothing while enough requests wait for a limit that they share."""
        if any(gate.waiting > ROWS_AHEAD for gate in self._gates.values()):
            return 0
        return ROWS_AHEAD + sum(desk.capacity for desk in self._desks)

    def on_room(self, call: Callable[[], None]) -> None:
        """Call this when a worker is new, or has reported that it can take more."""
        self._on_room = call

    async def drive(self, row: Row, *, finished_before: bool) -> Outcome:
        """How the row ends, see `Site`."""
        while True:
            known: dict[bytes, StoredReply] = {}
            try:
                return await self._replayed(row, known, finished_before=finished_before)
            except Missing as missing:
                key = missing.key
            if key in self._asked:
                await asyncio.shield(self._asked[key])
                continue
            with suppress(WorkerLost), self._asking(key):
                desk = await self._free_desk()
                outcome = await desk.drive(row, finished_before=finished_before, known=known)
                self._losses = 0
                return outcome

    @contextmanager
    def _asking(self, key: bytes) -> Iterator[None]:
        """Rows with the same question wait: whichever worker they went to, it would buy the answer once more."""
        ended = self._asked[key] = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            del self._asked[key]
            ended.set_result(None)

    async def aclose(self) -> None:
        """End all workers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._cluster.aclose()

    async def _replayed(self, row: Row, known: dict[bytes, StoredReply], *, finished_before: bool) -> Outcome:
        """The row driven over the ledger alone; `known` gets the answers found. Raises Missing where one is missing."""
        opened = self._opened
        site: Here[Pair] = Here(
            RECIPES[opened.settings.recipe].run,
            opened.plan,
            FromLedger(opened.ledger, opened.endpoints, known),
            capacity=lambda: 1,
            checker=opened.checker,
        )
        return await site.drive(row, finished_before=finished_before)

    async def _free_desk(self) -> Desk:
        """The worker with most room, once there is one. Raises Stopping, or what keeps workers from working."""
        while True:
            if self._failure is not None:
                raise self._failure
            if self.stopping:
                raise Stopping
            if self._desks:
                return max(self._desks, key=lambda desk: desk.room)
            self._changed.clear()
            await self._changed.wait()

    async def _tend(self, work: Work) -> None:
        """Keep one worker at work: start it, serve it, and replace it when it is lost."""
        while self._failure is None:
            actor = self._cluster.hire()
            try:
                failure = await actor.open(work, self._keys)
                if failure is not None:
                    self._fail(failure)
                    return
                await self._serve(actor)
            except WorkerLost as lost:
                await self._replace(lost)
            except Exception as mistake:
                self._fail(mistake)
            finally:
                actor.kill()

    async def _serve(self, actor: Actor) -> NoReturn:
        desk = Desk(actor, self._opened, self._gates, on_report=self._on_room)
        if self.stopping:
            desk.stop()
        self._desks.append(desk)
        self._wake()
        try:
            await desk.serve()
        finally:
            self._desks.remove(desk)
        raise AssertionError("a desk is served until its worker is lost")

    async def _replace(self, lost: WorkerLost) -> None:
        self._losses += 1
        if self._losses >= LOSSES:
            self._fail(
                RunStopped(
                    f"{self._losses} workers were lost one after the other, the last one because: {lost}. What was "
                    f"bought is in {self._opened.settings.out}; the same command goes on from there"
                )
            )
            return
        self._opened.progress.notes.append(f"a worker was lost; its {lost.rows} rows go to others: {lost}")
        await asyncio.sleep(PAUSE_S * self._losses)

    async def _note_if_idle(self) -> None:
        await asyncio.sleep(PATIENCE_S)
        if not self._desks:
            self._opened.progress.notes.append("waiting for Ray: a worker needs a machine with a free CPU")

    def _fail(self, failure: Exception) -> None:
        """No worker can work: rows that have none raise why, which stops the run. The others finish theirs."""
        self._failure = self._failure or failure
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._on_room()


class Gauge:
    """What all workers together have in flight to one model."""

    def __init__(self, desks: Sequence[Desk], part: Part) -> None:
        self._desks = desks
        self._part = part

    @property
    def in_flight(self) -> int:
        """Requests sent and not answered yet."""
        return sum(desk.gauges.get(self._part, (0, 0))[0] for desk in self._desks)

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return sum(desk.gauges.get(self._part, (0, 0))[1] for desk in self._desks)


def gates_of(settings: GenerateSettings, endpoints: Mapping[Part, Endpoint]) -> dict[Part, Gate]:
    """The limits per minute of each model; one that is asked in two roles has them once."""
    gates: dict[int, Gate] = {}
    return {
        part: gates.setdefault(id(endpoint.stats), Gate(rpm=settings.rpm, tpm=settings.tpm))
        for part, endpoint in endpoints.items()
    }


def shares(opened: Opened, seats: int) -> list[Work]:
    """What each worker is told. `concurrency` is dealt out; limits per minute and the budget stay with the driver."""
    settings = opened.settings
    limits: list[int | None] = [None] * seats
    if settings.concurrency is not None:
        limits = [(settings.concurrency + seat) // seats for seat in range(seats)]
    return [
        Work(
            settings.model_copy(update={"concurrency": limit, "rpm": None, "tpm": None}),
            templates=opened.templates,
            constitution=opened.constitution,
            checker=opened.checker.version if opened.checker else None,
            names={part: endpoint.identity for part, endpoint in opened.endpoints.items()},
            asks_leave=any(value is not None for value in (settings.rpm, settings.tpm, settings.max_cost)),
            version=clair.__version__,
        )
        for limit in limits
    ]
