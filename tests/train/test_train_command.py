"""`clair train-apo` as typed: exit codes and sentences for bad input, the summary of a good one. Models are tiny."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file
from tiny_models import chat_rows, tiny_model, tiny_tokenizer
from torch import distributed

from clair.cli import main
from clair.cli.train_apo import _own_group

HERE = Path(__file__).parent


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def train_apo(data: Path, model: Path, *options: str) -> Result:
    """The command in this process, writing to `out` beside the data."""
    out = data.parent / "out"
    cache = str(data.parent / "cache")
    arguments = ["train-apo", str(data), "--model", str(model), "-o", str(out), "--reference-cache", cache]
    return CliRunner().invoke(main, [*arguments, "--pairs-per-step", "4", "--epochs", "1", *options])


def refused(result: Result, code: int, sentence: str) -> None:
    assert (result.exit_code, "Traceback" in result.output) == (code, False), result.output
    assert sentence in result.output.replace("\n", " ")


def test_a_summary_for_programs(tmp_path: Path, model: Path) -> None:
    result = train_apo(lines(tmp_path / "pairs.jsonl", chat_rows(8)), model, "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout.splitlines()[-1])
    assert (summary["steps"], summary["pairs"], summary["reference_rows"] > 0) == (2, 8, True)


def test_bad_data_is_refused_before_anything_is_written(tmp_path: Path, model: Path) -> None:
    row = chat_rows(1)[0]
    empty = lines(tmp_path / "empty.jsonl", [])
    refused(train_apo(empty, model), 2, "holds no pairs")
    columns = lines(tmp_path / "columns.jsonl", [{"prompt": row["prompt"], "better": row["chosen"]}])
    refused(train_apo(columns, model), 2, "row 0: no column 'chosen'; it has better, prompt")
    same = lines(tmp_path / "same.jsonl", [{**row, "rejected": row["chosen"]}])
    refused(train_apo(same, model), 2, "1 with chosen and rejected the same")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    refused(train_apo(tmp_path / "cut.parquet", model), 2, "cannot be read as Parquet")
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_without_chat_template_is_refused(tmp_path: Path, model: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    for path in model.glob("*chat_template*"):
        path.unlink()
    tokenizer.save_pretrained(model)
    refused(train_apo(lines(tmp_path / "pairs.jsonl", chat_rows(4)), model), 2, "chat template")
    assert not (tmp_path / "out").exists()


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path, model: Path) -> None:
    data = lines(tmp_path / "pairs.jsonl", chat_rows(16))
    refused(train_apo(data, model, "--learning-rate", "1e38", "--warmup", "0"), 1, "Lower the learning rate")
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_settings_that_transformers_does_not_take_are_refused(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = lines(tmp_path / "pairs.jsonl", chat_rows(4))
    refused(train_apo(data, model, "--log-every", "0"), 2, "requires non-zero --logging_steps")
    refused(train_apo(data, model, "--report-to", "nobody"), 2, "nobody is not supported, only")
    monkeypatch.setitem(sys.modules, "wandb", None)
    refused(train_apo(data, model, "--report-to", "wandb"), 2, "--report-to wandb: WandbCallback requires wandb to be")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(
    os.environ.get("CLAIR_CHAOS_ROUNDS", "1") == "1", reason="processor time: make chaos; see test_train_ranks.py"
)
def test_two_processes_give_the_same_model_and_one_summary(tmp_path: Path, model: Path) -> None:
    """The command as typed, under torchrun."""
    data = lines(tmp_path / "pairs.jsonl", chat_rows(8))
    assert train_apo(data, model, "--learning-rate", "1e-3").exit_code == 0
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "clair",
         "train-apo", str(data), "--model", str(model), "--pairs-per-step", "4", "--epochs", "1",
         "--learning-rate", "1e-3", "--reference-cache", str(tmp_path / "cache"), "--json",
         "-o", str(tmp_path / "two")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1])},
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads(done.stdout)
    assert (summary["steps"], summary["reference_rows"]) == (2, 0)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("out", "two"))
    assert one.keys() == two.keys()
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-5


def test_a_process_group_is_left_by_who_opened_it() -> None:
    def join() -> None:
        distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)

    with _own_group():
        join()
    assert not distributed.is_initialized()

    join()
    with _own_group():
        pass
    assert distributed.is_initialized()
    distributed.destroy_process_group()
