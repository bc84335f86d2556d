"""Real processes over gloo against one without: the same losses, metrics and weights.

FSDP2 is torch's and accelerate's own, on CPUs; what accelerate is told for that is in `cpu_shards.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rank_worker
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
EXACT = [case for case in rank_worker.CASES if "bfloat16" not in case]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """What two ranks found, and the folder of all that was found."""
    folder = tmp_path_factory.mktemp("ranks")
    done = subprocess.run(
        [sys.executable, str(HERE / "rank_worker.py"), str(folder)],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])]),
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, json.loads((folder / "found-2.json").read_text())


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("case", EXACT)
def test_two_ranks_equal_one(two: tuple[Path, dict[str, Any]], tmp_path: Path, case: str) -> None:
    """9 pairs in steps of 4, 4 and 1: in the last step the second rank has none. Evaluation on 3 pairs."""
    theirs, ours = two[1][case], rank_worker.run(tmp_path, 1, case)
    assert theirs["wrapped"].startswith("FSDP" if case.startswith("fsdp") else "DistributedDataParallel")
    assert len(ours["steps"]) == (6 if case in rank_worker.RESUMED else 3)
    for one, both in zip(ours["steps"], theirs["steps"], strict=True):
        assert both == pytest.approx(one, rel=1e-4, abs=1e-5)
    assert theirs["evaluation"] == pytest.approx(ours["evaluation"], rel=1e-5, abs=1e-5)
    assert (torch.tensor(theirs["weights"]) - torch.tensor(ours["weights"])).abs().max() < 1e-5


def test_a_launcher_s_only_process_is_like_any_other(two: tuple[Path, dict[str, Any]]) -> None:
    """Its model is wrapped for data parallel training all the same."""
    folder, both = two
    alone = json.loads((folder / "found-1.json").read_text())["ddp apo_zero"]
    assert alone["wrapped"] == "DistributedDataParallel"
    assert alone["evaluation"] == pytest.approx(both["ddp apo_zero"]["evaluation"], rel=1e-5, abs=1e-5)
    assert (torch.tensor(alone["weights"]) - torch.tensor(both["ddp apo_zero"]["weights"])).abs().max() < 1e-5


def test_the_command_gives_the_same_model_and_one_summary(two: tuple[Path, dict[str, Any]]) -> None:
    folder = two[0]
    summary = json.loads((folder / "printed-2-0").read_text())
    assert (summary["steps"], summary["pairs"]) == (2, 8)
    assert (folder / "printed-2-1").read_text() == ""
    one, both = (load_file(folder / f"command-{world}" / "model.safetensors") for world in (1, 2))
    assert one.keys() == both.keys()
    assert max(float((one[name] - both[name]).abs().max()) for name in one) < 1e-5


@pytest.mark.parametrize("case", ["ddp bfloat16", "fsdp bfloat16"])
def test_bfloat16_rounds_activations_and_not_the_sums(two: tuple[Path, dict[str, Any]], case: str) -> None:
    """The loss starts at exactly 1; the summed log-probs, about -150, are no multiples of 1/2 as bfloat16's are.

    FSDP as `accelerate launch` sets it from the printed configuration.
    """
    exact, rounded = two[1]["ddp apo_zero"]["steps"], two[1][case]["steps"]
    assert two[1][case]["wrapped"].startswith("FSDP" if case.startswith("fsdp") else "DistributedDataParallel")
    assert rounded[0][0] == pytest.approx(1.0, abs=1e-3)
    assert rounded[0][3] == pytest.approx(exact[0][3], abs=0.3)
    assert rounded[0][3] != exact[0][3]
    assert 4 * 2 * rounded[0][3] % 1 != 0
    assert rounded[2][0] == pytest.approx(exact[2][0], abs=0.05)


@pytest.mark.parametrize("case", rank_worker.RESUMED)
def test_resuming_equals_not_stopping(two: tuple[Path, dict[str, Any]], case: str) -> None:
    """To the last bit, with no forward pass of the reference."""
    result = two[1][case]
    assert result["reference_rows"] == 0
    assert result["resumed"] == {k: result[k] for k in result["resumed"]}


def test_the_saved_model_is_whole(two: tuple[Path, dict[str, Any]]) -> None:
    """Checkpoints of the shipped FSDP configuration are sharded; what `save_model` writes is not."""
    folder, results = two
    saved = load_file(folder / "fsdp apo_zero" / "model.safetensors")
    trained = torch.tensor(results["fsdp apo_zero"]["weights"])
    names = [name for name, _ in rank_worker.tiny_model().named_parameters()]
    assert torch.equal(torch.cat([saved[name].flatten() for name in names]), trained)
