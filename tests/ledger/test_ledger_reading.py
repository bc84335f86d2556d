"""Values that are not those written: SQLite finds nothing wrong with them, the ledger does. Real files; no doubles."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from clair.errors import LedgerError
from clair.ledger import Ledger, fork

SETTINGS: dict[str, object] = {"target": "m", "seed": 1}
NAMES = {"target": "m@http://h/v1"}


@pytest.fixture
async def run(tmp_path: Path) -> Path:
    """A closed ledger with one of everything."""
    with Ledger.open(tmp_path / "run", create=True) as ledger:
        ledger.check_settings(SETTINGS)
        ledger.keep_names(NAMES)
        await ledger.put(b"k", stage="sample", model="m", raw=b"{}", prompt_tokens=1, completion_tokens=1, cost_usd=0.5)
        await ledger.put_outcome("id", 0, kind="pair", reason=None, body=b"{}", derivation="d")
    return tmp_path / "run"


def change(run: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(run / "ledger.sqlite")) as file, file:
        assert file.execute(sql, values).rowcount == 1


def read(run: Path) -> None:
    """All that a run reads."""
    with Ledger.open(run, create=False) as ledger:
        ledger.check_settings(SETTINGS)
        assert (ledger.names(), ledger.identities()) == (NAMES, {"m"})
        assert ledger.totals().cost_usd == 0.5
        ledger.claim("id", 0)
        assert (ledger.get(b"k"), ledger.outcome("id")) == ((b"{}", 0.5), ("d", "pair", None, b"{}"))
        assert list(ledger.outcomes("pair")) == [b"{}"]


@pytest.mark.parametrize(("statement", "words"), [
    ("UPDATE replies SET raw = 'text'", "a body is 'text'"),
    ("UPDATE replies SET raw = 5", "a body is 5"),
    ("UPDATE replies SET raw = x'00'", "incorrect header check|incomplete"),
    ("UPDATE replies SET cost_usd = 'much'", "the cost of an answer is 'much'"),
    ("UPDATE replies SET cost_usd = 9e999", "the cost of an answer is inf"),
    ("UPDATE replies SET model = x'6d'", "in the place of a text is b'm'"),
    ("UPDATE spending SET cost_usd = 'abc'", "the sums of what was spent are .*'abc'"),
    ("UPDATE spending SET replies = 'many'", "the sums of what was spent are .'many'"),
    ("UPDATE spending SET prompt_tokens = 1.5", "the sums of what was spent are"),
    ("UPDATE spending SET stage = x'6d'", "in the place of a text is b'm'"),
    ("UPDATE outcomes SET body = 'hello'", "a body is 'hello'"),
    ("UPDATE outcomes SET kind = 'zz'", "a row ended as 'zz' for the reason None"),
    ("UPDATE outcomes SET kind = 'reject'", "a row ended as 'reject' for the reason None"),
    ("UPDATE outcomes SET reason = 'too_different'", "a row ended as 'pair' for the reason 'too_different'"),
    ("UPDATE outcomes SET kind = 'reject', reason = 'too_diffarent'", "'reject' for the reason 'too_diffarent'"),
    ("UPDATE outcomes SET derivation = x'64'", "in the place of a text is b'd'"),
])  # fmt: skip
async def test_a_changed_value_is_found_when_it_is_read(run: Path, statement: str, words: str):
    read(run)
    change(run, statement)
    with pytest.raises(LedgerError, match=rf"is damaged: .*{words}.*Restore it from a copy") as refusal:
        read(run)
    assert "\n" not in str(refusal.value)


def unguarded(run: Path) -> None:
    """Make the ledger one of before there were guards."""
    with closing(sqlite3.connect(run / "ledger.sqlite")) as file, file:
        assert file.execute("DELETE FROM meta WHERE key LIKE 'guard%'").rowcount == 2


OTHERS: list[Any] = [("secret", bytes(32)), ("settings", b'{"target": "n", "seed": 1}'), ("names", b'{"target": "n"}')]
NONE: list[Any] = [
    ("secret", b"short"),
    ("secret", "text"),
    ("secret", 5),
    ("settings", b'{"target":'),
    ("settings", b"[1]"),
    ("settings", 5),
    ("names", b"{"),
    ("names", b'{"target": 1}'),
]
"""Values of the right kind that were not written, and values of no kind."""


@pytest.mark.parametrize(("name", "value"), OTHERS + NONE)
async def test_what_decides_what_is_bought_is_compared_when_the_ledger_is_opened(run: Path, name: str, value: object):
    change(run, "UPDATE meta SET value = ? WHERE key = ?", value, name)
    with pytest.raises(LedgerError, match="is damaged: its secret, its settings or the names of its models are not"):
        Ledger.open(run, create=False)


@pytest.mark.parametrize("name", ["secret", "settings", "names"])
async def test_so_is_what_is_not_there_any_more(run: Path, name: str):
    change(run, "DELETE FROM meta WHERE key = ?", name)
    with pytest.raises(LedgerError, match="is damaged"):
        Ledger.open(run, create=True)


async def test_a_damaged_secret_is_not_copied_into_a_fork(run: Path, tmp_path: Path):
    change(run, "UPDATE meta SET value = ? WHERE key = 'secret'", bytes(32))
    with pytest.raises(LedgerError, match="is damaged"):
        fork(run, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("name", "value"), NONE)
async def test_a_ledger_of_before_guards_is_refused_where_a_value_can_be_none(run: Path, name: str, value: object):
    unguarded(run)
    change(run, "UPDATE meta SET value = ? WHERE key = ?", value, name)
    with pytest.raises(LedgerError, match="is damaged"):
        read(run)


def older_clair(run: Path) -> None:
    """One that knows of no guards opens the ledger and keeps other names."""
    change(run, "UPDATE meta SET value = value + 1 WHERE key = 'opened_at'")
    change(run, "UPDATE meta SET value = ? WHERE key = 'names'", b'{"target": "other"}')


@pytest.mark.parametrize("made_by", [unguarded, older_clair])
async def test_a_ledger_without_a_guard_of_its_last_opening_is_taken_as_it_is_and_guarded(
    run: Path, made_by: Callable[[Path], None]
):
    made_by(run)
    with Ledger.open(run, create=False) as ledger:
        ledger.check_settings(SETTINGS)
        names = ledger.names()
    with Ledger.open(run, create=False) as ledger:
        assert ledger.names() == names
    change(run, "UPDATE meta SET value = ? WHERE key = 'names'", b'{"target": "third"}')
    with pytest.raises(LedgerError, match="is damaged"):
        Ledger.open(run, create=False)
