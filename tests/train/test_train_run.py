"""`train` from files to a model folder, resuming included, with real tiny models on disk. Kills are real signals."""

from __future__ import annotations

import datetime
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import CHAT_TEMPLATE, chat_rows, tiny_model, tiny_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import chat_template_utils

from clair.errors import ClairError, UsageError
from clair.train import TrainOptions, run, train
from clair.train.load import load_model
from clair.train.trainer import APOTrainer

HERE = Path(__file__).parent


@pytest.fixture
def options(tmp_path: Path) -> TrainOptions:
    """A model folder, 10 training and 3 evaluation pairs, 2 epochs of 5 steps."""
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    for name, rows in (("pairs", chat_rows(10)), ("held_out", chat_rows(3, seed=8))):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return TrainOptions(
        data=str(tmp_path / "pairs.jsonl"),
        model=str(tmp_path / "model"),
        output=tmp_path / "out",
        reference_cache=tmp_path / "reference",
        learning_rate=1e-3,
        beta=0.5,
        epochs=2,
        pairs_per_step=2,
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(v, right[k]) for k, v in left.items())


def test_the_output_loads_like_any_model_and_says_how_it_was_made(options: TrainOptions, tmp_path: Path) -> None:
    result = train(replace(options, eval_data=str(tmp_path / "held_out.jsonl")))
    out = options.output
    assert (result.steps, result.pairs, result.dropped) == (10, 10, 0)
    assert result.first["loss"] == pytest.approx(1.0, abs=1e-5)
    assert result.evaluation["eval_loss"] < 1
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert tokenizer.chat_template == tiny_tokenizer().chat_template
    assert not same(dict(model.state_dict()), dict(tiny_model().state_dict()))
    assert sorted(p.name for p in out.iterdir()) == [
        "README.md", "checkpoints", "config.json", "curves.html", "generation_config.json", "metrics.jsonl",
        "model.safetensors", "tokenizer.json", "tokenizer_config.json", "train.json",
    ] or (out / "chat_template.jinja").exists()  # fmt: skip
    assert "clair_tree" not in (out / "config.json").read_text()
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "learning_rate" in line] == list(range(1, 11))
    assert [line["step"] for line in lines if "eval_loss" in line] == [0, 5, 10]
    card = (out / "README.md").read_text()
    assert "aligned with the `apo_zero` objective" in card
    assert "10 pairs given, 10 trained on" in card
    assert str(tmp_path) not in card


def test_resuming_continues_to_the_last_bit(options: TrainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in the middle of the second epoch, after the checkpoint of step 6: steps 7 and 8 are done again."""
    train(options)
    other = replace(options, output=options.output.with_name("other"), save_every=3)
    original = APOTrainer.training_step

    def interrupted(self: APOTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.state.global_step == 8:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    monkeypatch.setattr(APOTrainer, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(other)
    assert not (other.output / "model.safetensors").exists()
    monkeypatch.undo()
    result = train(replace(other, resume=True))
    assert (result.steps, result.reference_rows) == (10, 0)
    assert same(weights(options.output), weights(other.output))
    left, right = (
        [json.loads(line) for line in (o.output / "metrics.jsonl").read_text().splitlines()] for o in (options, other)
    )
    compared = [[(e["step"], e["loss"], e["rewards/chosen"]) for e in x if "learning_rate" in e] for x in (left, right)]
    assert compared[0] == compared[1]


def test_a_template_that_prints_the_date_keeps_that_of_the_start(
    options: TrainOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of one day is resumed on the next, to the last bit; `date` lets a new run share its reference.

    The clocks of `run` and of transformers are doubled.
    """
    tiny_tokenizer(chat_template="{{ strftime_now('%d %b %Y') }}" + CHAT_TEMPLATE).save_pretrained(options.model)
    today = [21]

    class Day(datetime.date):
        @classmethod
        def today(cls) -> Day:
            return cls(2026, 11, today[0])

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Clock:
            return cls(2026, 11, today[0])

    monkeypatch.setattr(run, "date", Day)
    monkeypatch.setattr(chat_template_utils, "datetime", Clock)
    train(options)
    other = replace(options, output=options.output.with_name("other"), epochs=2)
    original = APOTrainer.training_step

    def interrupted(self: APOTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.state.global_step == 7:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    monkeypatch.setattr(APOTrainer, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(other)
    monkeypatch.setattr(APOTrainer, "training_step", original)
    today[0] = 22
    resumed = train(replace(other, resume=True))
    assert (resumed.steps, resumed.reference_rows) == (10, 0)
    assert same(weights(options.output), weights(other.output))
    assert json.loads((other.output / "train.json").read_text())["date"] == "2026-11-21"
    again = replace(options, epochs=1, output=options.output.with_name("again"))
    assert train(replace(again, date="2026-11-21")).reference_rows == 0
    with pytest.raises(UsageError, match=r"has other settings \(date: '2026-11-21' -> '2026-11-22'; data_sha256"):
        train(replace(again, date="2026-11-22", resume=True))


KILLED = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from clair.train import TrainOptions, train
fields = json.loads(sys.argv[1])
train(TrainOptions(**{**fields, "output": Path(fields["output"]), "reference_cache": Path(fields["reference_cache"])}))
"""


def test_kill_9_and_resume_equals_an_undisturbed_run(options: TrainOptions) -> None:
    """A real process, killed as soon as its first checkpoint appears, perhaps half written; then resumed."""
    long = replace(options, epochs=20, save_every=3)
    undisturbed = replace(long, output=options.output.with_name("undisturbed"))
    fields = {k: str(v) if isinstance(v, Path) else v for k, v in vars_of(long).items()}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, json.dumps(fields)],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while not list(long.output.glob("checkpoints/checkpoint-*")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (long.output / "model.safetensors").exists()
    assert train(replace(long, resume=True)).steps == 100
    train(undisturbed)
    assert same(weights(long.output), weights(undisturbed.output))


def vars_of(options: TrainOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in options.__dataclass_fields__}


def test_a_half_written_checkpoint_is_removed(tmp_path: Path) -> None:
    for step, state in ((5, "{}"), (10, "{}"), (15, '{"cut'), (20, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert run.newest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-5"]
    assert run.newest_checkpoint(tmp_path / "none") is None


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_lora_gives_an_adapter_and_a_merged_model(options: TrainOptions) -> None:
    from peft import PeftModel

    train(replace(options, lora_rank=4))
    ids = torch.tensor([[5, 6, 7]])
    merged = AutoModelForCausalLM.from_pretrained(options.output)(ids).logits
    adapted = PeftModel.from_pretrained(tiny_model(), str(options.output / "adapter"))(ids).logits
    assert (merged - adapted).abs().max() < 1e-4
    assert (merged - tiny_model()(ids).logits).abs().max() > 1e-3


def test_what_is_there_is_never_overwritten(options: TrainOptions) -> None:
    options.output.mkdir()
    (options.output / "precious").write_text("x")
    with pytest.raises(UsageError, match="is not empty; give a new folder, or --resume"):
        train(options)
    with pytest.raises(UsageError, match="is a file; give a folder that does not exist yet"):
        train(replace(options, output=options.output / "precious"))
    assert [p.name for p in options.output.iterdir()] == ["precious"]


def test_resuming_with_other_settings_is_refused(options: TrainOptions) -> None:
    train(replace(options, epochs=1))
    with pytest.raises(UsageError, match=r"has other settings \(beta: 0.5 -> 2.0; epochs: 1 -> 3\)"):
        train(replace(options, epochs=3, beta=2.0, resume=True, keep_checkpoints=4))


def model_folder(options: TrainOptions) -> Path:
    return Path(options.model)


def edit_config(options: TrainOptions, **changes: Any) -> None:
    path = model_folder(options) / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_bad_models_are_refused_in_one_sentence(options: TrainOptions, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tokenizer can be loaded from"):
        train(replace(options, model=str(tmp_path / "nowhere")))
    edit_config(options, architectures=["LlamaModel"])
    with pytest.raises(UsageError, match="is a LlamaModel and has no causal language model head"):
        train(options)
    edit_config(options, architectures=["LlamaForCausalLM"])
    (model_folder(options) / "model.safetensors").rename(model_folder(options) / "pytorch_model.bin")
    with pytest.raises(UsageError, match="no causal language model can be loaded from"):
        train(options)
    assert not options.output.exists()


def test_bad_options_are_refused_before_anything_is_written(
    options: TrainOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for change, message in (
        ({"epochs": 0}, "--epochs must be positive, got 0"),
        ({"pairs_per_step": 0}, "--pairs-per-step 0 does not divide evenly over 1 processes"),
        ({"date": "21.11.2026"}, "date must be a day as YYYY-MM-DD, got '21.11.2026'"),
        ({"beta": -1.0}, "beta must be a positive number, got -1.0"),
        ({"load_in_4bit": True}, "--load-in-4bit freezes the weights, so it needs an adapter"),
        ({"load_in_4bit": True, "lora_rank": 4}, "--load-in-4bit needs a CUDA GPU"),
    ):
        with pytest.raises(UsageError, match=message):
            train(replace(options, **change))
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UsageError, match="--pairs-per-step 6 does not divide evenly over 4 processes"):
        run.arguments(replace(options, pairs_per_step=6), on_gpu=False)
    assert not options.output.exists()


def test_too_small_a_disk_is_noticed_first(options: TrainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """The free space is doubled."""
    monkeypatch.setattr(run.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(ClairError, match=r"needs about 0.0 GB for model and checkpoints, and 0.0 GB are free"):
        train(options)
    assert not options.output.exists()


def test_a_disk_that_fills_up_is_explained(options: TrainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saving fails and no space is left (both doubled); the resumed run finishes."""
    original = APOTrainer.save_model
    monkeypatch.setattr(run, "_check_disk", lambda model, options: None)

    def full(self: APOTrainer, *args: Any, **kwargs: Any) -> None:
        monkeypatch.setattr(run.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 0})())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(APOTrainer, "save_model", full)
    with pytest.raises(ClairError, match=r"the disk of .* is full; free some space and run again with --resume"):
        train(options)
    monkeypatch.setattr(APOTrainer, "save_model", original)
    assert train(replace(options, resume=True)).steps == 10


def test_weights_stay_in_float32_and_frozen_ones_follow_the_computation(options: TrainOptions) -> None:
    def dtype(**changes: Any) -> torch.dtype:
        return next(load_model(replace(options, **changes), on_gpu=False).parameters()).dtype

    assert dtype() == dtype(dtype="bfloat16") == torch.float32
    assert dtype(dtype="bfloat16", lora_rank=4) == torch.bfloat16


def test_bfloat16_trains(options: TrainOptions) -> None:
    """Autocast on a CPU: log-probs and sums stay float32, so the start is still close to 1."""
    result = train(replace(options, dtype="bfloat16"))
    assert result.first["loss"] == pytest.approx(1.0, abs=0.05)
    assert result.last["rewards/margins"] > 0
    assert weights(options.output)["lm_head.weight"].dtype == torch.float32
