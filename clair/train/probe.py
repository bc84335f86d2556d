"""The start-up check: does this model give packed pairs the log-probs it gives them alone?

A few pairs, cut short, go through the rows of the chosen backend and through the model's own untouched forward, one
sequence at a time. It covers what nobody has listed: a model whose attention ignores the tree, a head with
arithmetic of its own, a kernel with other conventions. One backward pass follows: kernels have limits of their own
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clair.train.batching import Collator
from clair.train.layout import PairTokens
from clair.train.objectives import PairLoss

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.15, torch.float16: 0.05}
"""Largest difference of one token's log-prob, in nats. Wrong masks or positions show as several nats."""

_PAIRS, _PROMPT, _COMPLETION = 3, 48, 24


def probe_pairs(pairs: Sequence[PairTokens]) -> list[PairTokens]:
    """A few short pairs made from real ones: prompt ends, and completions from just before the branch."""
    made: list[PairTokens] = []
    for pair in pairs[:_PAIRS]:
        before = max(0, pair.shared - 4)
        prompt = [*pair.prompt, *pair.chosen[:before]][-_PROMPT:]
        chosen, rejected = pair.chosen[before:], pair.rejected[before:]
        made.append(PairTokens(prompt, chosen[:_COMPLETION], rejected[:_COMPLETION]))
    return made


@torch.no_grad()
def difference(model: Any, collator: Collator, pairs: Sequence[PairTokens], device: torch.device) -> float:
    """Largest absolute difference of a token's log-prob, packed against alone. `model` is prepared (`logps.py`)."""
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
