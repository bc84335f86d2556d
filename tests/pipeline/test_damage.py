"""A ledger with damaged values stops the run in a sentence, and buys nothing again; a copy brings everything back.

Real: `clair.generate`, client, HTTP, server, ledger, files. Doubles: what the two models say (`tests.servers.world`).
"""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from clair.errors import LedgerError
from clair.ledger.database import pack
from tests.pipeline.conftest import Generate
from tests.pipeline.runs import digests
from tests.servers.chat import ChatServer

ROWS = 12


@pytest.mark.parametrize("statement", [
    "UPDATE outcomes SET derivation = 'x'",
    "UPDATE outcomes SET derivation = '[1, 2, 3]'",
    "UPDATE outcomes SET derivation = '{}'",
    "UPDATE outcomes SET derivation = replace(derivation, ', 3]', ', \"3\"]')",
    "UPDATE outcomes SET body = 'text'",
    f"UPDATE replies SET raw = x'{pack(b'no JSON').hex()}'",
    "UPDATE outcomes SET kind = 'zz'",
    "UPDATE spending SET cost_usd = 'abc'",
    "UPDATE meta SET value = zeroblob(32) WHERE key = 'secret'",
    "UPDATE meta SET value = '{\"a\":' WHERE key = 'settings'",
    "UPDATE meta SET value = '{' WHERE key = 'names'",
])  # fmt: skip
def test_damaged_values_are_named_and_nothing_is_bought(
    server: ChatServer, generate_world: Generate, tmp_path: Path, statement: str
):
    """With another gate, so that every row is looked at and derived again."""
    run, copy = tmp_path / "run", tmp_path / "copy"
    generate_world(run, ROWS)
    shutil.copytree(run, copy)
    bought, before = server.count, digests(run)
    with contextlib.closing(sqlite3.connect(run / "ledger.sqlite")) as file, file:
        assert file.execute(statement).rowcount
    with pytest.raises(LedgerError, match=r"is damaged: .*Restore it from a copy"):
        generate_world(run, ROWS, max_change=0.6)
    shutil.rmtree(run)
    copy.rename(run)
    generate_world(run, ROWS)
    assert (server.count, digests(run)) == (bought, before)


def test_whatever_bits_are_flipped_the_run_ends_whole_or_is_refused(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    run, whole = tmp_path / "run", tmp_path / "whole"
    generate_world(whole, ROWS)
    data = (whole / "ledger.sqlite").read_bytes()
    used = [place for place, byte in enumerate(data) if byte]
    chance = random.Random(0)
    for _ in range(12):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(whole, run)
        flipped = bytearray(data)
        for place in chance.sample(used, chance.choice([1, 3, 10])):
            flipped[place] ^= 1 << chance.randrange(8)
        (run / "ledger.sqlite").write_bytes(flipped)
        with contextlib.suppress(LedgerError):
            assert generate_world(run, ROWS, max_change=0.6).rows == ROWS
