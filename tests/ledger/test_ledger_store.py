"""The ledger as the pipeline sees it. Real: everything, on a temporary folder; nothing is doubled."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clair.errors import LedgerError
from clair.ledger import Ledger, Spending, StoredOutcome, StoredReply, Totals
from clair.ledger.claims import Kind
from clair.records import Counts


async def put(ledger: Ledger, key: bytes, raw: bytes, **other: Any) -> None:
    given_values = {"prompt_tokens": 10, "completion_tokens": 3, "cost_usd": 0.25, "stage": "sample", **other}
    await ledger.put(key, model="m", raw=raw, **given_values)


async def end(ledger: Ledger, row_id: str, ordinal: int, reason: str | None = None, body: bytes = b"") -> None:
    kind: Kind = "pair" if reason is None else "reject"
    await ledger.put_outcome(row_id, ordinal, kind=kind, reason=reason, body=body or row_id.encode(), derivation="d1")


async def test_a_reply_is_there_once_put_returns_and_after_reopening(tmp_path: Path):
    raw = b'{"choices": []}' * 500
    with Ledger.open(tmp_path, create=True) as ledger:
        assert ledger.get(b"k" * 32) is None
        await put(ledger, b"k" * 32, raw, cost_usd=None)
        assert ledger.get(b"k" * 32) == StoredReply(raw, None)
    with Ledger.open(tmp_path, create=False) as ledger:
        assert ledger.get(b"k" * 32) == StoredReply(raw, None)
    assert raw not in (tmp_path / "ledger.sqlite").read_bytes()


async def test_ten_thousand_puts_in_flight_all_arrive(tmp_path: Path):
    bodies = {number.to_bytes(32, "big"): b"%d" % number for number in range(10_000)}
    with Ledger.open(tmp_path, create=True) as ledger:
        await asyncio.gather(*(put(ledger, key, body) for key, body in bodies.items()))
        assert {key: ledger.get(key) for key in bodies} == {
            key: StoredReply(body, 0.25) for key, body in bodies.items()
        }
        assert ledger.totals().by_stage == {"sample": Spending(10_000, 100_000, 30_000, 2500.0, 0)}


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.binary(min_size=1, max_size=40), st.binary(max_size=3000), max_size=8))
def test_any_bytes_come_back_as_they_were(bodies: dict[bytes, bytes]):
    async def write(ledger: Ledger) -> None:
        await asyncio.gather(*(put(ledger, key, raw) for key, raw in bodies.items()))

    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder), create=True) as ledger:
        asyncio.run(write(ledger))
        for key, raw in bodies.items():
            assert ledger.get(key) == StoredReply(raw, 0.25)


async def test_a_key_keeps_its_first_reply_and_counts_every_other_that_was_paid_for(tmp_path: Path):
    with Ledger.open(tmp_path, create=True) as ledger:
        await put(ledger, b"k", b"first")
        await asyncio.gather(put(ledger, b"k", b"first"), put(ledger, b"k", b"second"))
        assert ledger.get(b"k") == StoredReply(b"first", 0.25)
        assert ledger.totals().by_stage == {"sample": Spending(2, 20, 6, 0.5, 0)}


async def test_totals_add_up_by_stage_across_invocations_and_unknown_is_not_zero(tmp_path: Path):
    with Ledger.open(tmp_path, create=True) as ledger:
        assert ledger.totals() == Totals({})
        await put(ledger, b"a", b"")
        await put(ledger, b"b", b"", cost_usd=0.5)
    with Ledger.open(tmp_path, create=True) as ledger:
        await put(ledger, b"c", b"", stage="revise", cost_usd=None, prompt_tokens=None)
        await put(ledger, b"d", b"", stage="revise", cost_usd=0.125)
        totals = ledger.totals()
        assert totals.by_stage == {
            "sample": Spending(2, 20, 6, 0.75, 0),
            "revise": Spending(2, 10, 6, 0.125, 1),
        }
        assert (totals.cost_usd, totals.unknown_cost) == (0.875, 1)


def test_the_secret_is_made_once_and_differs_between_runs(tmp_path: Path):
    with Ledger.open(tmp_path / "a", create=True) as ledger:
        first = ledger.secret
    with Ledger.open(tmp_path / "a", create=True) as ledger:
        assert ledger.secret == first
    with Ledger.open(tmp_path / "b", create=True) as ledger:
        assert ledger.secret != first
    assert len(first) == 32


def test_an_id_can_be_claimed_from_one_place_only(tmp_path: Path):
    with Ledger.open(tmp_path, create=True) as ledger:
        assert ledger.begin_pass() == 0
        assert [ledger.claim("a", 0), ledger.claim("b", 1)] == [True, True]
        assert ledger.claim("a", 2) is False
        assert ledger.claim("a", 0) is True
        assert ledger.counts() == Counts(rows=2)
        ledger.begin_pass()
        assert ledger.counts() == Counts(rows=0)
        assert ledger.claim("a", 2) is True


async def test_outcomes_come_in_input_order_whatever_the_order_of_completion(tmp_path: Path):
    with Ledger.open(tmp_path, create=True) as ledger:
        ledger.begin_pass()
        for ordinal, row_id in enumerate("zyxwv"):
            assert ledger.claim(row_id, ordinal)
        await end(ledger, "v", 4)
        await end(ledger, "x", 2)
        await end(ledger, "z", 0)
        await end(ledger, "w", 3, "unchanged")
        assert not ledger.claim("z", 5)
        await end(ledger, "z-5", 5, "duplicate_prompt")
        assert list(ledger.outcomes("pair")) == [b"z", b"x", b"v"]
        assert list(ledger.outcomes("reject")) == [b"w", b"z-5"]
        assert ledger.counts() == Counts(rows=6, pairs=3, rejects={"duplicate_prompt": 1, "unchanged": 1})


async def test_a_later_pass_takes_over_the_outcomes_of_the_rows_it_claims_and_no_others(tmp_path: Path):
    with Ledger.open(tmp_path, create=True) as ledger:
        ledger.begin_pass()
        for ordinal, row_id in enumerate("abc"):
            ledger.claim(row_id, ordinal)
        await end(ledger, "a", 0)
        await end(ledger, "b", 1, "timeout")
    with Ledger.open(tmp_path, create=True) as ledger:
        assert ledger.begin_pass() == 2
        assert (list(ledger.outcomes("pair")), ledger.counts()) == ([], Counts())
        assert ledger.claim("c", 0)
        assert ledger.claim("b", 1)
        assert ledger.counts() == Counts(rows=2, rejects={"timeout": 1})
        assert ledger.outcome("b") == StoredOutcome("d1", "reject", "timeout", b"b")
        assert ledger.outcome("c") is None
        await end(ledger, "b", 1, body=b"at last")
        assert ledger.outcome("b") == StoredOutcome("d1", "pair", None, b"at last")
        assert list(ledger.outcomes("pair")) == [b"at last"]
        assert ledger.counts() == Counts(rows=2, pairs=1)


async def test_an_outcome_that_is_still_being_written_is_not_exported_yet(tmp_path: Path):
    with Ledger.open(tmp_path, create=True) as ledger:
        writing = asyncio.create_task(end(ledger, "a", 0))
        await asyncio.sleep(0)
        assert list(ledger.outcomes("pair")) in ([], [b"a"])
        await writing
        assert list(ledger.outcomes("pair")) == [b"a"]


async def test_a_cancelled_put_is_kept_for_it_was_paid_for(tmp_path: Path):
    with Ledger.open(tmp_path, create=True) as ledger:
        task = asyncio.create_task(put(ledger, b"k", b"paid"))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    with Ledger.open(tmp_path, create=False) as ledger:
        assert ledger.get(b"k") == StoredReply(b"paid", 0.25)


async def test_after_close_everything_is_refused_and_closing_again_is_fine(tmp_path: Path):
    ledger = Ledger.open(tmp_path, create=True)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError):
        ledger.get(b"k")
    with pytest.raises(LedgerError):
        await put(ledger, b"k", b"")


ACTIONS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, 5), st.sampled_from(["claim", "pair", "unchanged", "timeout"])),
    max_size=25,
)


@settings(max_examples=25, deadline=None)
@given(st.lists(ACTIONS, min_size=1, max_size=3))
def test_any_history_of_passes_agrees_with_two_dictionaries(passes: list[list[tuple[str, int, str]]]):
    """The model: `ended` outlives a pass, `ordinals` does not."""
    ended: dict[str, str] = {}

    async def one_pass(ledger: Ledger, actions: list[tuple[str, int, str]]) -> None:
        ordinals: dict[str, int] = {}
        assert ledger.begin_pass() == len(ended)
        for row_id, ordinal, action in actions:
            if action == "claim":
                assert ledger.claim(row_id, ordinal) == (ordinals.setdefault(row_id, ordinal) == ordinal)
            else:
                ordinals.setdefault(row_id, ordinal)
                ended[row_id] = action
                await end(ledger, row_id, ordinal, None if action == "pair" else action)
        finished = sorted((ordinal, row_id) for row_id, ordinal in ordinals.items() if row_id in ended)
        rejects: dict[str, int] = {}
        for _, row_id in finished:
            if ended[row_id] != "pair":
                rejects[ended[row_id]] = rejects.get(ended[row_id], 0) + 1
        for kind in ("pair", "reject"):
            expected = [r.encode() for _, r in finished if (ended[r] == "pair") == (kind == "pair")]
            assert list(ledger.outcomes(cast("Kind", kind))) == expected
        pairs = len(finished) - sum(rejects.values())
        assert ledger.counts() == Counts(rows=len(ordinals), pairs=pairs, rejects=rejects)

    with tempfile.TemporaryDirectory() as folder:
        for actions in passes:
            with Ledger.open(Path(folder), create=True) as ledger:
                asyncio.run(one_pass(ledger, actions))
