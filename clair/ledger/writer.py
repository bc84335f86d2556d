"""Group commit: many coroutines write, one thread commits, and each continues when its item is durable.

    writer = GroupWriter(connection, insert_all, explain=lambda error: LedgerError(...))
    await writer.submit(item)
    writer.close()                     # commits what is pending, ends the thread, closes the connection

An item that comes alone is committed at once. After a commit of two or more, the next one starts `window_s`
later or with `max_group` items: a busy run pays for tens of disk flushes a second and not for thousands.
A failed commit ends the writer: the future of every waiting and of every later item raises the explained error.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from clair.errors import LedgerError

Item = TypeVar("Item")


class GroupWriter(Generic[Item]):
    """Owns `connection` from construction on. `insert_all` runs on the thread, inside a transaction."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        insert_all: Callable[[sqlite3.Connection, Sequence[Item]], None],
        *,
        explain: Callable[[Exception], LedgerError],
        window_s: float = 0.015,
        max_group: int = 512,
    ) -> None:
        self._connection = connection
        self._insert_all = insert_all
        self._explain = explain
        self._window_s = window_s
        self._max_group = max_group
        self._pending: deque[tuple[Item, asyncio.Future[None]]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._error: LedgerError | None = None
        # A daemon, so that a forgotten close() cannot keep the interpreter from ending.
        self._thread = threading.Thread(target=self._run, name="clair-ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> asyncio.Future[None]:
        """Hand over an item. The future is done when it is durable; cancelling it takes nothing back.

        A commit fails on the thread, before or after an item comes: its future raises either way.
        """
        future = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._error is not None:
                _resolve([future], self._error)
                return future
            if self._closing:
                raise LedgerError("the ledger is closed")
            self._pending.append((item, future))
            if len(self._pending) in (1, self._max_group):
                self._changed.notify()
        return future

    def close(self) -> None:
        """Commit what is pending, end the thread and close the connection."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        earliest = 0.0
        while group := self._next_group(earliest):
            started = time.monotonic()
            try:
                self._commit([item for item, _ in group])
            # Whatever it is, somebody waits for it: a thread that dies silently would hang the run.
            except Exception as error:
                self._fail(group, self._explain(error))
                return
            earliest = started + self._window_s if len(group) > 1 else 0.0
            _settle([future for _, future in group], None)

    def _next_group(self, earliest: float) -> list[tuple[Item, asyncio.Future[None]]]:
        """Wait for items, then for company until `earliest`. Empty when closed and drained."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closing)
            patience = earliest - time.monotonic()
            if patience > 0:
                full = self._max_group
                self._changed.wait_for(lambda: len(self._pending) >= full or self._closing, patience)
            size = min(len(self._pending), self._max_group)
            return [self._pending.popleft() for _ in range(size)]

    def _commit(self, items: Sequence[Item]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._insert_all(self._connection, items)
            self._connection.execute("COMMIT")
        except BaseException:
            # SQLite has already rolled back after some failures; then this one has nothing to do.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def _fail(self, group: list[tuple[Item, asyncio.Future[None]]], error: LedgerError) -> None:
        with self._changed:
            self._error = error
            waiting = [future for _, future in (*group, *self._pending)]
            self._pending.clear()
        _settle(waiting, error)


def _settle(futures: Sequence[asyncio.Future[None]], error: LedgerError | None) -> None:
    """Wake the waiters: one call into each loop, for a call per item would cost more than the insert."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = defaultdict(list)
    for future in futures:
        by_loop[future.get_loop()].append(future)
    for loop, mine in by_loop.items():
        # A closed loop has no waiters left; its items are committed all the same.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, mine, error)


def _resolve(futures: Sequence[asyncio.Future[None]], error: LedgerError | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(LedgerError(*error.args))
