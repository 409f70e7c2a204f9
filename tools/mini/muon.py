"""Muon, for the kernels of convolutions as well: torch's own takes matrices only."""

from __future__ import annotations

from collections.abc import Iterable

import torch


class Muon(torch.optim.Optimizer):
    """Momentum whose steps are made orthogonal (Jordan et al., 2024), scaled to the size of AdamW's (Liu et al., 2025).

    For (N, M) weights of hidden layers and (N, C, h, w) kernels; `decay` is decoupled, as AdamW's.
    """

    def __init__(self, weights: Iterable[torch.Tensor], lr: float, momentum: float = 0.95, decay: float = 0.05) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One step."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                kept = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                kept.lerp_(weight.grad, 1 - group["momentum"])
                step = orthogonal(weight.grad.lerp(kept, group["momentum"]).flatten(1))
                weight.mul_(1 - group["lr"] * group["decay"])
                weight.add_(step.view_as(weight), alpha=-0.2 * group["lr"] * max(step.shape) ** 0.5)


def orthogonal(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Nearly the matrix with all its singular values 1, by Newton and Schulz's iteration with Jordan's coefficients."""
    tall = matrix.shape[0] > matrix.shape[1]
    found = ((matrix.mT if tall else matrix) / matrix.norm().clamp(min=1e-7)).bfloat16()
    for _ in range(steps):
        gram = found @ found.mT
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=-4.775, alpha=2.0315), found, beta=3.4445)
    answer: torch.Tensor = (found.mT if tall else found).to(matrix.dtype)
    return answer
