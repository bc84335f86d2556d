"""Models that no process holds whole: FSDP2 and DeepSpeed's ZeRO, as accelerate brings them.

    torchrun --nproc-per-node 8 -m clair train-apo ... --sharding fsdp2
    clair train-apo --print-config fsdp2 > fsdp2.yaml
    accelerate launch --config_file fsdp2.yaml -m clair train-apo ...

The files are in `configs/`: the JSON ones are what `--sharding` takes by name, the YAML ones what `accelerate launch`
reads. This module turns them into settings of `APOConfig` and checks what accelerate made of them.
"""

from __future__ import annotations

import json
import os
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clair.errors import UsageError
from clair.train.options import CONFIGS


def config_text(name: str) -> str:
    """A configuration that comes with clair: `NAME.json` for `--sharding`, `NAME.yaml` for `accelerate launch`."""
    return (resources.files("clair.train") / "configs" / name).read_text(encoding="utf-8")


def settings(sharding: str | None) -> dict[str, Any]:
    """The fields of `APOConfig` for `--sharding`: a name of ours, or a JSON file.

    A file with `zero_optimization` is DeepSpeed's, any other an `fsdp_config` of transformers. Raises UsageError.
    """
    if sharding is None:
        return {}
    try:
        text = config_text(f"{sharding}.json") if sharding in CONFIGS else Path(sharding).read_text(encoding="utf-8")
        config = json.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--sharding {sharding!r} is neither {' nor '.join(CONFIGS)} nor a readable JSON file: {error}"
        ) from error
    if not isinstance(config, dict):
        raise UsageError(f"--sharding {sharding!r} holds no JSON object")
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        raise UsageError("--sharding needs several processes: start with `torchrun --nproc-per-node 8 -m clair ...`")
    if "zero_optimization" in config:
        if find_spec("deepspeed") is None:
            raise UsageError(f"--sharding {sharding} needs DeepSpeed: pip install deepspeed")
        return {"deepspeed": config}
    return {"fsdp": True, "fsdp_config": config}


def kind(sharding: str | None) -> str | None:
    """ "fsdp", "deepspeed" or None, from `--sharding` or what `accelerate launch` was told. Raises UsageError.

    Checkpoints of one are not read by another.
    """
    fields = settings(sharding)
    for name in ("fsdp", "deepspeed"):
        if name in fields or os.environ.get(f"ACCELERATE_USE_{name.upper()}", "").lower() == "true":
            return name
    return None


def check_settings(args: Any) -> None:
    """Refuse settings (an `APOConfig`) under which nothing would be sharded, or not be right. Raises UsageError."""
    if not (args.fsdp or args.deepspeed or kind(None)):
        return
    if args.distributed_state.distributed_type in ("NO", "MULTI_CPU"):
        raise UsageError(
            "FSDP and DeepSpeed shard a model over several processes with a GPU each, and here each would hold all of "
            "it. Start without them, or with torchrun or accelerate launch on GPUs"
        )
    if args.gradient_checkpointing and recomputes(args):
        raise UsageError(
            "activations would be recomputed twice, by FSDP's activation_checkpointing and by the trainer; "
            "leave one to do it (--no-gradient-checkpointing, or take it out of the FSDP configuration)"
        )
    if args.deepspeed_plugin is not None and str(args.deepspeed_plugin.zero_stage) == "3":
        raise UsageError(
            "ZeRO stage 3 is not supported, because log-probs under it have not been shown to be right; "
            "use FSDP2, which shards the weights as well (--sharding fsdp2), or ZeRO stage 2"
        )


def recomputes(args: Any) -> bool:
    """Whether FSDP's own configuration, or accelerate's, asks for activation checkpointing."""
    told = os.environ.get("FSDP_ACTIVATION_CHECKPOINTING", "false") if kind(None) == "fsdp" else "false"
    wanted = (args.fsdp_plugin_args or {}).get("activation_checkpointing", told)
    return str(wanted).lower() in ("1", "true", "yes", "on", "y", "t")


def check(trainer: Any) -> None:
    """Refuse what accelerate made of the settings if it is not right; set FSDP's precision. Raises UsageError."""
    args, accelerator = trainer.args, trainer.accelerator
    wanted = "bf16" if args.bf16 else "fp16" if args.fp16 else "no"
    if accelerator.mixed_precision != wanted:
        raise UsageError(
            f"accelerate's configuration asks for mixed precision {accelerator.mixed_precision!r} and the trainer for "
            f'{wanted!r}; set `mixed_precision: "no"` there, and --dtype decides'
        )
    if trainer.is_sharded and getattr(trainer.model, "is_quantized", False):
        raise UsageError("4-bit weights are not sharded; start without FSDP and DeepSpeed, or without --load-in-4bit")
    if trainer.is_fsdp_enabled:
        if accelerator.state.fsdp_plugin.fsdp_version != 2:
            raise UsageError("FSDP version 1 is not supported; set `fsdp_version: 2` in the configuration")
        accelerator.state.fsdp_plugin.mixed_precision_policy = precision(bf16=args.bf16)


def announce(args: Any) -> None:
    """Tell transformers, before it loads the model, if only the first process is to read the weights.

    `accelerate launch` has told it already.
    """
    if args.fsdp and args.fsdp_plugin_args["cpu_ram_efficient_loading"]:
        os.environ.update(ACCELERATE_USE_FSDP="true", FSDP_CPU_RAM_EFFICIENT_LOADING="true")


def precision(*, bf16: bool) -> Any:
    """FSDP2's precision: weights gathered in bfloat16 or as they are, gradients added up in float32, results untouched.

    accelerate's own choice for bfloat16 would round the loss and the sums of log-probs to it on their way out, and
    add up the gradients of the processes in it.
    """
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy

    return MixedPrecisionPolicy(param_dtype=torch.bfloat16 if bf16 else None, reduce_dtype=torch.float32)
