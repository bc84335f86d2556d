"""Micro-batching. The work is a double that records its batches; threads and loops are real."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from clair.sandbox.batching import MAX_ITEMS, Batcher


class Doubling:
    """Work that doubles numbers, holds on while `gate` is closed, and fails on negative ones."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.gate.wait()
        if min(items) < 0:
            raise ValueError("negative")
        return [2 * item for item in items]


async def test_requests_share_batches_and_get_their_own_results() -> None:
    work = Doubling()
    batcher = Batcher(work)
    assert await asyncio.gather(*(batcher.answer(i) for i in range(300))) == [2 * i for i in range(300)]
    batcher.close()
    assert sorted(item for batch in work.batches for item in batch) == list(range(300))
    assert max(map(len, work.batches)) <= MAX_ITEMS
    assert len(work.batches) < 30


async def test_the_event_loop_lives_on_while_the_work_is_done() -> None:
    work = Doubling()
    work.gate.clear()
    batcher = Batcher(work)
    answer = asyncio.create_task(batcher.answer(4))
    while not work.batches:
        await asyncio.sleep(0.001)
    assert not answer.done()
    work.gate.set()
    assert await answer == 8
    batcher.close()


async def test_a_failure_reaches_its_requests_and_later_ones_succeed() -> None:
    batcher = Batcher(Doubling())
    with pytest.raises(ValueError, match="negative"):
        await batcher.answer(-1)
    assert await batcher.answer(1) == 2
    batcher.close()


async def test_a_cancelled_request_is_not_worked_on() -> None:
    work = Doubling()
    work.gate.clear()
    batcher = Batcher(work)
    first = asyncio.create_task(batcher.answer(1))
    while not work.batches:
        await asyncio.sleep(0.001)
    second = asyncio.create_task(batcher.answer(2))
    await asyncio.sleep(0.001)
    second.cancel()
    await asyncio.sleep(0.001)
    work.gate.set()
    assert await first == 2
    batcher.close()
    assert work.batches == [[1]]


def test_one_batcher_serves_several_event_loops() -> None:
    batcher = Batcher(Doubling())
    assert asyncio.run(batcher.answer(1)) == 2
    batcher.close()
    assert asyncio.run(batcher.answer(2)) == 4
    batcher.close()
