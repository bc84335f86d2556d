"""Which backend a model gets, and the variable-length kernel of CUDA, emulated on the CPU (`emulated_varlen.py`)."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from emulated_varlen import emulated_varlen, strict_varlen
from test_train_logps import PAIRS, prepared
from tiny_models import KINDS, tiny_model
from transformers import LlamaConfig

from clair.train import attention
from clair.train.layout import shared_row
from clair.train.objectives import PairLoss

KERNEL = "torch.nn.attention.varlen.varlen_attn"


@pytest.mark.parametrize("kind", KINDS)
def test_the_gathered_kernel_gets_the_right_paths(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The varlen backend with an emulated kernel gives what the sdpa backend gives."""
    monkeypatch.setattr(KERNEL, emulated_varlen)
    model = tiny_model(kind)
    row = shared_row(PAIRS)
    by_path = prepared(model, "sdpa")(row=row)["logps"]
    gathered = prepared(model, "varlen")(row=row)["logps"]
    assert (by_path - gathered).abs().max() < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_the_kernel_gets_one_dtype_under_autocast(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 weights, as in full fine-tuning: rotated queries and keys are float32 there, and values are not."""
    monkeypatch.setattr(KERNEL, strict_varlen)
    model, row, found = tiny_model(kind), shared_row(PAIRS), []
    row.reference = torch.zeros(len(row.targets))
    for backend in ("sdpa", "varlen"):
        prepared(model, backend).zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            logps = model(row=row)["logps"]
            torch.clear_autocast_cache()
            model(row=row, pair_loss=PairLoss())["loss"].backward()
        found.append((logps, torch.cat([p.grad.flatten() for p in model.parameters()])))
    assert (found[0][0] - found[1][0]).abs().max() < 0.15
    assert torch.nn.functional.cosine_similarity(found[0][1], found[1][1], dim=0) > 0.99


def test_without_autocast_values_say_which_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KERNEL, strict_varlen)
    row = shared_row(PAIRS)
    assert row.spans is not None
    tree = attention.plan(row.spans, "varlen", torch.device("cpu"))
    query = torch.randn(1, 4, row.input_ids.shape[1], 8)
    key, value = query[:, :2], query[:, :2].bfloat16()
    output, _ = attention.tree_attention(torch.nn.Module(), query, key, value, None, scaling=1.0, tree=tree)
    assert output.dtype == torch.bfloat16


def test_heads_too_wide_for_the_kernel_go_path_by_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Gemma 4's global layers, 512 wide among others of 256."""
    monkeypatch.setattr(KERNEL, strict_varlen)
    model = tiny_model(head_dim=264).to(torch.bfloat16)
    row = shared_row(PAIRS)
    assert torch.equal(prepared(model, "sdpa")(row=row)["logps"], prepared(model, "varlen")(row=row)["logps"])


CPU = torch.device("cpu")


def choice(model: Any, **changes: Any) -> tuple[str, str]:
    return attention.choose(model, **{"device": CPU, "half": False, "max_length": 128, **changes})


def test_the_fastest_exact_backend_is_chosen() -> None:
    assert choice(tiny_model()) == ("sdpa", "32-bit cpu")
    assert choice(tiny_model(), device=torch.device("cuda"), half=True) == ("varlen", "16-bit CUDA")
    assert choice(tiny_model(), device=torch.device("cuda")) == ("sdpa", "32-bit cuda")


def test_models_that_cannot_follow_a_tree_are_recognized() -> None:
    model = tiny_model()
    recurrent, capped, stretched = (copy.deepcopy(model) for _ in range(3))
    recurrent.config.layer_types = ["linear_attention", "full_attention"]
    capped.config.attn_logit_softcapping = 50.0
    stretched.config = LlamaConfig(
        max_position_embeddings=64, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    )
    assert choice(recurrent) == ("padded", "llama has layers that are not plain attention (linear_attention)")
    assert choice(capped) == ("padded", "llama soft-caps its attention")
    assert choice(stretched) == ("padded", "llama changes its position encoding with the length of a row")


def test_what_is_tried_when_a_kernel_does_not_work() -> None:
    assert attention.candidates("varlen") == ("varlen", "sdpa", "padded")
    assert attention.candidates("sdpa") == ("sdpa", "padded")
    assert attention.candidates("padded") == ("padded",)
