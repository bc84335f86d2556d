"""Muon: momentum whose update is orthogonalized, for the weight matrices of the student.

Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). `torch.optim.Muon` works in
bfloat16, which is ten times slower on processors without such instructions; this one stays in float32 and handles
all matrices of one shape at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration: the steepest at zero whose singular values stay near 1 (from the source)."""


def orthogonalized(matrices: torch.Tensor, *, steps: int = 5) -> torch.Tensor:
    """Each matrix of (count, rows, columns) with its singular values brought near 1, by Newton-Schulz iteration."""
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x: torch.Tensor = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalized, scaled by sqrt(rows / columns) where that is above 1."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], *, lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[torch.nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes[parameter.shape].append(parameter)
            for alike in shapes.values():
                self._update(alike, group["lr"], group["momentum"])

    def _update(self, parameters: list[torch.nn.Parameter], rate: float, momentum: float) -> None:
        """`parameters` all have the same shape (rows, columns)."""
        gradients = torch.stack([parameter.grad for parameter in parameters if parameter.grad is not None])
        state = self.state[parameters[0]]
        buffer = state.setdefault("momentum", torch.zeros_like(gradients))
        buffer.lerp_(gradients, 1 - momentum)
        rows, columns = gradients.shape[1:]
        update = orthogonalized(gradients.lerp(buffer, momentum)) * max(1.0, rows / columns) ** 0.5
        for parameter, change in zip(parameters, update, strict=True):
            parameter.add_(change, alpha=-rate)
