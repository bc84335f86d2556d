"""The engine: pulls rows, drives each through its recipe, and commits exactly one outcome per row.

Each row is a task of its own; there are no batches and no barrier between stages, so a row's revision is asked for the
moment its sample is there. Memory holds the rows in flight and nothing else.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from typing import Generic, NamedTuple

from clair.contrast import Gate
from clair.errors import RowFailure
from clair.ledger.claims import Kind
from clair.ledger.database import damaged
from clair.ledger.store import Ledger, StoredOutcome
from clair.pipeline.answers import Pending, Stopping
from clair.pipeline.progress import Progress
from clair.pipeline.site import Made, Site
from clair.recipes.base import Draft, Plan
from clair.records import RETRYABLE, Reject, Row, Spent


@dataclass(frozen=True, slots=True)
class Codec(Generic[Made]):
    """How outcomes are kept in the ledger."""

    encode: Callable[[Made | Reject], bytes]
    decode: Callable[[bytes], Made | Reject]


class Derivation(NamedTuple):
    """What outcomes are computed with, besides the answers: the gate, the parser's version, how often is asked, and
    the checker's source."""

    gate: Gate
    allow_talk: bool
    parser: int
    max_attempts: int
    checker: str | None = None

    @property
    def text(self) -> str:
        """The ledger's name for it."""
        checker = [] if self.checker is None else [self.checker]
        return json.dumps([asdict(self.gate), self.allow_talk, self.parser, self.max_attempts, *checker])

    def settles(self, attempts: int) -> bool:
        """Whether a row finished with so many attempts gets no further ones: it had as many as are allowed now."""
        return self.max_attempts <= attempts


def _of_refusal(refusal: RowFailure, attempts: int) -> str:
    """The derivation of a row that is turned away unasked: nothing matters but why.

    It keeps how many attempts the row was finished with before, should another invocation let it in again.
    """
    return json.dumps(["refused", refusal.reason, refusal.detail, attempts])


@lru_cache(maxsize=256)
def _attempts(derivation: str) -> int:
    """Raises ValueError, TypeError or LookupError if that is none."""
    attempts = json.loads(derivation)[3]
    if not isinstance(attempts, int):
        raise TypeError(attempts)
    return attempts


class Todo(NamedTuple):
    """A row to be driven, or to be turned away if there is a `refusal`.

    `earlier` is the number of attempts with which an earlier invocation finished it, None if none did; with
    `finished_before`, further attempts are not bought for it. `derivation` is that of the outcome to come, `spent` what
    a row that is refused now was bought for earlier.
    """

    row: Row
    refusal: RowFailure | None
    derivation: str
    finished_before: bool = False
    earlier: int | None = None
    spent: Spent = Spent()


READ_AHEAD = 64  # rows read per visit to the reading thread: enough to hide its latency, too few to weigh anything


class Engine(Generic[Made]):
    """One invocation over one stream of rows, driven at `site`.

    `derivation` is what outcomes come from besides the answers; `refuse` says of each row, in input order, why it is
    turned away unasked, or None.
    """

    def __init__(
        self,
        rows: Iterator[Row],
        *,
        site: Site[Made],
        codec: Codec[Made],
        plan: Plan,
        ledger: Ledger,
        derivation: Derivation,
        progress: Progress,
        refuse: Callable[[Row], RowFailure | None],
        target_pairs: int | None = None,
    ) -> None:
        self._rows = rows
        self._site = site
        self._codec = codec
        self.plan = plan
        self._ledger = ledger
        self._derivation = derivation
        self._derived_by = derivation.text
        self._progress = progress
        self._target_pairs = target_pairs
        self._refuse = refuse
        self._buffer: list[tuple[Row, RowFailure | None]] = []
        self._freed = asyncio.Event()
        site.on_room(self._freed.set)
        self._failure: Exception | None = None
        self._unvisited = 0
        self._waiting = 0

    async def run(self) -> None:
        """Finish every row, or as many as can be finished; then raise what stopped the run, if anything did."""
        self._unvisited = self._ledger.begin_pass()
        in_flight: set[asyncio.Task[None]] = set()
        try:
            await self._start_all(in_flight)
            await asyncio.gather(*in_flight)
        finally:
            for task in in_flight:
                task.cancel()
            await asyncio.gather(*in_flight, return_exceptions=True)
        if self._failure is not None:
            raise self._failure

    def stop(self, failure: Exception | None = None) -> None:
        """Buy nothing more. Requests in flight finish and are committed; the first failure given is the one raised."""
        self._site.stop()
        self._progress.draining = True
        if self._failure is None:
            self._failure = failure

    async def _start_all(self, in_flight: set[asyncio.Task[None]]) -> None:
        try:
            while (found := await self._next()) is not None:
                todo = self._todo(*found)
                if todo is not None:
                    self._progress.rows_in_flight += 1
                    task = asyncio.create_task(self._process(todo))
                    in_flight.add(task)
                    task.add_done_callback(in_flight.discard)
        except Exception as failure:
            self.stop(failure)

    async def _process(self, todo: Todo) -> None:
        try:
            await self._commit(todo.row, await self._end(todo), todo.derivation)
        except Stopping as waits:
            self._waiting += isinstance(waits, Pending)
            await self._regate(todo)
        except Exception as failure:
            self.stop(failure)
            await self._regate(todo)
        finally:
            self._progress.rows_in_flight -= 1
            self._freed.set()

    async def _regate(self, todo: Todo) -> None:
        """Bring a row that waits for further attempts up to date with the answers that it has.

        Or the dataset of a stopped run would hold a pair that the gate refuses now.
        """
        if todo.earlier is None:
            return
        try:
            outcome = await self._end(todo._replace(finished_before=True))
            await self._commit(todo.row, outcome, self._derivation._replace(max_attempts=todo.earlier).text)
        except Stopping:
            pass
        except Exception as failure:
            self.stop(failure)

    async def _next(self) -> tuple[Row, RowFailure | None] | None:
        """The next row, once there is room for it, and why it is refused if it is; None at the end of the input or of
        what was asked for.
        """
        while not self._satisfied and self._full():
            self._freed.clear()
            await self._freed.wait()
        if self._satisfied or (self._site.stopping and self._unvisited <= 0):
            return None
        if not self._buffer:
            self._buffer = await asyncio.to_thread(self._read)
            self._buffer.reverse()
        return self._buffer.pop() if self._buffer else None

    def _read(self) -> list[tuple[Row, RowFailure | None]]:
        return [(row, self._refuse(row)) for row in islice(self._rows, READ_AHEAD)]

    @property
    def _satisfied(self) -> bool:
        return self._target_pairs is not None and self._progress.pairs + self._waiting >= self._target_pairs

    def _full(self) -> bool:
        """With `target_pairs`, a row starts only while pairs so far and rows in flight together are fewer. So exactly
        the shortest stretch of the input that holds that many pairs is processed, whatever the timing. A row that waits
        for a later pass may become a pair there.
        """
        rows = self._progress.rows_in_flight
        return rows >= self._site.capacity() or (
            self._target_pairs is not None and self._progress.pairs + self._waiting + rows >= self._target_pairs
        )

    def _todo(self, row: Row, refusal: RowFailure | None) -> Todo | None:
        """What is to be done for a row, None if an earlier invocation finished it under the same derivation."""
        if row.problem is not None:
            refusal = RowFailure("bad_row", row.problem, stage="sample")
        if not self._ledger.claim(row.id, row.ordinal):
            refusal = RowFailure("duplicate_prompt", "an earlier row has the same prompt", stage="sample")
            row = dataclasses.replace(row, id=f"{row.id}-{row.ordinal}")
            self._ledger.claim(row.id, row.ordinal)
        stored = self._ledger.outcome(row.id)
        todo = Todo(row, refusal, self._derived_by if refusal is None else _of_refusal(refusal, 0))
        return todo if stored is None else self._again(todo, stored)

    def _again(self, todo: Todo, stored: StoredOutcome) -> Todo | None:
        """The same for a row that an earlier invocation left with an outcome."""
        self._unvisited -= 1
        settled = stored.reason not in RETRYABLE
        attempts = self._attempts_of(stored)
        if todo.refusal is not None:
            spent = self._codec.decode(stored.body).spent
            derivation = _of_refusal(todo.refusal, attempts if settled else 0)
            todo = todo._replace(derivation=derivation, spent=spent)
        if settled and stored.derivation == todo.derivation:
            self._progress.record(stored.kind, stored.reason, resumed=True)
            return None
        finished = settled and self._derivation.settles(attempts)
        return todo._replace(finished_before=finished, earlier=attempts)

    def _attempts_of(self, stored: StoredOutcome) -> int:
        try:
            return _attempts(stored.derivation)
        except (ValueError, TypeError, LookupError) as error:
            words = f"a row ended under the derivation {stored.derivation[:100]!r}"
            raise damaged(self._ledger.path, words) from error

    async def _end(self, todo: Todo) -> Made | Reject:
        if todo.refusal is None:
            return await self._site.drive(todo.row, finished_before=todo.finished_before)
        draft = Draft(todo.row, self.plan)
        draft.spent = todo.spent
        return draft.reject(todo.refusal)

    async def _commit(self, row: Row, outcome: Made | Reject, derivation: str) -> None:
        reason = outcome.reason if isinstance(outcome, Reject) else None
        kind: Kind = "pair" if reason is None else "reject"
        await self._ledger.put_outcome(
            row.id,
            row.ordinal,
            kind=kind,
            reason=reason,
            body=self._codec.encode(outcome),
            derivation=derivation,
        )
        self._progress.record(kind, reason)
