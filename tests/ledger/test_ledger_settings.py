"""Identity settings: kept at creation, compared afterwards. Real ledgers on a temporary folder."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from clair.errors import LedgerError
from clair.ledger import Ledger

SETTINGS: dict[str, object] = {"target": "m@http://h/v1", "temperature": 0.7, "principle": ("be kind",), "seed": None}


def check(run: Path, new: dict[str, object]) -> None:
    """One invocation that buys an answer."""
    with Ledger.open(run, create=True) as ledger:
        ledger.check_settings(new)
        bought: dict[str, Any] = {"raw": b"{}", "prompt_tokens": 1, "completion_tokens": 1, "cost_usd": None}
        asyncio.run(ledger.put(b"key", stage="sample", model="m", **bought))


async def test_a_run_that_bought_nothing_takes_other_settings_and_forgets_how_its_rows_ended(tmp_path: Path):
    with Ledger.open(tmp_path, create=True) as ledger:
        ledger.check_settings(SETTINGS)
        await ledger.put_outcome("row", 0, kind="reject", reason="bad_request", body=b"reject", derivation="d")
    with Ledger.open(tmp_path, create=True) as ledger:
        ledger.check_settings({**SETTINGS, "target": "n@http://h/v1"})
        assert ledger.outcome("row") is None


async def test_a_run_to_which_answers_are_under_way_has_bought_something(tmp_path: Path):
    with Ledger.open(tmp_path, create=True) as ledger:
        ledger.check_settings(SETTINGS)
        ledger.keep_names({"target": "m@http://h/v1"})
        ledger.check_settings(SETTINGS, under_way=1)
        with pytest.raises(LedgerError, match="seed: null -> 1"):
            ledger.check_settings({**SETTINGS, "seed": 1}, under_way=1)
        assert ledger.names() == {"target": "m@http://h/v1"}


async def test_a_request_whose_answer_was_lost_binds_no_settings(tmp_path: Path):
    """There is nothing to mix, and nothing to buy again that the same settings would not; the money stays counted."""
    with Ledger.open(tmp_path, create=True) as ledger:
        ledger.check_settings(SETTINGS)
        await ledger.doubt(0.5)
        ledger.check_settings({**SETTINGS, "seed": 1})
        assert ledger.totals().cost_usd == 0.5


def test_the_same_settings_pass_however_often_and_in_whatever_order(tmp_path: Path):
    check(tmp_path, SETTINGS)
    check(tmp_path, SETTINGS)
    check(tmp_path, {**dict(reversed(SETTINGS.items())), "principle": ["be kind"]})


def test_every_changed_key_is_named_with_both_values(tmp_path: Path):
    check(tmp_path, SETTINGS)
    with pytest.raises(LedgerError) as refusal:
        check(tmp_path, {"target": "n@http://h/v1", "principle": ["be kind"], "seed": 1})
    assert str(refusal.value) == (
        f"{tmp_path} was made with other settings, and one dataset must not mix two kinds of data:\n"
        '  seed: null -> 1\n  target: "m@http://h/v1" -> "n@http://h/v1"\n  temperature: 0.7 -> null\n'
        "Go back to the old settings, or add --fork NEW: a new run that reuses every answer it can."
    )
    check(tmp_path, SETTINGS)


def test_an_absent_key_equals_null(tmp_path: Path):
    check(tmp_path, SETTINGS)
    check(tmp_path, {key: value for key, value in SETTINGS.items() if value is not None})
    check(tmp_path, {**SETTINGS, "new_in_a_later_version": None})
