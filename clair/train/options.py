"""What `clair train-apo` can be told, with every default and where it comes from. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

Objective = Literal["apo_zero", "apo_down", "dpo", "ipo", "sft", "kto", "apo_zero_unpaired"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)
CONFIGS = ("fsdp2", "zero2")
"""Configurations for several GPUs that come with clair, in `configs/`."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """One training run. Only `data`, `model` and `output` have no default.

    The paper (arXiv 2408.06266, sections 5.2 and B.1; Llama-3-8B-Instruct, 29,000 pairs) trains APO with learning
    rate 2e-7, beta 0.1, batches of 64 pairs and 18 epochs: about 8,000 steps. The defaults keep its beta and
    batch, and take the cheaper schedule that others use for the same loss: learning rate 1e-6 (TRL's default and
    the SmolLM3 recipe) for 3 epochs. For the paper's own run: `--learning-rate 2e-7 --epochs 18`.
    """

    data: str
    """Run folder, Parquet or JSONL file, or a Hugging Face dataset id (`org/name[:config][/split]`)."""
    model: str
    """Folder or Hugging Face id of the model to align; it is also the reference."""
    output: Path
    """New folder for the trained model."""
    eval_data: str | None = None
    """Pairs to measure on, never trained on; the same forms as `data`."""

    objective: Objective = "apo_zero"
    beta: float = 0.1
    """Strength of the pull per nat of log-ratio (paper, section 5.2)."""
    learning_rate: float | None = None
    """None: 1e-6, or 1e-5 with LoRA (TRL's default and its advice to use about ten times as much for adapters)."""
    epochs: float = 3
    pairs_per_step: int = 64
    """Pairs in one update over all devices, exactly (paper, section B.1)."""
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises, before it falls linearly (SmolLM3's APO recipe)."""
    max_grad_norm: float = 1.0
    weight_decay: float = 0.0
    sft_weight: float = 0.0
    """Adds this many times the mean negative log-prob per token of chosen (RPO, arXiv 2404.19733)."""
    shared_weight: float = 1.0
    """Weight of the tokens that chosen and rejected have in common; 0 counts only the tokens that differ."""

    date: str | None = None
    """Date (YYYY-MM-DD) that a chat template prints, if it prints one. None: today's, or that of the run resumed."""
    max_length: int = 2048
    """Longest prompt plus completion, in tokens. Longer pairs are dropped and counted, never cut."""
    tokens_per_row: int | None = None
    """Tokens that go through the model at once. None: 1,024 on a CPU, 16,384 on a GPU. A pair is never split."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the computation. auto: bfloat16 on a GPU (trained weights stay float32), float32 elsewhere."""
    gradient_checkpointing: bool | None = None
    """Recompute activations in the backward pass: less memory, more computing. None: on, as in TRL's trainers, unless
    FSDP's own configuration does it."""
    lora_rank: int | None = None
    """Train a LoRA adapter of this rank in place of all weights."""
    load_in_4bit: bool = False
    """QLoRA: hold the frozen weights in 4 bits (needs `lora_rank`, CUDA and bitsandbytes)."""
    sharding: str | None = None
    """How several GPUs share one model: "fsdp2", "zero2", or a JSON file of transformers (FSDP) or DeepSpeed.

    None: as `accelerate launch` was told; with neither, each process holds the whole model."""

    seed: int = 0
    eval_every: int | None = None
    """Steps between evaluations on `eval_data`. None: at the end of each epoch."""
    save_every: int | None = None
    """Steps between checkpoints. None: at the end of each epoch."""
    keep_checkpoints: int = 1
    log_every: int = 1
    resume: bool = False
    """Go on from the newest checkpoint in `output`."""
    report_to: tuple[str, ...] = ()
    """Trackers that transformers knows, such as "wandb" or "tensorboard"."""
    reference_cache: Path | None = None
    """Folder for log-probs of reference models. None: `clair/reference` in the user's cache folder."""


SANDBOX_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "beta": 3.0,
        "learning_rate": 4e-4,
        "epochs": 2,
        "pairs_per_step": 32,
        "max_length": 512,
    }
)
"""Settings for the half-million-parameter student of the sandbox, measured there and meant for nothing else.

A model this small moves far in few steps: with the paper's beta of 0.1 it got worse on every learning rate tried,
with beta 1 to 3 and learning rates of 3e-4 to 4e-4 it gains.
"""
