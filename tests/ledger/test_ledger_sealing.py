"""The seal: it is there only while nothing has happened to the ledger. Everything is real."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from clair.ledger import Ledger, fork
from clair.ledger.sealing import peek

CONTENT = b'{"what": "was said"}'


async def bought(run_dir: Path) -> Path:
    """A ledger with one answer and one outcome, sealed."""
    with Ledger.open(run_dir, create=True) as ledger:
        ledger.check_settings({"target": "m"})
        await answer(ledger)
        await outcome(ledger)
        ledger.seal(CONTENT)
    return run_dir


async def answer(ledger: Ledger) -> None:
    await ledger.put(b"k", stage="sample", model="m", raw=b"{}", prompt_tokens=1, completion_tokens=1, cost_usd=0.0)


async def outcome(ledger: Ledger) -> None:
    await ledger.put_outcome("id", 0, kind="pair", reason=None, body=b"{}", derivation="d")


async def doubt(ledger: Ledger) -> None:
    await ledger.doubt(0.5)


async def test_the_next_invocation_finds_the_seal_and_breaks_it(tmp_path: Path):
    run_dir = await bought(tmp_path / "run")
    assert (peek(run_dir), peek(run_dir)) == (CONTENT, CONTENT)
    assert {path.name for path in run_dir.iterdir()} == {"ledger.sqlite", "ledger.lock"}
    with Ledger.open(run_dir, create=False) as ledger:
        assert ledger.sealed == CONTENT
        ledger.check_settings({"target": "m"})
        assert (ledger.claim("id", 0), ledger.sealed) == (True, CONTENT)
    assert peek(run_dir) is None
    with Ledger.open(run_dir, create=False) as ledger:
        assert ledger.sealed is None
        ledger.seal(b"again")
    assert peek(run_dir) == b"again"


@pytest.mark.parametrize("write", [answer, outcome, doubt])
async def test_what_is_written_after_opening_makes_the_seal_worthless(
    tmp_path: Path, write: Callable[[Ledger], Awaitable[None]]
):
    with Ledger.open(await bought(tmp_path), create=False) as ledger:
        await write(ledger)
        assert ledger.sealed is None


async def test_a_damaged_seal_is_none(tmp_path: Path):
    run_dir = await bought(tmp_path / "run")
    with closing(sqlite3.connect(run_dir / "ledger.sqlite")) as file, file:
        assert file.execute("UPDATE meta SET value = replace(value, 'said', 'sajd') WHERE key = 'seal'").rowcount == 1
        file.execute("UPDATE meta SET value = CAST(value AS BLOB) WHERE key = 'seal'")
    assert peek(run_dir) is None
    with Ledger.open(run_dir, create=False) as ledger:
        assert ledger.sealed is None


async def test_so_do_settings_that_are_taken_over_because_nothing_was_bought(tmp_path: Path):
    with Ledger.open(tmp_path, create=True) as ledger:
        await outcome(ledger)
        ledger.seal(CONTENT)
    with Ledger.open(tmp_path, create=False) as ledger:
        ledger.check_settings({"target": "m"})
        assert ledger.sealed is None


async def test_a_fork_has_no_seal(tmp_path: Path):
    fork(await bought(tmp_path / "old"), tmp_path / "new")
    assert (peek(tmp_path / "new"), peek(tmp_path / "old")) == (None, CONTENT)


async def test_an_opening_by_a_clair_that_knows_of_no_seals_is_noticed(tmp_path: Path):
    """It writes when it opened the ledger, as every version has."""
    run_dir = await bought(tmp_path)
    with closing(sqlite3.connect(run_dir / "ledger.sqlite")) as old, old:
        old.execute("INSERT OR REPLACE INTO meta VALUES ('opened_at', 1.0)")
    assert peek(run_dir) is None
    with Ledger.open(run_dir, create=False) as ledger:
        assert ledger.sealed is None


def test_where_no_ledger_can_be_read_there_is_no_seal(tmp_path: Path):
    assert peek(tmp_path) is None
    (tmp_path / "ledger.sqlite").write_bytes(b"SQLite format 3\0 and then something else")
    assert peek(tmp_path) is None


def test_the_rows_of_a_pass_are_named_by_their_ids_and_places(tmp_path: Path):
    with Ledger.open(tmp_path, create=True) as ledger:
        names = []
        for rows in ([], ["a", "b"], ["b", "a"], ["a"]):
            ledger.begin_pass()
            assert all(ledger.claim(row_id, place) for place, row_id in enumerate(rows))
            names.append(ledger.claimed())
        assert len(set(names)) == 4
        ledger.begin_pass()
        assert (ledger.claim("a", 0), ledger.claim("a", 5), ledger.claimed()) == (True, False, names[3])
