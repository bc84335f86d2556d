"""What is written down about batches, and the limit on tokens that follows from it. Real: SQLite and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from clair.engines.batch.lane import allowance
from clair.engines.batch.records import Failure, Records, Request, Submission, requests_under_way
from clair.engines.batch.upload_file import UploadFile
from clair.errors import ClairError, LedgerError

A, B = bytes(32), bytes(31) + b"\x01"


def intend(records: Records, *keys: bytes, lane: str = "m") -> Submission:
    requests = {key: Request(key, "revise", 0.25) for key in keys}
    return records.intend(lane, requests, size=100, tokens=30, enqueued=70)


def test_a_submission_goes_through_its_states_and_survives_the_process_in_each(tmp_path: Path):
    assert (requests_under_way(tmp_path), list(tmp_path.iterdir())) == (0, [])
    records = Records(tmp_path)
    tag = intend(records, A, B).tag
    assert records.under_way("m") == [Submission(tag, "m", "intended", None, None, 2, 100, 30, 70, 0.5)]
    records.uploaded(tag, "file-1")
    records.close()
    records = Records(tmp_path)
    assert records.under_way() == [Submission(tag, "m", "uploaded", "file-1", None, 2, 100, 30, 70, 0.5)]
    records.created(tag, "batch_1")
    assert requests_under_way(tmp_path) == 2
    assert records.requests(tag) == {A: Request(A, "revise", 0.25), B: Request(B, "revise", 0.25)}
    assert records.is_under_way(A)
    records.settle(tag, "completed", {B: Failure("overloaded", "crashed", final=False)})
    assert records.under_way() == []
    assert not records.is_under_way(A)
    assert [it.state for it in records.ended("m")] == ["completed"]
    assert (records.failure(A), records.failure(B)) == (None, Failure("overloaded", "crashed", final=False))
    records.close()


def test_tries_are_counted_until_they_are_forgiven_and_what_is_final_stays(tmp_path: Path):
    records = Records(tmp_path)
    for _ in range(2):
        records.settle(
            intend(records, A, B).tag,
            "completed",
            {
                A: Failure("overloaded", "crashed", final=False),
                B: Failure("content_filter", "refused", final=True),
            },
        )
    assert records.failure(A) == Failure("overloaded", "crashed", final=False, tries=2)
    records.forgive()
    assert records.failure(A) is None
    assert records.failure(B) == Failure("content_filter", "refused", final=True, tries=2)
    records.close()


def test_lanes_are_kept_apart_and_an_unknown_price_stays_unknown(tmp_path: Path):
    records = Records(tmp_path)
    intend(records, A, lane="one")
    records.intend("two", {B: Request(B, "judge", None)}, size=1, tokens=1, enqueued=1)
    assert [it.lane for it in records.under_way("two")] == ["two"]
    assert records.under_way("two")[0].worst_usd is None
    assert len(records.under_way()) == 2
    records.close()


def test_a_damaged_file_is_named(tmp_path: Path):
    (tmp_path / "ledger.batches.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(LedgerError, match=r"ledger\.batches\.sqlite"):
        Records(tmp_path)


def ended(state: str, enqueued: int) -> Submission:
    return Submission("t", "m", state, "f", "b", 1, 1, enqueued, enqueued, None)


def test_the_allowance_halves_where_it_was_too_much_and_grows_with_what_went_through():
    assert allowance([ended("completed", 900)]) is None
    assert allowance([ended("over_limit", 900)]) == 450
    assert allowance([ended("over_limit", 900), ended("over_limit", 450)]) == 225
    assert allowance([ended("over_limit", 900), ended("completed", 450), ended("expired", 9)]) == 562


def test_a_full_disk_is_named_when_questions_are_written_down(tmp_path: Path):
    (tmp_path / "ledger.upload-1.jsonl").symlink_to("/dev/full")
    file = UploadFile(tmp_path, "1")
    with pytest.raises(ClairError, match=r"ledger\.upload-1\.jsonl: No space left.*same command again"):
        file.add(Request(A, "revise", None), b"x" * 100_000)
    file.remove()
    assert list(tmp_path.iterdir()) == []
