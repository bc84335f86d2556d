"""What a run reports about itself, under the names that TRL's dashboards use, and where it is written.

rewards/chosen, rewards/rejected, rewards/margins, rewards/accuracies, logps/chosen and logps/rejected are means over
pairs, over all ranks and rows since the last report. Beside them: tokens per second as if every sequence had been
computed alone (`tokens_per_second/logical`) and as really computed (`.../computed`), `share_ratio` (tokens of all
sequences apart by tokens of the rows), `fill_ratio` (share of the computed tokens that is no padding),
`peak_memory_mb`, and `mfu` on a known GPU. Time counts while the model is trained, data loading and updates included;
the reference pass, evaluations and saving are left out.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import TrainerCallback

from clair.train.layout import Row

_PAIR_SUMS = (
    *("rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"),
    *("logps/chosen", "logps/rejected"),
)

PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "A10": 125e12, "4090": 165e12}
"""Dense bfloat16 FLOP/s by a part of the device's name (NVIDIA's data sheets), for `mfu`."""


class Cost(NamedTuple):
    """FLOPs of forward and backward, recomputation not counted: per token of the body, per listed token of the head.

    `peak_flops` of all devices together, None where unknown.
    """

    backbone: float
    head: float
    peak_flops: float | None

    @classmethod
    def of(cls, model: Any, *, devices: int, device: torch.device) -> Cost:
        """6 per weight and token (2 forward, 4 backward); 4 for a frozen weight (arXiv 2001.08361, section 2.1)."""
        head = model.get_output_embeddings().weight
        embedding = model.get_input_embeddings().weight
        active = _active_share(model.config)
        body = [
            _flops(p) * (active if ".experts." in name else 1.0)
            for name, p in model.named_parameters()
            if p is not head and p is not embedding
        ]
        peak = peak_flops(device)
        return cls(
            backbone=float(sum(body)),
            head=float(_flops(head)),
            peak_flops=None if peak is None else peak * devices,
        )


def _flops(parameter: Tensor) -> int:
    return (6 if parameter.requires_grad else 4) * parameter.numel()


_EXPERTS_PER_TOKEN = ("num_experts_per_tok", "top_k_experts", "moe_k", "moe_topk")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


def _active_share(config: Any) -> float:
    """Share of a mixture's experts that a token goes through, under the names that configs use; 1 if it has none."""
    text = config.get_text_config()
    per_token, experts = (
        next((n for n in (getattr(text, name, None) for name in names) if isinstance(n, int) and n), 1)
        for names in (_EXPERTS_PER_TOKEN, _EXPERTS)
    )
    return min(1.0, per_token / experts)


class Meter:
    """Sums over rows since the last report, and the time between `run` and `pause`.

    The tensors stay on their device until the report.
    """

    def __init__(self) -> None:
        self.sums: Tensor | None = None
        self.logical = self.computed = self.real = self.listed = 0
        self.seconds = 0.0
        self._since: float | None = None

    def run(self) -> None:
        """Count the time from here on."""
        if self._since is None:
            self._since = time.perf_counter()

    def pause(self) -> None:
        """Count no time until `run`. Waits for what was given to a GPU."""
        if self._since is None:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - self._since
        self._since = None

    def add(self, row: Row, sums: Tensor, losses: Tensor, beta: float) -> None:
        """Count one row. sums [2 n] as `logps.prepare` returns them."""
        assert row.reference is not None
        rewards = beta * (sums - (row.branches * row.reference).sum(1))
        chosen, rejected = rewards[0::2], rewards[1::2]
        right = (chosen > rejected).float()
        columns = [chosen, rejected, chosen - rejected, right, sums[0::2], sums[1::2], losses, torch.ones_like(losses)]
        total = torch.stack([column.detach().sum() for column in columns])
        self.sums = total if self.sums is None else self.sums + total
        self.logical += row.tokens_unshared
        self.computed += row.tokens_computed
        self.listed += len(row.targets)
        self.real += row.tokens_real

    def report(
        self, reduce: Callable[[Tensor], Tensor], device: torch.device, cost: Cost | None = None
    ) -> dict[str, float]:
        """Means since the last report, over all ranks; then starts again. `reduce` adds a tensor over the ranks.

        Speed, ratios and memory are reported if `cost` is given.
        """
        mine = torch.zeros(len(_PAIR_SUMS) + 2, device=device) if self.sums is None else self.sums
        counts = torch.tensor([self.logical, self.computed, self.real, self.listed], dtype=torch.float64)
        total = reduce(torch.cat([mine.cpu().double(), counts]).to(sum_dtype(device)).to(device)).tolist()
        self.pause()
        seconds = self.seconds
        self.__init__()  # type: ignore[misc]
        pairs = total[len(_PAIR_SUMS) + 1]
        if not pairs:
            return {}
        report = {name: value / pairs for name, value in zip(_PAIR_SUMS, total, strict=False)}
        report["loss"] = total[len(_PAIR_SUMS)] / pairs
        if cost is not None:
            logical, computed, real, listed = total[-4:]
            report["tokens_per_second/logical"] = logical / seconds
            report["tokens_per_second/computed"] = computed / seconds
            report["share_ratio"] = logical / real
            report["fill_ratio"] = real / computed
            report["peak_memory_mb"] = peak_memory_mb(device)
            if cost.peak_flops:
                work = cost.backbone * computed + cost.head * listed
                report["mfu"] = work / seconds / cost.peak_flops
        return report


def sum_dtype(device: torch.device) -> torch.dtype:
    """What sums over ranks are kept in: float64, which MPS does not have."""
    return torch.float32 if device.type == "mps" else torch.float64


def peak_memory_mb(device: torch.device) -> float:
    """Most memory ever held: allocated on a CUDA device, resident of this process elsewhere. In 2**20 bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def peak_flops(device: torch.device) -> float | None:
    """Dense bfloat16 FLOP/s of a known GPU, else None."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((flops for part, flops in PEAK_FLOPS.items() if part in name), None)


class MetricsFile(TrainerCallback):  # type: ignore[misc]
    """Writes every log entry as a line of `metrics.jsonl`. A resumed run first restores the lines it goes on from."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        del args, control, kwargs
        if state.is_world_process_zero:
            self._replace(state.log_history)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        del args, control, kwargs
        if state.is_world_process_zero and state.log_history:
            with self.path.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(state.log_history[-1]) + "\n")

    def _replace(self, history: list[dict[str, float]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(entry) + "\n" for entry in history), encoding="utf-8")
        os.replace(temporary, self.path)
