"""The engine: pulls rows, drives each through its recipe, and commits exactly one outcome per row.

Each row is a task of its own; there are no batches and no barrier between stages, so a row's revision is asked for the
moment its sample is there. Memory holds the rows in flight and nothing else.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import NamedTuple

from clair.contrast import Gate
from clair.dataset.codec import encode_outcome
from clair.errors import RowFailure
from clair.ledger.store import Ledger
from clair.pipeline.answers import Answers, Stopping
from clair.pipeline.progress import Progress
from clair.recipes.base import Draft, Plan, Steps
from clair.records import RETRYABLE, Ask, Completion, Outcome, Pair, Row


class Derivation(NamedTuple):
    """What outcomes are computed with, besides the answers: the gate, the parser's version, how often is asked."""

    gate: Gate
    allow_talk: bool
    parser: int
    max_attempts: int

    @property
    def text(self) -> str:
        """The ledger's name for it."""
        return json.dumps([asdict(self.gate), self.allow_talk, self.parser, self.max_attempts])

    def settles(self, earlier: str) -> bool:
        """Whether a row finished under `earlier` gets no further attempts: it had as many as are allowed now."""
        return self.max_attempts <= _attempts(earlier)

    def without_further_attempts(self, earlier: str) -> Derivation:
        """What a row is derived with that has no more attempts than it had under `earlier`."""
        return self._replace(max_attempts=_attempts(earlier))


def _attempts(derivation: str) -> int:
    return int(json.loads(derivation)[3])


class Todo(NamedTuple):
    """A row to be driven.

    `earlier` is the derivation under which an earlier invocation finished it, None if none did; with
    `finished_before`, further attempts are not bought for it.
    """

    row: Row
    duplicate: bool
    finished_before: bool
    earlier: str | None


READ_AHEAD = 64  # rows read per visit to the reading thread: enough to hide its latency, too few to weigh anything


class Engine:
    """One invocation over one stream of rows. `derivation` is what outcomes come from besides the answers."""

    def __init__(
        self,
        rows: Iterator[Row],
        *,
        recipe: Callable[[Row, Plan], Steps],
        plan: Plan,
        answers: Answers,
        ledger: Ledger,
        derivation: Derivation,
        progress: Progress,
        target_pairs: int | None = None,
    ) -> None:
        self._rows = rows
        self._recipe = recipe
        self.plan = plan
        self._answers = answers
        self._ledger = ledger
        self._derivation = derivation
        self._progress = progress
        self._target_pairs = target_pairs
        self._buffer: list[Row] = []
        self._freed = asyncio.Event()
        self._failure: Exception | None = None
        self._unvisited = 0

    async def run(self, capacity: Callable[[], int]) -> None:
        """Finish every row, or as many as can be finished; then raise what stopped the run, if anything did.

        `capacity` says how many rows may be in flight now.
        """
        self._unvisited = self._ledger.begin_pass()
        in_flight: set[asyncio.Task[None]] = set()
        try:
            await self._start_all(capacity, in_flight)
            await asyncio.gather(*in_flight)
        finally:
            for task in in_flight:
                task.cancel()
            await asyncio.gather(*in_flight, return_exceptions=True)
        if self._failure is not None:
            raise self._failure

    def stop(self, failure: Exception | None = None) -> None:
        """Buy nothing more. Requests in flight finish and are committed; the first failure given is the one raised."""
        self._answers.stop()
        self._progress.draining = True
        if self._failure is None:
            self._failure = failure

    async def _start_all(self, capacity: Callable[[], int], in_flight: set[asyncio.Task[None]]) -> None:
        try:
            while (row := await self._next(capacity)) is not None:
                todo = self._todo(row)
                if todo is not None:
                    self._progress.rows_in_flight += 1
                    task = asyncio.create_task(self._process(todo))
                    in_flight.add(task)
                    task.add_done_callback(in_flight.discard)
        except Exception as failure:
            self.stop(failure)

    async def _process(self, todo: Todo) -> None:
        try:
            await self._commit(todo.row, await self._end(todo), self._derivation)
        except Stopping:
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
            await self._commit(todo.row, outcome, self._derivation.without_further_attempts(todo.earlier))
        except Stopping:
            pass
        except Exception as failure:
            self.stop(failure)

    async def _next(self, capacity: Callable[[], int]) -> Row | None:
        """The next row, once there is room for it; None at the end of the input or of what was asked for."""
        while not self._satisfied and self._full(capacity()):
            self._freed.clear()
            await self._freed.wait()
        if self._satisfied or (self._answers.stopping and self._unvisited <= 0):
            return None
        if not self._buffer:
            self._buffer = await asyncio.to_thread(lambda: list(islice(self._rows, READ_AHEAD)))
            self._buffer.reverse()
        return self._buffer.pop() if self._buffer else None

    @property
    def _satisfied(self) -> bool:
        return self._target_pairs is not None and self._progress.pairs >= self._target_pairs

    def _full(self, capacity: int) -> bool:
        """With `target_pairs`, a row starts only while pairs so far and rows in flight together are fewer. So exactly
        the shortest stretch of the input that holds that many pairs is processed, whatever the timing.
        """
        rows = self._progress.rows_in_flight
        return rows >= capacity or (
            self._target_pairs is not None and self._progress.pairs + rows >= self._target_pairs
        )

    def _todo(self, row: Row) -> Todo | None:
        """What is to be done for a row, None if an earlier invocation finished it under the same derivation."""
        duplicate = not self._ledger.claim(row.id, row.ordinal)
        if duplicate:
            row = dataclasses.replace(row, id=f"{row.id}-{row.ordinal}")
            self._ledger.claim(row.id, row.ordinal)
        stored = self._ledger.outcome(row.id)
        settled = False
        if stored is not None:
            self._unvisited -= 1
            settled = stored.reason not in RETRYABLE
            if settled and stored.derivation == self._derivation.text:
                self._progress.record(stored.kind, stored.reason, resumed=True)
                return None
            settled = settled and self._derivation.settles(stored.derivation)
        earlier = None if stored is None else stored.derivation
        return Todo(row, duplicate=duplicate, finished_before=settled, earlier=earlier)

    async def _end(self, todo: Todo) -> Outcome:
        draft = Draft(todo.row, self.plan)
        if todo.duplicate:
            return draft.reject(RowFailure("duplicate_prompt", "an earlier row has the same prompt", stage="sample"))
        if todo.row.problem is not None:
            return draft.reject(RowFailure("bad_row", todo.row.problem, stage="sample"))
        return await self._drive(todo)

    async def _commit(self, row: Row, outcome: Outcome, derivation: Derivation) -> None:
        reason = None if isinstance(outcome, Pair) else outcome.reason
        await self._ledger.put_outcome(
            row.id,
            row.ordinal,
            kind="pair" if reason is None else "reject",
            reason=reason,
            body=encode_outcome(outcome),
            derivation=derivation.text,
        )
        self._progress.record_outcome(outcome)

    async def _drive(self, todo: Todo) -> Outcome:
        steps = self._recipe(todo.row, self.plan)
        try:
            asks = next(steps)
            while True:
                try:
                    answers = await self._ask(asks, finished_before=todo.finished_before)
                except RowFailure as failure:
                    asks = steps.throw(failure)
                else:
                    asks = steps.send(answers)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome

    async def _ask(self, asks: list[Ask], *, finished_before: bool) -> list[Completion]:
        if len(asks) == 1:
            return [await self._answers.get(asks[0], finished_before=finished_before)]
        results = await asyncio.gather(
            *(self._answers.get(ask, finished_before=finished_before) for ask in asks), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if isinstance(result, Completion)]
