"""The preference losses, as free functions of sequence log-probs.

Every function takes four tensors of shape [pairs], the log-probs of the completions summed over their tokens under
the policy and under the reference, and `beta`; it returns one loss per pair, shape [pairs]. Rewards are
r = beta * (logp - reference logp); `w` is chosen, `l` is rejected, `s` is the sigmoid.

    objective           loss of a pair                            when to use it
    apo_zero            (1 - s(r_w)) + s(r_l)                     chosen is better than what the model would say
    apo_down            s(r_w) + (1 - s(r_w - r_l))               the model already answers better than chosen
    dpo                 -log s(r_w - r_l)                         only the difference matters
    ipo                 (h - 1 / (2 beta))^2, mean log-probs      few pairs or near-certain preferences
    sft                 -logp_w / tokens                          imitate chosen, ignore rejected
    kto                 prospect values against a KL baseline     thumbs up and down, not pairs
    apo_zero_unpaired   apo_zero for single completions           the same, with a bounded loss and no KL pass

APO: D'Oosterlinck et al. 2025, arXiv 2408.06266, equations 7 and 8, with the constant 1 that makes them positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clair.errors import UsageError
from clair.train.options import OBJECTIVES


def apo_zero(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float) -> Tensor:
    """APO-zero, equation 7: raise the likelihood of chosen and lower that of rejected, each against its own anchor.

    Both terms saturate, so that one outlier has a bounded pull. An identical pair has exactly zero gradient.
    """
    return (1 - torch.sigmoid(beta * (chosen - ref_chosen))) + torch.sigmoid(beta * (rejected - ref_rejected))


def apo_down(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float) -> Tensor:
    """APO-down, equation 8: lower both likelihoods, rejected further; for a model that is better than its data."""
    chosen_reward = beta * (chosen - ref_chosen)
    margin = chosen_reward - beta * (rejected - ref_rejected)
    return torch.sigmoid(chosen_reward) + (1 - torch.sigmoid(margin))


def dpo(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float) -> Tensor:
    """DPO (Rafailov et al. 2023, arXiv 2305.18290, equation 7): only the reward margin is pinned down."""
    return -F.logsigmoid(beta * ((chosen - ref_chosen) - (rejected - ref_rejected)))


def ipo(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float) -> Tensor:
    """IPO (Azar et al. 2024, arXiv 2310.12036, equation 17): pull the margin towards 1 / (2 beta), not to infinity.

    Pass log-probs per token (means, not sums), as the authors and TRL do; `PairLoss` does.
    """
    return (((chosen - ref_chosen) - (rejected - ref_rejected)) - 1 / (2 * beta)) ** 2


def sft(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float) -> Tensor:
    """Supervised fine-tuning on chosen alone; the other arguments are ignored. Pass log-probs per token."""
    del rejected, ref_chosen, ref_rejected, beta
    return -chosen


def kto(
    chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float, kl: Tensor | float = 0.0
) -> Tensor:
    """KTO (Ethayarajh et al. 2024, arXiv 2402.01306, equation 8) with both completions as single examples.

    `kl` (nats, no gradient, >= 0) is the estimated divergence from the reference, from completions of other prompts.
    A pair's loss is the mean of its two examples, both weighted 1.
    """
    baseline = beta * kl
    desired = 1 - torch.sigmoid(beta * (chosen - ref_chosen) - baseline)
    undesired = 1 - torch.sigmoid(baseline - beta * (rejected - ref_rejected))
    return (desired + undesired) / 2


def apo_zero_unpaired(
    chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float
) -> Tensor:
    """APO-zero on single completions: KTO with its baseline at 0. A pair's loss is the mean of its two examples."""
    return apo_zero(chosen, rejected, ref_chosen, ref_rejected, beta) / 2


_PLAIN = {f.__name__: f for f in (apo_zero, apo_down, dpo, ipo, sft, apo_zero_unpaired)}
PER_TOKEN = frozenset({"ipo", "sft"})
"""Objectives that take log-probs divided by the number of completion tokens."""


@dataclass(frozen=True)
class PairLoss:
    """An objective with its settings: the loss of n pairs from their 2 n sequence log-probs.

    `sft_weight` adds that many times the mean negative log-prob per token of chosen (as RPO, arXiv 2404.19733).
    """

    objective: str = "apo_zero"
    beta: float = 0.1
    sft_weight: float = 0.0
    kl: float = 0.0

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise UsageError(f"objective {self.objective!r} is unknown; choose one of {', '.join(OBJECTIVES)}")
        if not (self.beta > 0 and math.isfinite(self.beta)):
            raise UsageError(f"beta must be a positive number, got {self.beta!r}")

    def __call__(self, logps: Tensor, reference: Tensor, lengths: Tensor) -> Tensor:
        """Losses [n] from log-prob sums, their reference and token counts, each [2 n]: chosen, rejected, chosen, ..."""
        if self.objective in PER_TOKEN:
            logps, reference = logps / lengths.clamp(min=1), reference / lengths.clamp(min=1)
        four = logps[0::2], logps[1::2], reference[0::2], reference[1::2]
        is_kto = self.objective == "kto"
        losses = kto(*four, self.beta, self.kl) if is_kto else _PLAIN[self.objective](*four, self.beta)
        if self.sft_weight:
            tokens = 1 if self.objective in PER_TOKEN else lengths[0::2].clamp(min=1)
            losses = losses - self.sft_weight * four[0] / tokens
        return losses

    @property
    def loss_at_start(self) -> float | None:
        """The loss of every pair while policy and reference are the same model; None if it depends on the data."""
        if self.sft_weight or self.objective == "sft":
            return None
        known = {"apo_zero": 1.0, "apo_down": 1.0, "dpo": math.log(2), "ipo": 1 / (4 * self.beta**2)}
        return known.get(self.objective, 0.5)
