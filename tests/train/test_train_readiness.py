"""How a trainer on tiny models finds a layout that works; the CUDA kernel is a double (`emulated_varlen.py`)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from emulated_varlen import strict_varlen
from test_train_attention import KERNEL
from test_train_trainer import make_trainer, steps
from tiny_models import KINDS, tiny_model
from transformers import AfmoeConfig, AfmoeForCausalLM, Qwen2MoeConfig, Qwen2MoeForCausalLM

from clair.errors import ClairError


def as_on_a_gpu(folder: Path, kind: str = "llama", **more: Any) -> Any:
    return make_trainer(folder, model=tiny_model(kind), layout="varlen", bf16=True, **more)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gpu_s_default_trains_with_its_kernel(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full fine-tuning of float32 weights in bfloat16."""
    monkeypatch.setattr(KERNEL, strict_varlen)
    trainer = as_on_a_gpu(tmp_path, kind)
    trainer.train()
    assert trainer.collator.backend == "varlen"
    assert steps(trainer)[0]["loss"] == pytest.approx(1.0, abs=0.02)


def refuses_the_card(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.\nException raised from mha_varlen_fwd")


def older_torch(q: Any, k: Any, v: Any, ends_q: Any, ends_k: Any, longest_q: int, longest_k: int) -> Any:
    raise AssertionError("the call has arguments that this one lacks")


def refuses_backward(*args: Any, **kwargs: Any) -> Any:
    def hook(gradient: Any) -> None:
        raise RuntimeError("FlashAttention backward for head dim > 192 requires A100/A800 or H100/H800")

    output = strict_varlen(*args, **kwargs)
    if output.requires_grad:
        output.register_hook(hook)
    return output


@pytest.mark.parametrize(
    ("kernel", "why"),
    [
        (refuses_the_card, "FlashAttention only supports Ampere GPUs or newer."),
        (older_torch, "got an unexpected keyword argument"),
        (refuses_backward, "FlashAttention backward for head dim > 192 requires"),
    ],
)
def test_a_kernel_that_fails_leaves_the_tree_to_the_slower_one(
    kernel: Any, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(KERNEL, kernel)
    trainer = as_on_a_gpu(tmp_path)
    with caplog.at_level(logging.WARNING, "clair"):
        trainer.train()
    assert trainer.collator.backend == "sdpa"
    (warning,) = [record.getMessage() for record in caplog.records if "layout" in record.getMessage()]
    assert warning.startswith("layout: sdpa (as set; with varlen: ")
    assert why in warning
    assert "mha_varlen_fwd" not in warning


def test_memory_that_runs_out_is_no_reason_for_another_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(KERNEL, full)
    with pytest.raises(torch.OutOfMemoryError):
        as_on_a_gpu(tmp_path).get_ready()


def test_a_model_that_no_layout_runs_is_refused_with_what_it_said(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)

    def broken(module: Any, args: Any) -> None:
        raise TypeError("no such argument")

    trainer.model.model.layers[0].register_forward_pre_hook(broken)
    with pytest.raises(ClairError, match=r"sdpa: no such argument; with padded: no such argument.*cannot be trained"):
        trainer.get_ready()


SMALL = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "eos_token_id": 1}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "pad_token_id": 0}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}


def test_a_window_that_only_the_mask_knows_is_noticed(tmp_path: Path) -> None:
    """Qwen2-MoE's attention never hears of it; and here it is wider than any pair that is probed."""
    layers = {"use_sliding_window": True, "layer_types": ["sliding_attention"] * 2, "sliding_window": 100}
    shared = {"shared_expert_intermediate_size": 16, "bos_token_id": None}
    torch.manual_seed(0)
    model = Qwen2MoeForCausalLM(Qwen2MoeConfig(**SMALL, **HEADS, **EXPERTS, **layers, **shared))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2) if parameter.dim() > 1 else None
    trainer = make_trainer(tmp_path, model=model)
    trainer.get_ready()
    assert trainer.collator.backend == "padded"
    assert model.config.sliding_window == 100


@pytest.mark.parametrize("kind", ["mistral", "gemma3"])
def test_a_wide_window_that_the_attention_is_told_keeps_the_tree(kind: str, tmp_path: Path) -> None:
    model = tiny_model(kind, sliding_window=100)
    trainer = make_trainer(tmp_path, model=model)
    trainer.get_ready()
    assert trainer.collator.backend == "sdpa"
    assert model.config.sliding_window == 100


def test_layers_that_view_what_attention_returns_can_follow_a_tree(tmp_path: Path) -> None:
    """AFMoE asks for a contiguous tensor, as transformers' own attention returns one."""
    layers = {"sliding_window": 5, "head_dim": 8, "layer_types": ["sliding_attention", "full_attention"]}
    torch.manual_seed(0)
    model = AfmoeForCausalLM(AfmoeConfig(**SMALL, **HEADS, **EXPERTS, **layers, num_dense_layers=1, bos_token_id=None))
    trainer = make_trainer(tmp_path, model=model)
    trainer.get_ready()
    assert trainer.collator.backend == "sdpa"


def test_the_probe_leaves_no_gradient(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    trainer.get_ready()
    assert all(p.grad is None for p in trainer.model.parameters())
