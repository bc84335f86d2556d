"""Real but very small models and a real tokenizer for the trainer's tests, made from configs without any download."""

from __future__ import annotations

import random
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

VOCABULARY = 97
KINDS = ("llama", "qwen3", "gemma3", "mistral")

CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<' + m['role'][0] + '>' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<a>' }}{% endif %}"
)


def tiny_model(kind: str = "llama", *, seed: int = 0, **changes: Any) -> Any:
    """A two-layer model of a supported architecture, large random weights, so that wrong masks show."""
    common: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 256,
        "bos_token_id": None,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "tie_word_embeddings": False,
        **changes,
    }
    torch.manual_seed(seed)
    if kind == "llama":
        model = LlamaForCausalLM(LlamaConfig(**common))
    elif kind == "qwen3":
        model = Qwen3ForCausalLM(Qwen3Config(**{**common, "tie_word_embeddings": True}))
    elif kind == "mistral":
        model = MistralForCausalLM(MistralConfig(**{"sliding_window": 5, **common}))
    else:
        layers = ["sliding_attention", "full_attention"]
        config = Gemma3TextConfig(**{"sliding_window": 5, **common}, layer_types=layers, final_logit_softcapping=5.0)
        model = Gemma3ForCausalLM(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def tiny_tokenizer(*, chat_template: str | None = CHAT_TEMPLATE) -> PreTrainedTokenizerFast:
    """One token per character; `</s>` (id 1) ends a turn; `<u>`, `<s>` and `<a>` open one."""
    special = ["<pad>", "</s>", "<u>", "<s>", "<a>", "<unk>"]
    characters = [chr(c) for c in range(32, 127)][: VOCABULARY - len(special)]
    vocabulary = {token: i for i, token in enumerate([*special, *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<u>", "<s>", "<a>"],
        chat_template=chat_template,
    )


def chat_rows(n: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs that differ by one word somewhere in a sentence."""
    rng = random.Random(seed)
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "one", "dog", "ran", "to", "my", "old", "red", "car"]
    rows = []
    for i in range(n):
        answer = rng.choices(words, k=rng.randint(3, 9))
        better = list(answer)
        better[rng.randrange(len(better))] = "better"
        rows.append(
            {
                "prompt": [{"role": "user", "content": f"say {i} {' '.join(rng.choices(words, k=rng.randint(1, 5)))}"}],
                "chosen": [{"role": "assistant", "content": " ".join(better)}],
                "rejected": [{"role": "assistant", "content": " ".join(answer)}],
            }
        )
    return rows
