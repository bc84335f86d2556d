"""What is done to a model before it is trained: adapters, dropout, parts that text does not go through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from test_train_trainer import ROWS, make_trainer, steps
from tiny_models import tiny_model
from transformers import AutoConfig, AutoModelForCausalLM, Gemma3Config, Gemma3ForConditionalGeneration

from clair.errors import ClairError, UsageError

SMALL = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "eos_token_id": 1}
HALF = 0.5


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("start", ["pissa_niter_4", "olora", False])
def test_an_adapter_whose_base_is_not_the_reference_is_refused(tmp_path: Path, start: Any) -> None:
    """Given as a configuration, and on the model already."""
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=start)
    with pytest.raises(UsageError, match=f"init_lora_weights={start!r} .* which is the reference.*leave it at True"):
        make_trainer(tmp_path, more={"peft_config": config})
    if start == "olora":
        with pytest.raises(UsageError, match="init_lora_weights='olora' changes the weights of the base model"):
            make_trainer(tmp_path, model=get_peft_model(tiny_model(), config))


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("start", ["gaussian", "orthogonal"])
def test_a_new_adapter_is_checked_against_its_base_however_it_starts(tmp_path: Path, start: str) -> None:
    """Both matrices of an orthogonal one are filled; their product is zero until somebody changes it."""
    config = LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=start)
    trainer = make_trainer(tmp_path, more={"peft_config": config})
    trainer.train()
    assert steps(trainer)[0]["loss"] == pytest.approx(1.0, abs=1e-5)
    trainer = make_trainer(tmp_path, more={"peft_config": config})
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.5)
    with pytest.raises(ClairError, match=r"policy and reference differ by .* its adapter does not start as its base"):
        trainer.train()


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("adapter", [None, "all-linear", ["q_proj"]])
def test_of_a_model_that_sees_only_the_text_part_is_trained(tmp_path: Path, adapter: Any) -> None:
    """Every weight that is trained gets a gradient, as data parallel training asks for; the rest stays as it was."""
    text = {**SMALL, "intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512}
    eye = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = {"mm_tokens_per_image": 4, "image_token_index": 96, "boi_token_index": 95, "eoi_token_index": 94}
    vision = {**eye, "image_size": 28, "patch_size": 14}
    torch.manual_seed(0)
    model = Gemma3ForConditionalGeneration(
        Gemma3Config(text_config={**text, "pad_token_id": 0, "bos_token_id": None}, vision_config=vision, **tokens)
    )
    config = adapter and LoraConfig(r=4, target_modules=adapter, task_type="CAUSAL_LM")
    trainer = make_trainer(tmp_path, model=model, more={"peft_config": config})
    trained = [name for name, p in trainer.model.named_parameters() if p.requires_grad]
    assert trained
    assert not [name for name in trained if "vision_tower" in name or "multi_modal_projector" in name]
    assert not [name for name, _ in trainer.model.named_parameters() if "vision_tower" in name and "lora" in name]
    assert config is None or config.exclude_modules is None
    trainer.get_ready()
    pair = trainer.train_dataset.pairs[0]
    (row,) = trainer.collator.rows([pair], [np.zeros(pair.listed_length, np.float32)])
    trainer.model(row=row, pair_loss=trainer.pair_loss)["loss"].backward()
    assert [name for name, p in trainer.model.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize(
    ("kind", "rates"),
    [
        ("llama", {"attention_dropout": HALF}),
        ("falcon", {"attention_dropout": HALF, "alibi": False}),
        ("bloom", {"attention_dropout": HALF, "hidden_dropout": HALF, "n_head": 4, "n_layer": 2}),
        ("opt", {"dropout": HALF, "attention_dropout": HALF, "ffn_dim": 48, "word_embed_proj_dim": 32}),
        ("starcoder2", {"residual_dropout": HALF, "embedding_dropout": HALF, "intermediate_size": 48}),
        ("gpt_bigcode", {"attn_pdrop": HALF, "resid_pdrop": HALF, "n_embd": 32, "n_head": 4, "n_layer": 2}),
    ],
)
def test_dropout_is_off(tmp_path: Path, kind: str, rates: dict[str, Any]) -> None:
    """Rates kept as numbers under several names, and as modules under the same."""
    config = AutoConfig.for_model(kind, **{**SMALL, "bos_token_id": None, "pad_token_id": 0, **rates})
    torch.manual_seed(0)
    trainer = make_trainer(tmp_path, model=AutoModelForCausalLM.from_config(config), rows=ROWS[:4])
    trainer.train()
    assert steps(trainer)[0]["loss"] == pytest.approx(1.0, abs=1e-5)
