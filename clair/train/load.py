"""Model and tokenizer from a folder or the Hub: safetensors only, no code from the repository, one clear error."""

from __future__ import annotations

import copy
import re
from typing import Any

import torch
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from clair.errors import UsageError
from clair.train.options import TrainOptions

_CAUSAL = ("CausalLM", "LMHeadModel", "ForConditionalGeneration")
_UNLOADABLE = (OSError, ValueError, KeyError, HFValidationError, RepositoryNotFoundError)


def load_tokenizer(name: str) -> Any:
    """The tokenizer of model `name`. Raises UsageError."""
    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except _UNLOADABLE as error:
        raise UsageError(f"no tokenizer can be loaded from {name!r}: {first_line(error)}") from error


def load_model(options: TrainOptions, *, on_gpu: bool) -> Any:
    """The model to train, its weights in float32; frozen weights under LoRA in the precision of the computation.

    Raises UsageError: not found, no causal language model, weights not in safetensors.
    """
    extra: dict[str, Any] = {}
    if options.lora_rank and computes_in_bfloat16(options, on_gpu=on_gpu):
        extra["dtype"] = torch.bfloat16
    if options.load_in_4bit:
        extra["quantization_config"] = _four_bits(options, on_gpu=on_gpu)
    try:
        config = AutoConfig.from_pretrained(options.model, trust_remote_code=False)
        architectures = config.architectures or []
        if architectures and not any(part in name for name in architectures for part in _CAUSAL):
            raise UsageError(
                f"{options.model!r} is a {', '.join(architectures)} and has no causal language model head; "
                "choose a model that generates text"
            )
        return safe_model(options.model, **extra)
    except _UNLOADABLE as error:
        raise UsageError(
            f"no causal language model can be loaded from {options.model!r}: {first_line(error)}"
        ) from error


def safe_model(name: str, **extra: Any) -> Any:
    """A causal language model in float32 unless `extra` says otherwise; raises what transformers raises."""
    wanted = {"dtype": torch.float32, **extra}
    return AutoModelForCausalLM.from_pretrained(name, trust_remote_code=False, use_safetensors=True, **wanted)


def computes_in_bfloat16(options: TrainOptions, *, on_gpu: bool) -> bool:
    """Whether the forward pass runs in bfloat16."""
    return options.dtype == "bfloat16" or (options.dtype == "auto" and on_gpu)


def lora_config(options: TrainOptions) -> Any:
    """Adapters on every linear layer but the head, no dropout, alpha twice the rank; None without `lora_rank`."""
    if not options.lora_rank:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=options.lora_rank,
        lora_alpha=2 * options.lora_rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def _four_bits(options: TrainOptions, *, on_gpu: bool) -> Any:
    if not options.lora_rank:
        raise UsageError("--load-in-4bit freezes the weights, so it needs an adapter: add --lora-rank 16")
    if not on_gpu:
        raise UsageError("--load-in-4bit needs a CUDA GPU")
    from importlib.util import find_spec

    if find_spec("bitsandbytes") is None:
        raise UsageError("--load-in-4bit needs bitsandbytes: pip install bitsandbytes")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def first_line(error: BaseException) -> str:
    """What a foreign error says, short enough for a message of ours."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


_REWRITE_THE_BASE = ("pissa", "corda", "olora", "loftq", "lora_ga")


def with_adapter(model: Any, peft_config: Any = None) -> Any:
    """`model` with a new adapter if one is asked for, and of a model that sees or hears only the text part trained.

    Data parallel training waits for the gradient of every weight that is trained. Raises UsageError where the model
    without its adapter, the reference, is not the one that training starts from.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    others = _not_for_text(base)
    if peft_config is None:
        for config in dict(getattr(model, "peft_config", {})).values():
            _check_base(config, is_new=False)
    else:
        from peft import get_peft_model

        _check_base(peft_config, is_new=True)
        if others and getattr(peft_config, "exclude_modules", ()) is None:
            peft_config = copy.copy(peft_config)
            peft_config.exclude_modules = rf"({'|'.join(map(re.escape, others))})(\..*)?"
        model = get_peft_model(model, peft_config)
    for name in others:
        base.get_submodule(name).requires_grad_(False)
    return model


def _check_base(config: Any, *, is_new: bool) -> None:
    start = getattr(config, "init_lora_weights", True)
    rewrites = isinstance(start, str) and start.lower().startswith(_REWRITE_THE_BASE)
    if rewrites or (is_new and start is False):
        does = "changes the weights of the base model" if rewrites else "does not start from the base model"
        raise UsageError(
            f"init_lora_weights={start!r} {does}, which is the reference, so policy and reference would differ "
            "before the first step; leave it at True, or choose 'gaussian', 'orthogonal' or 'eva'"
        )


def _not_for_text(model: Any) -> list[str]:
    """The outermost modules of a causal language model that its text does not go through, as of a vision tower."""
    if model.config.get_text_config() is model.config:
        return []
    parts = (model.get_decoder(), model.get_input_embeddings(), model.get_output_embeddings())
    text = {id(module) for part in parts for module in part.modules()}
    holds_text = {n for n, m in model.named_modules() if any(id(inner) in text for inner in m.modules())}
    outside = [name for name, _ in model.named_modules() if name not in holds_text]
    return [name for name in outside if name.rpartition(".")[0] in holds_text]


def disable_dropout(model: nn.Module) -> None:
    """Set every dropout of `model` to 0, an adapter's too: policy and reference must be the same function.

    Some layers are modules, some keep a rate under a name of their own (`attention_dropout`, `resid_pdrop`).
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if isinstance(value, float) and "drop" in name:
                setattr(module, name, 0.0)
