"""Forking a run. Real: both ledgers and their files; nothing is doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from clair.errors import LedgerError
from clair.ledger import Ledger, StoredReply, fork


async def bought(ledger: Ledger, count: int) -> None:
    for number in range(count):
        await ledger.put(
            b"%d" % number, stage="sample", model="m", raw=b"raw %d" % number,
            prompt_tokens=1, completion_tokens=2, cost_usd=0.5,
        )  # fmt: skip


async def test_a_fork_has_the_answers_and_the_secret_but_no_rows_and_no_settings(tmp_path: Path):
    with Ledger.open(tmp_path / "old", create=True) as old:
        old.check_settings({"target": "m"})
        await bought(old, 100)
        await old.put_outcome("row", 0, kind="pair", reason=None, body=b"pair", derivation="d")
    fork(tmp_path / "old", tmp_path / "a folder" / "new %41?#")
    with Ledger.open(tmp_path / "a folder" / "new %41?#", create=False) as new:
        new.check_settings({"target": "other"})
        assert new.secret == old.secret
        assert [new.get(b"%d" % number) for number in range(100)] == [
            StoredReply(b"raw %d" % number, 0.5) for number in range(100)
        ]
        assert new.totals().cost_usd == 50.0
        assert new.outcome("row") is None
        assert new.begin_pass() == 0


async def test_a_run_in_use_can_be_forked_and_goes_on_undisturbed(tmp_path: Path):
    with Ledger.open(tmp_path / "old", create=True) as old:
        await bought(old, 3)
        fork(tmp_path / "old", tmp_path / "new")
        await bought(old, 5)
        assert old.totals().by_stage["sample"].replies == 5
    with Ledger.open(tmp_path / "new", create=False) as new:
        assert new.totals().by_stage["sample"].replies == 3


async def test_a_folder_with_a_ledger_is_no_target(tmp_path: Path):
    with Ledger.open(tmp_path / "old", create=True) as old:
        await bought(old, 1)
    for target in ("old", "other"):
        Ledger.open(tmp_path / "other", create=True).close()
        with pytest.raises(LedgerError, match=r"has a ledger already; --fork needs a new folder\."):
            fork(tmp_path / "old", tmp_path / target)


def test_without_a_source_nothing_is_made(tmp_path: Path):
    with pytest.raises(LedgerError, match="nothing to fork"):
        fork(tmp_path / "old", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_source_leaves_no_half_made_ledger(tmp_path: Path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "ledger.sqlite").write_bytes(b"garbage" * 2000)
    with pytest.raises(LedgerError, match=r"old/ledger\.sqlite is damaged"):
        fork(tmp_path / "old", tmp_path / "new")
    Ledger.open(tmp_path / "new", create=True).close()
