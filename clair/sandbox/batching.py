"""Micro-batching: requests that arrive within a few milliseconds are answered together, on a thread of their own.

    batcher = Batcher(student.generate)
    generated = await batcher.answer(sample)      # from any event loop; the loop stays free meanwhile
    batcher.close()

A batch is answered while the next one gathers, so many small requests cost about as much as one large one.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

GATHER_S = 0.01  # how long a request waits for company: little beside the second that a batch takes
MAX_ITEMS = 128


class Batcher(Generic[Item, Result]):
    """Calls `work` with lists of items. The thread starts with the first item and ends with `close`."""

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        self._work = work
        self._queue: queue.SimpleQueue[tuple[Item, Future[Result]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    async def answer(self, item: Item) -> Result:
        """The result for one item. Whatever `work` raises is raised here, for every item of the batch."""
        future: Future[Result] = Future()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sandbox-student", daemon=True)
                self._thread.start()
            self._queue.put((item, future))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finish what is queued and end the thread. A later `answer` starts a new one."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._queue.put(None)
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            batch, ended = self._gather()
            if batch:
                self._serve(batch)
            if ended:
                return

    def _gather(self) -> tuple[list[tuple[Item, Future[Result]]], bool]:
        """The next batch, and whether the end was reached."""
        first = self._queue.get()
        if first is None:
            return [], True
        batch, until = [first], time.monotonic() + GATHER_S
        while len(batch) < MAX_ITEMS:
            try:
                entry = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if entry is None:
                return batch, True
            batch.append(entry)
        return batch, False

    def _serve(self, batch: list[tuple[Item, Future[Result]]]) -> None:
        batch = [entry for entry in batch if entry[1].set_running_or_notify_cancel()]
        if not batch:
            return
        try:
            results = self._work([item for item, _ in batch])
        except Exception as error:  # the requests get it, the thread lives on
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)
