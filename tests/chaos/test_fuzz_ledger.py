"""Fuzzing damaged ledgers: what was paid for comes back as it was, or the ledger is refused. Real files; no doubles."""

from __future__ import annotations

import asyncio
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from clair.errors import LedgerError
from clair.ledger import Ledger
from tests.chaos.fuzzing import DAMAGES, damaged, fuzz, result_of

REPLIES = {number.to_bytes(32, "big"): random.Random(number).randbytes(200) * 3 for number in range(40)}
NAMES = {"target": "m@http://h/v1"}
OUTCOME = b'{"pair": "' + b"x" * 300 + b'"}'


@cache
def whole() -> bytes:
    """The file of a closed ledger with forty replies, an outcome, settings and names."""

    async def fill(ledger: Ledger) -> None:
        ledger.check_settings({"max_tokens": 5})
        ledger.keep_names(NAMES)
        ledger.begin_pass()
        for key, raw in REPLIES.items():
            await ledger.put(
                key, stage="sample", model="m", raw=raw, prompt_tokens=1, completion_tokens=1, cost_usd=0.5
            )
        await ledger.put_outcome("row", 0, kind="pair", reason=None, body=OUTCOME, derivation="d")

    with tempfile.TemporaryDirectory() as folder:
        with Ledger.open(Path(folder), create=True) as ledger:
            asyncio.run(fill(ledger))
        return (Path(folder) / "ledger.sqlite").read_bytes()


@cache
def secret() -> bytes:
    """That of the whole ledger."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ledger.sqlite").write_bytes(whole())
        with Ledger.open(Path(folder), create=False) as ledger:
            return ledger.secret


@fuzz(damages=DAMAGES, log=st.none() | st.none() | st.binary(max_size=200))
def test_a_damaged_ledger_is_refused_or_gives_back_what_was_put(damages: list[Any], log: bytes | None) -> None:
    """A reply whose key is damaged is missing, so it is bought again; none comes back changed."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ledger.sqlite").write_bytes(damaged(whole(), damages))
        if log is not None:
            (Path(folder) / "ledger.sqlite-wal").write_bytes(log)
        refused = result_of(lambda: use(Path(folder)), LedgerError)
        assert refused is None or "\n" not in str(refused) or "mix two kinds of data" in str(refused)


@fuzz(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=20))
def test_flipped_bits_are_refused_or_do_no_harm(flips: list[tuple[float, int]]) -> None:
    """SQLite's own structures stay as they were more often than after other damage: it is the values that change."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ledger.sqlite").write_bytes(flipped(whole(), flips))
        result_of(lambda: use(Path(folder)), LedgerError)


def flipped(data: bytes, flips: list[tuple[float, int]]) -> bytes:
    """The data with some of its bits inverted, each named by its byte, as a share of the length, and its place there.

    A page of a small database is mostly empty, so a flip goes into a byte that is not zero.
    """
    changed, used = bytearray(data), [place for place, byte in enumerate(data) if byte]
    for share, bit in flips:
        changed[used[int(share * len(used))]] ^= 1 << bit
    return bytes(changed)


def use(folder: Path) -> None:
    with Ledger.open(folder, create=True) as ledger:
        ledger.check_settings({"max_tokens": 5})
        assert ledger.secret == secret()
        assert ledger.names() == NAMES
        ledger.identities()
        ledger.totals().cost_usd  # noqa: B018 - adding up is what fails
        ledger.begin_pass()
        for key, raw in REPLIES.items():
            stored = ledger.get(key)
            assert stored is None or stored.raw == raw
        ledger.claim("row", 0)
        found = ledger.outcome("row")
        assert found is None or found.body == OUTCOME
        assert all(body == OUTCOME for body in ledger.outcomes("pair"))
        ledger.counts()
