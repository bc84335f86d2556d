"""Group commit. Real: SQLite, its files, the thread and the event loop. The inserting function is a double where a
test wants to watch the groups or to make one fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from clair.errors import LedgerError
from clair.ledger.writer import GroupWriter

Insert = Callable[[sqlite3.Connection, Sequence[int]], None]


def insert(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    connection.executemany("INSERT INTO numbers VALUES (?)", [(number,) for number in numbers])


@contextlib.contextmanager
def writer_on(
    path: Path, insert_all: Insert = insert, *, window_s: float = 0.015, max_group: int = 100
) -> Iterator[GroupWriter[int]]:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE numbers (number INTEGER)")
    explain = lambda error: LedgerError(f"cannot write: {error}")  # noqa: E731
    with contextlib.closing(
        GroupWriter(connection, insert_all, explain=explain, window_s=window_s, max_group=max_group)
    ) as writer:
        yield writer


def stored(path: Path) -> list[int]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM numbers ORDER BY rowid")]


async def test_an_item_is_readable_by_others_once_its_future_is_done(tmp_path: Path):
    with writer_on(tmp_path / "db") as writer:
        for number in range(5):
            await writer.submit(number)
            assert stored(tmp_path / "db")[-1] == number


async def test_many_items_share_commits_keep_their_order_and_respect_the_largest_group(tmp_path: Path):
    groups: list[int] = []
    all_here = threading.Event()

    def watched(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
        assert all_here.wait(10)
        groups.append(len(numbers))
        insert(connection, numbers)

    with writer_on(tmp_path / "db", watched) as writer:
        futures = [writer.submit(number) for number in range(1000)]
        all_here.set()
        await asyncio.gather(*futures)
    assert stored(tmp_path / "db") == list(range(1000))
    assert sum(groups) == 1000
    # The first group is what had come when the thread woke, the last one is what was left.
    assert set(groups[1:-1]) == {100}


async def test_after_a_shared_commit_the_next_one_waits_for_company(tmp_path: Path):
    groups: list[list[int]] = []
    begun, may_commit = threading.Event(), threading.Event()

    def watched(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
        begun.set()
        assert may_commit.wait(10)
        groups.append(list(numbers))
        insert(connection, numbers)

    with writer_on(tmp_path / "db", watched, window_s=60.0, max_group=2) as writer:
        alone = writer.submit(0)
        await asyncio.to_thread(begun.wait, 10)
        shared = [writer.submit(1), writer.submit(2)]
        may_commit.set()
        await asyncio.gather(alone, *shared)
        late = [writer.submit(3)]
        await asyncio.sleep(0.05)
        late.append(writer.submit(4))
        await asyncio.gather(*late)
    assert groups == [[0], [1, 2], [3, 4]]


async def test_close_commits_what_nobody_waited_for(tmp_path: Path):
    with writer_on(tmp_path / "db", window_s=60.0) as writer:
        await asyncio.gather(writer.submit(0), writer.submit(1), writer.submit(2))
        cancelled = writer.submit(3)
        cancelled.cancel()
        writer.submit(4)
    assert stored(tmp_path / "db") == [0, 1, 2, 3, 4]
    with pytest.raises(LedgerError, match="closed"):
        writer.submit(5)


@pytest.mark.parametrize("failure", [sqlite3.OperationalError("database or disk is full"), ValueError("odd")])
async def test_a_failure_reaches_every_waiting_and_every_later_item(tmp_path: Path, failure: Exception):
    all_here = threading.Event()

    def failing(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
        assert all_here.wait(10)
        insert(connection, numbers)
        if 150 in numbers:
            raise failure

    with writer_on(tmp_path / "db", failing) as writer:
        futures = [writer.submit(number) for number in range(1000)]
        all_here.set()
        results = await asyncio.gather(*futures, return_exceptions=True)
        done = [number for number, result in enumerate(results) if result is None]
        failed = [result for result in results if result is not None]
        assert stored(tmp_path / "db") == done
        assert 150 not in done
        # Groups hold at most 100, so one or two were committed before.
        assert len(failed) >= 800
        assert {(type(error), str(error)) for error in failed} == {(LedgerError, f"cannot write: {failure}")}
        late = writer.submit(1000)
        with pytest.raises(LedgerError, match=str(failure)):
            await late


def test_a_writer_serves_one_event_loop_after_another_and_outlives_an_abandoned_one(tmp_path: Path):
    async def two(writer: GroupWriter[int], start: int) -> None:
        await asyncio.gather(writer.submit(start), writer.submit(start + 1))

    async def abandon(writer: GroupWriter[int]) -> None:
        writer.submit(2)

    with writer_on(tmp_path / "db") as writer:
        asyncio.run(two(writer, 0))
        asyncio.run(abandon(writer))
        asyncio.run(two(writer, 3))
    assert stored(tmp_path / "db") == [0, 1, 2, 3, 4]
