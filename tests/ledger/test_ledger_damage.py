"""What happens when the file, the folder or the disk is bad: one LedgerError that says so, never a hang.

Real: files, permissions, a file size limit of the kernel and, where mounting is allowed, a full file system.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from clair.errors import LedgerError, UsageError
from clair.ledger import Ledger

ROOT = Path(__file__).parents[2]
NOBODY = 65534


async def put(ledger: Ledger, number: int, size: int = 3000) -> None:
    raw = random.Random(number).randbytes(size)
    await ledger.put(
        number.to_bytes(32, "big"), stage="sample", model="m", raw=raw,
        prompt_tokens=1, completion_tokens=1, cost_usd=0.0,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A closed ledger of a hundred replies."""

    async def fill(ledger: Ledger) -> None:
        await asyncio.gather(*(put(ledger, number) for number in range(100)))

    with Ledger.open(tmp_path, create=True) as ledger:
        asyncio.run(fill(ledger))
    return tmp_path


def overwrite(path: Path, offset: int, junk: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        file.write(junk)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(run: Path, share: float):
    path = run / "ledger.sqlite"
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(LedgerError, match="is damaged"):
        Ledger.open(run, create=True)


def test_an_emptied_file_is_refused_and_not_taken_for_a_new_run(run: Path):
    os.truncate(run / "ledger.sqlite", 0)
    with pytest.raises(LedgerError, match="is not a ledger of clair"):
        Ledger.open(run, create=True)


@pytest.mark.parametrize("offset", [0, 100, 4096, -4096])
def test_garbage_over_a_page_is_refused(run: Path, offset: int):
    overwrite(run / "ledger.sqlite", offset, random.Random(0).randbytes(4096 if offset else 100))
    with pytest.raises(LedgerError, match=r"is damaged: .*Restore it from a copy") as refusal:
        Ledger.open(run, create=True)
    assert "\n" not in str(refusal.value)


async def test_one_changed_byte_inside_a_body_is_found_when_it_is_read(run: Path):
    path = run / "ledger.sqlite"
    stored = random.Random(50).randbytes(3000)[1000:1016]
    overwrite(path, path.read_bytes().index(stored), bytes(16))
    with Ledger.open(run, create=False) as ledger:
        assert ledger.get((49).to_bytes(32, "big")) is not None
        with pytest.raises(LedgerError, match="is damaged"):
            ledger.get((50).to_bytes(32, "big"))


def test_an_index_that_names_a_wrong_row_gives_no_answer_to_another_question(run: Path):
    """An entry of the index is the key and the number of its row, here of one byte."""
    path = run / "ledger.sqlite"
    key = (50).to_bytes(32, "big")
    entry = key + bytes([51])
    assert path.read_bytes().count(entry) == 1
    overwrite(path, path.read_bytes().index(entry) + len(key), bytes([20]))
    with Ledger.open(run, create=False) as ledger, pytest.raises(LedgerError, match="names a wrong row"):
        ledger.get(key)


def test_damaged_text_in_the_schema_is_told_in_one_line(run: Path):
    """SQLite quotes it in its message, which Python then cannot decode."""
    path = run / "ledger.sqlite"
    overwrite(path, path.read_bytes().index(b"CREATE TABLE outcomes") + 8, b"\x80")
    with pytest.raises(LedgerError, match="is damaged") as refusal:
        Ledger.open(run, create=False)
    assert "\n" not in str(refusal.value)


def test_a_newer_ledger_is_refused_by_its_version(run: Path):
    with contextlib.closing(sqlite3.connect(run / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE meta SET value = 99 WHERE key = 'schema'")
    with pytest.raises(LedgerError, match="has ledger version 99; this clair reads version 1"):
        Ledger.open(run, create=True)


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path):
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = (tmp_path / "ledger.sqlite").read_bytes()
    with pytest.raises(LedgerError, match="is not a ledger of clair"):
        Ledger.open(tmp_path, create=True)
    assert (tmp_path / "ledger.sqlite").read_bytes()[100:] == before[100:]


def test_a_log_left_by_a_deleted_ledger_does_not_leak_into_a_new_one(tmp_path: Path):
    async def kill_and_keep_the_log() -> None:
        with Ledger.open(tmp_path, create=True) as ledger:
            await put(ledger, 1)
            (tmp_path / "wal").write_bytes((tmp_path / "ledger.sqlite-wal").read_bytes())

    asyncio.run(kill_and_keep_the_log())
    (tmp_path / "ledger.sqlite").unlink()
    (tmp_path / "wal").rename(tmp_path / "ledger.sqlite-wal")
    with Ledger.open(tmp_path, create=True) as ledger:
        assert ledger.get((1).to_bytes(32, "big")) is None
        assert ledger.totals().by_stage == {}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder with a ledger in `run` that any user may use; pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Ledger.open(Path(name) / "run", create=True).close()
        for path in (Path(name), *Path(name).rglob("*")):
            path.chmod(0o777)
        yield Path(name)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """As a user whom permissions stop; root they do not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_cannot_be_made_is_named(open_folder: Path):
    open_folder.chmod(0o555)
    with unprivileged(), pytest.raises(LedgerError, match=r"cannot make the run folder .*: Permission denied"):
        Ledger.open(open_folder / "new", create=True)


@pytest.mark.parametrize(("closed", "named"), [
    ("run/ledger.lock", "cannot write in the run folder"),
    ("run/ledger.sqlite", "cannot use the ledger"),
    ("run", "cannot use the ledger"),
])  # fmt: skip
def test_what_may_be_read_but_not_written_is_named(open_folder: Path, closed: str, named: str):
    (open_folder / closed).chmod(0o555)
    with unprivileged(), pytest.raises(LedgerError, match=named):
        Ledger.open(open_folder / "run", create=True)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UsageError, match=r"cannot make the run folder .*: File exists"):
        Ledger.open(tmp_path / "run", create=True)


FILL = """
import asyncio, resource, sys
from pathlib import Path
from clair.errors import LedgerError
from clair.ledger import Ledger
from tests.ledger.test_ledger_damage import put

async def main(run, limit):
    with Ledger.open(run, create=True) as ledger:
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        results = await asyncio.gather(*(put(ledger, n) for n in range(3000)), return_exceptions=True)
        assert {type(r) for r in results} == {type(None), LedgerError}, {type(r) for r in results}
        kept = [n for n, r in enumerate(results) if r is None]
        assert all(ledger.get(n.to_bytes(32, "big")) is not None for n in kept)
        try:
            await put(ledger, 5000)
        except LedgerError as error:
            print(len(kept), error)

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


def fill_until_it_fails(run: Path, limit: int) -> tuple[int, str]:
    """How many puts were acknowledged before the disk was full, and what a later one was told."""
    script = [sys.executable, "-W", "error", "-c", FILL, str(run), str(limit)]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    kept, message = done.stdout.split(" ", 1)
    return int(kept), message


async def keeps_and_goes_on(run: Path, kept: int) -> None:
    with Ledger.open(run, create=True) as ledger:
        assert ledger.totals().by_stage["sample"].replies == kept
        await put(ledger, 9000, size=10)


async def test_a_file_that_cannot_grow_ends_the_writing_but_loses_nothing(tmp_path: Path):
    kept, message = fill_until_it_fails(tmp_path, 4_000_000)
    assert message.startswith(f"cannot use the ledger {tmp_path / 'ledger.sqlite'}: ")
    assert "Check the free space" in message
    assert kept > 0  # how many fit depends on how the writes were grouped
    await keeps_and_goes_on(tmp_path, kept)


async def test_a_full_file_system_ends_the_writing_but_loses_nothing(tmp_path: Path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        kept, message = fill_until_it_fails(tmp_path, 0)
        assert "disk is full" in message
        subprocess.run(["mount", "-o", "remount,size=30m", str(tmp_path)], check=True)
        await keeps_and_goes_on(tmp_path, kept)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
