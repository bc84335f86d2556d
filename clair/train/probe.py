"""The start-up check: does this model give packed pairs the log-probs it gives them alone?

A few pairs, cut short, go through the rows of the chosen backend and through the model's own untouched forward, one
sequence at a time. It covers what nobody has listed: a model whose attention ignores the tree, a head with
arithmetic of its own, a kernel with other conventions. It runs again with sliding windows made narrower than its
pairs, for a model may keep a window in a mask that the tree never sees. One backward pass follows: kernels have limits
of their own there.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from clair.train.batching import Collator
from clair.train.layout import PairTokens
from clair.train.objectives import PairLoss

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.15, torch.float16: 0.05}
"""Largest difference of one token's log-prob, in nats. Wrong masks or positions show as several nats."""

_PAIRS, _PROMPT, _COMPLETION, _WINDOW = 3, 48, 24, 8


def probe_pairs(pairs: Sequence[PairTokens]) -> list[PairTokens]:
    """A few short pairs made from real ones: prompt ends, and completions from just before the branch."""
    made: list[PairTokens] = []
    for pair in pairs[:_PAIRS]:
        before = max(0, pair.shared - 4)
        prompt = [*pair.prompt, *pair.chosen[:before]][-_PROMPT:]
        chosen, rejected = pair.chosen[before:], pair.rejected[before:]
        made.append(PairTokens(prompt, chosen[:_COMPLETION], rejected[:_COMPLETION]))
    return made


@contextlib.contextmanager
def narrow_windows(model: nn.Module) -> Iterator[bool]:
    """Sliding windows of `model` that its positions can fill are a few tokens wide meanwhile; whether there are any."""
    configs = [m.config for m in model.modules() if isinstance(getattr(m, "config", None), PreTrainedConfig)]
    holders: dict[int, Any] = {
        id(x): x for x in (*configs, *model.modules()) if type(vars(x).get("sliding_window")) is int
    }
    longest = max(
        (getattr(config, "max_position_embeddings", None) or math.inf for config in configs), default=math.inf
    )
    wide = {i: x.sliding_window for i, x in holders.items() if _WINDOW < x.sliding_window < longest}
    surplus = min(wide.values(), default=_WINDOW) - _WINDOW
    try:
        for i, width in wide.items():
            holders[i].sliding_window = width - surplus
        yield bool(wide)
    finally:
        for i, width in wide.items():
            holders[i].sliding_window = width


def difference(model: Any, collator: Collator, pairs: Sequence[PairTokens], device: torch.device) -> float:
    """Largest absolute difference of a token's log-prob, packed against alone. `model` is prepared (`logps.py`)."""
    worst = _difference(model, collator, pairs, device)
    with narrow_windows(model) as are_narrowed:
        return max(worst, _difference(model, collator, pairs, device)) if are_narrowed else worst


@torch.no_grad()
def _difference(model: Any, collator: Collator, pairs: Sequence[PairTokens], device: torch.device) -> float:
    probes = probe_pairs(pairs)
    worst = 0.0
    for members, row in zip(collator.groups(probes), collator.rows(probes), strict=True):
        packed = model(row=row.to(device))["logps"].float()
        alone = torch.cat([_alone(model, probes[i], device) for i in members])
        worst = max(worst, float((packed - alone).abs().nan_to_num(nan=float("inf")).max()))
    return worst


def run_backward(model: Any, collator: Collator, pairs: Sequence[PairTokens], device: torch.device) -> None:
    """Forward and backward through one row, which leaves no gradient behind. Raises what the kernels raise."""
    probes = probe_pairs(pairs)
    row = collator.rows(probes, [np.zeros(pair.listed_length, dtype=np.float32) for pair in probes])[0]
    # Autocast keeps the weights it cast without gradient before, and would use them here.
    torch.clear_autocast_cache()
    try:
        with torch.enable_grad():
            model(row=row.to(device), pair_loss=PairLoss())["loss"].backward()
    finally:
        model.zero_grad(set_to_none=True)
        torch.clear_autocast_cache()


def _alone(model: Any, pair: PairTokens, device: torch.device) -> Tensor:
    """Log-probs of the listed tokens of one pair from two plain forward passes."""
    chosen = _sequence(model, pair.prompt, pair.chosen, device)
    rejected = _sequence(model, pair.prompt, pair.rejected, device)
    return torch.cat([chosen, rejected[pair.shared :]])


def _sequence(model: Any, prompt: Sequence[int], completion: Sequence[int], device: torch.device) -> Tensor:
    if not completion:
        return torch.zeros(0, device=device)
    ids = torch.tensor([[*prompt, *completion]], device=device)
    logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].float()
    logps: Tensor = logits.log_softmax(-1).gather(1, torch.tensor(completion, device=device)[:, None]).squeeze(1)
    return logps
