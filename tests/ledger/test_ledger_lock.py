"""The lock on a run folder. Real: files, flock, processes and SIGKILL; nothing is doubled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clair.errors import LedgerError
from clair.ledger import Ledger

HOLD = """
import sys, time
from pathlib import Path
from clair.ledger import Ledger
ledger = Ledger.open(Path(sys.argv[1]), create=True)
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_open_in_the_same_process_is_refused_and_names_it(tmp_path: Path):
    with Ledger.open(tmp_path, create=True):
        with pytest.raises(LedgerError) as refusal:
            Ledger.open(tmp_path, create=True)
        assert str(refusal.value) == (
            f"{tmp_path} is in use by process {os.getpid()}. "
            "Wait until it ends or stop it, then run the same command again."
        )
    Ledger.open(tmp_path, create=False).close()


def test_another_process_is_named_and_its_death_by_sigkill_frees_the_folder(tmp_path: Path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LedgerError, match=f"in use by process {holder.pid}"):
            Ledger.open(tmp_path, create=True)
        holder.kill()
    Ledger.open(tmp_path, create=False).close()


def test_a_refused_open_leaves_no_lock_behind(tmp_path: Path):
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database, but longer than a header would be" * 10)
    for _ in range(2):
        with pytest.raises(LedgerError, match="is damaged"):
            Ledger.open(tmp_path, create=True)


def test_without_create_a_missing_ledger_is_an_error_and_nothing_is_made(tmp_path: Path):
    with pytest.raises(LedgerError, match=r"no ledger in .*clair generate -o"):
        Ledger.open(tmp_path / "run", create=False)
    assert list(tmp_path.iterdir()) == []
