"""What one of two processes does; a module of its own, as each of them imports it and needs no other library."""

from __future__ import annotations

from pathlib import Path

import torch

from tools.mini import loop


def averaged(rank: int, folder: Path) -> None:
    """Gradients of its own, then their mean, in a file."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    for index, weight in enumerate(model.parameters()):
        weight.grad = torch.full_like(weight, float(10 * index + rank))
    loop._average_gradients(model)
    torch.save([weight.grad for weight in model.parameters()], folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
