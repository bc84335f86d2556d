"""Two real processes over gloo, started by torchrun, against one: the same losses, metrics and weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import rank_worker

HERE = Path(__file__).parent
OBJECTIVES = ("apo_zero", "kto")


def test_two_ranks_equal_one(tmp_path: Path) -> None:
    """9 pairs in steps of 4, 4 and 1: in the last step the second rank has none. Evaluation on 3 pairs."""
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         str(HERE / "rank_worker.py"), str(tmp_path), *OBJECTIVES],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])},
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text())
    for objective in OBJECTIVES:
        one, two = rank_worker.run(tmp_path, 1, objective), found[objective]
        assert len(one["steps"]) == 6
        for ours, theirs in zip(one["steps"], two["steps"], strict=True):
            assert theirs == pytest.approx(ours, rel=1e-4, abs=1e-5)
        assert two["evaluation"] == pytest.approx(one["evaluation"], rel=1e-5)
        assert two["weights"] == pytest.approx(one["weights"], abs=1e-5)
