"""The driver's side of one worker: hands it rows, keeps the answers that it buys, allows what it wants to send.

    desk = Desk(actor, opened, gates)
    serving = asyncio.create_task(desk.serve())            # until the worker is lost, or canceled
    outcome = await desk.drive(row, finished_before=False, known={})

The run's ledger, budget and limits are on this side, once. So what holds for one process holds for many: an answer is
durable before it is looked into, and money is set aside before a request is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from itertools import count
from typing import Any, Protocol

from clair.engines.ray.leave import Gate
from clair.engines.ray.mail import MOST, Pace
from clair.engines.ray.messages import (
    Charged,
    Doubt,
    Ended,
    Event,
    Keep,
    Keys,
    Leave,
    Order,
    Report,
    Settled,
    Start,
    Stop,
    Work,
)
from clair.errors import ClairError
from clair.ledger.store import StoredReply
from clair.pipeline.answers import Purchase, Stopping
from clair.pipeline.run import Opened
from clair.records import Outcome, Part, Row

FIRST_CAPACITY = 64  # rows for a worker that has not reported yet


class WorkerLost(Exception):
    """A worker is gone, or cannot be reached: why, and how many rows it had in hand."""

    rows = 0


class Actor(Protocol):
    """A `Worker` somewhere else. Every call raises WorkerLost if it is gone."""

    async def open(self, work: Work, keys: Keys) -> ClairError | None:
        """See `Worker.open`."""

    async def give(self, orders: list[Order]) -> None:
        """See `Worker.give`."""

    async def take(self) -> Report:
        """See `Worker.take`."""

    def kill(self) -> None:
        """End it, should it still be there."""


class Desk:
    """One worker that is open."""

    def __init__(
        self, actor: Actor, opened: Opened, gates: Mapping[Part, Gate], *, on_report: Callable[[], None]
    ) -> None:
        self._actor = actor
        self._answers, self._ledger, self._progress = opened.answers, opened.ledger, opened.progress
        self._gates = gates
        self._on_report = on_report
        self._orders: list[Order] = []
        self._ordered = asyncio.Event()
        self._pace = Pace()
        self._tickets = count()
        self._rows: dict[int, asyncio.Future[Outcome]] = {}
        self._charges: dict[int, asyncio.Future[Charged]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.capacity = FIRST_CAPACITY
        self.gauges: dict[Part, tuple[int, int]] = {}

    @property
    def room(self) -> int:
        """How many more rows the worker can take now."""
        return self.capacity - self.in_hand

    @property
    def in_hand(self) -> int:
        """Rows that the worker has now."""
        return len(self._rows)

    async def drive(self, row: Row, *, finished_before: bool, known: Mapping[bytes, StoredReply]) -> Outcome:
        """How the worker ends a row. Raises what kept it from ending it, WorkerLost if that is the worker's end."""
        ticket = next(self._tickets)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._rows[ticket] = future
        self._send(Start(ticket, row, finished_before, known))
        try:
            return await future
        finally:
            self._rows.pop(ticket, None)

    def stop(self) -> None:
        """The worker buys nothing more; its requests in flight finish and are kept."""
        self._send(Stop())

    async def serve(self) -> None:
        """Carry messages both ways. Ends by raising WorkerLost, after what the worker had bought is kept."""
        loops = [asyncio.create_task(self._give_all()), asyncio.create_task(self._take_all())]
        try:
            await asyncio.gather(self._broken, *loops)
        except WorkerLost as lost:
            lost.rows = self.in_hand
            raise
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await self._let_go()

    async def _let_go(self) -> None:
        for charge in self._charges.values():
            if not charge.done():
                charge.set_exception(WorkerLost())
        # A row that goes to another worker must find here what this one had sent.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for row in self._rows.values():
            if not row.done():
                row.set_exception(WorkerLost())

    async def _give_all(self) -> None:
        while True:
            await self._ordered.wait()
            await self._pace.wait()
            orders, self._orders = self._orders[:MOST], self._orders[MOST:]
            if not self._orders:
                self._ordered.clear()
            self._pace.sent(len(orders))
            await self._actor.give(orders)

    async def _take_all(self) -> None:
        while True:
            report = await self._actor.take()
            self.capacity, self.gauges = report.capacity, report.gauges
            self._progress.cost_usd += report.cost_usd
            self._progress.cost_known &= report.cost_known
            self._hear(report.events)
            self._on_report()

    def _hear(self, events: list[Event]) -> None:
        to_keep: list[Keep | Doubt] = []
        for event in events:
            if isinstance(event, Keep | Doubt):
                to_keep.append(event)
            elif isinstance(event, Ended):
                self._end(event)
            elif isinstance(event, Leave):
                self._spawn(self._grant(event))
            elif isinstance(event, Charged):
                self._charges[event.number].set_result(event)
            else:
                self._gates[event.part].settle(event)
        if to_keep:
            self._spawn(self._keep(to_keep))

    def _end(self, ended: Ended) -> None:
        row = self._rows.get(ended.ticket)
        if row is None or row.done():
            return
        if ended.outcome is not None:
            row.set_result(ended.outcome)
        else:
            row.set_exception(ended.failure or AssertionError("a row ended in no way"))

    async def _keep(self, events: list[Keep | Doubt]) -> None:
        numbers = [event.number for event in events]
        try:
            await asyncio.gather(*map(self._kept, events))
        except ClairError as failure:
            self._send(Settled(numbers, failure))
        else:
            self._progress.bought += sum(isinstance(event, Keep) for event in events)
            self._send(Settled(numbers))

    async def _kept(self, event: Keep | Doubt) -> None:
        if isinstance(event, Doubt):
            await self._ledger.doubt(event.usd, count=event.requests)
            return
        _, key, *_ = event
        values = event._asdict()
        del values["number"], values["key"]
        await self._ledger.put(key, **values)

    async def _grant(self, leave: Leave) -> None:
        """Let one try through, and account for it when it has ended."""
        try:
            await self._gates[leave.part].passage(leave.tokens)
            async with self._answers.paying(Purchase(leave.part, {}, leave.worst_usd, leave.reserved_usd)) as charge:
                charge.usd = None  # from here on it may be charged, whatever becomes of the worker
                ended: asyncio.Future[Charged] = asyncio.get_running_loop().create_future()
                self._charges[leave.number] = ended
                self._send(Settled([leave.number]))
                try:
                    _, charge.usd, charge.answered = await ended
                finally:
                    del self._charges[leave.number]
        except WorkerLost:
            pass
        except (ClairError, Stopping) as refusal:
            self._send(Settled([leave.number], refusal))

    def _send(self, order: Order) -> None:
        self._orders.append(order)
        self._ordered.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        mistake = None if task.cancelled() else task.exception()
        if mistake is not None and not self._broken.done():
            self._broken.set_exception(mistake)
