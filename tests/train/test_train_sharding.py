"""Configurations and refusals. accelerate reads the shipped files itself; DeepSpeed does where it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from click.testing import CliRunner

from clair.cli import main
from clair.errors import UsageError
from clair.train import APOConfig, sharding
from clair.train.config import CHECKPOINTING
from clair.train.options import CONFIGS


@pytest.mark.parametrize("name", CONFIGS)
def test_accelerate_reads_the_printed_configuration(name: str, tmp_path: Path) -> None:
    printed = CliRunner().invoke(main, ["train-apo", "--print-config", name])
    assert printed.exit_code == 0
    path = tmp_path / "accelerate.yaml"
    path.write_text(printed.stdout)
    config = load_config_from_file(str(path))
    assert (config.num_processes, config.mixed_precision) == (8, "no")
    ours = {f"fsdp_{key}": value for key, value in json.loads(sharding.config_text("fsdp2.json")).items()}
    if name == "fsdp2":
        assert config.distributed_type == "FSDP"
        assert config.fsdp_config == {k.replace("cpu_offload", "offload_params"): v for k, v in ours.items()}
    else:
        assert config.distributed_type == "DEEPSPEED"
        assert config.deepspeed_config["zero_stage"] == 2


def test_deepspeed_reads_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` stands for what the Trainer fills in; here the smallest numbers."""
    pytest.importorskip("deepspeed")
    from deepspeed.runtime.config import DeepSpeedConfig

    config: dict[str, Any] = json.loads(sharding.config_text("zero2.json"))
    filled = {"train_batch_size": 1, "train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1}
    read = DeepSpeedConfig({**config, **filled, "gradient_clipping": 1.0, "bf16": {"enabled": True}})
    assert (read.zero_optimization_stage, read.grad_accum_dtype) == (2, "fp32")


def test_a_name_or_a_file_says_how_to_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert sharding.settings(None) == {}
    assert sharding.settings("fsdp2") == {"fsdp": True, "fsdp_config": json.loads(sharding.config_text("fsdp2.json"))}
    monkeypatch.setattr(sharding, "find_spec", lambda name: name)
    own = tmp_path / "own.json"
    own.write_text('{"zero_optimization": {"stage": 1}}')
    assert sharding.settings(str(own)) == {"deepspeed": {"zero_optimization": {"stage": 1}}}
    assert [sharding.kind(name) for name in (None, "fsdp2", "zero2")] == [None, "fsdp", "deepspeed"]
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert sharding.kind(None) == "deepspeed"


def test_a_wrong_name_or_one_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="'fsdp9' is neither fsdp2 nor zero2 nor a readable JSON file"):
        sharding.settings("fsdp9")
    with pytest.raises(UsageError, match="--sharding needs several processes: start with `torchrun"):
        sharding.settings("fsdp2")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(UsageError, match="holds no JSON object"):
        sharding.settings(str(tmp_path / "list.json"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(sharding, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="--sharding zero2 needs DeepSpeed: pip install deepspeed"):
        sharding.settings("zero2")


def config(**changes: Any) -> SimpleNamespace:
    """What `check_settings` looks at of an `APOConfig`: a double, for transformers makes one like it on GPUs only."""
    usual = {
        "fsdp": True,
        "deepspeed": None,
        "deepspeed_plugin": None,
        "distributed_state": SimpleNamespace(distributed_type="MULTI_GPU"),
        "bf16": True,
        "fp16": False,
        "gradient_checkpointing": True,
        "fsdp_plugin_args": {"fsdp_version": 2},
    }
    return SimpleNamespace(**{**usual, **changes})


def trainer(*, fsdp_version: int = 2, **changes: Any) -> SimpleNamespace:
    """What `check` looks at of a trainer: a double for the same reason."""
    plugin = SimpleNamespace(fsdp_version=fsdp_version, mixed_precision_policy="accelerate's")
    usual = {
        "args": config(),
        "accelerator": SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin), mixed_precision="bf16"),
        "model": SimpleNamespace(),
        "is_sharded": True,
        "is_fsdp_enabled": True,
    }
    return SimpleNamespace(**{**usual, **changes})


def test_the_sums_leave_fsdp_unrounded() -> None:
    made = trainer()
    sharding.check(made)
    policy = made.accelerator.state.fsdp_plugin.mixed_precision_policy
    assert (policy.param_dtype, policy.reduce_dtype, policy.output_dtype) == (torch.bfloat16, torch.float32, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fsdp_version": 1}, "FSDP version 1 is not supported; set `fsdp_version: 2`"),
        ({"model": SimpleNamespace(is_quantized=True)}, "4-bit weights are not sharded"),
        ({"args": config(bf16=False)}, "asks for mixed precision 'bf16' and the trainer for 'no'"),
    ],
)
def test_what_would_not_be_right_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sharding.check(trainer(**changes))


def test_zero_stage_3_is_refused() -> None:
    sharding.check_settings(config(deepspeed_plugin=SimpleNamespace(zero_stage=2)))
    with pytest.raises(UsageError, match=r"ZeRO stage 3 is not supported.* use FSDP2"):
        sharding.check_settings(config(deepspeed_plugin=SimpleNamespace(zero_stage=3)))


def test_activations_are_recomputed_unless_somebody_says_no_or_fsdp_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recomputes(**settings: Any) -> tuple[bool, bool]:
        made = APOConfig(output_dir=str(tmp_path), use_cpu=True, **settings)
        return getattr(made, CHECKPOINTING), made.gradient_checkpointing

    assert recomputes() == (True, True)
    assert recomputes(**{CHECKPOINTING: False}) == (False, False)
    monkeypatch.setattr("clair.train.config.recomputes", lambda args: True)
    assert recomputes() == (False, False)
    assert recomputes(**{CHECKPOINTING: True}) == (True, True)


def test_recomputing_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where FSDP is set by us, by a file of the user's, and by `accelerate launch`."""
    check_settings = sharding.check_settings
    check_settings(config())
    own = {"fsdp_plugin_args": {"activation_checkpointing": True}}
    check_settings(config(gradient_checkpointing=False, **own))
    with pytest.raises(UsageError, match=r"by FSDP's activation_checkpointing and by the trainer; .*--no-gradient-ch"):
        check_settings(config(**own))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_ACTIVATION_CHECKPOINTING", "true")
    with pytest.raises(UsageError, match="recomputed twice"):
        check_settings(config(fsdp=False, fsdp_plugin_args=None))


def test_cpus_are_refused_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """accelerate itself would take an FSDP configuration for data parallel on CPUs, without a word."""
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UsageError, match="shard a model over several processes with a GPU each"):
        APOConfig(output_dir=str(tmp_path / "out"), use_cpu=True, report_to="none")
    assert not (tmp_path / "out").exists()
