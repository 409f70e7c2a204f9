"""One training loop for all stages: seeded, resumable, and its data depends on the step alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset

from tools.mini.card import write_card
from tools.mini.muon import Muon

KEEP_EVERY = 250
"""Steps between checkpoints."""
Batch = dict[str, Any]


class Stage(Protocol):
    """What a stage brings: a model, its data and its loss, and how it is written."""

    name: str
    about: str
    """Two lines for the model card."""
    steps: int
    batch_size: int
    learning_rate: float
    muon: bool
    """Whether hidden layers are trained by Muon, all else by AdamW."""
    splits: bool
    """Whether processes share a batch: a part each, also for batch norm, and the mean of their gradients."""

    def build(self) -> Any:
        """The model to train, with random weights; helper heads may be part of it."""

    def batch(self, draws: list[int]) -> Batch:
        """A batch from these draws of scenes (`pool.training_scene`), as CPU tensors."""

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss, and figures for the log."""

    def save(self, model: Any, folder: Path) -> None:
        """Write the model as its family's loader reads it."""


@dataclass(frozen=True)
class Plan:
    """How long and where to train."""

    out: Path
    work: Path
    device: torch.device
    steps: int
    batch_size: int
    log: Callable[[str], None] = print
    rank: int = 0
    ranks: int = 1
    """This process and how many train together, each on its share of every batch."""
    loaders: int = 0
    """Processes that draw batches ahead; 0: batches are drawn between steps."""
    minutes: float = math.inf
    """Stop here at the latest; the checkpoint stays and the next run goes on from it."""


def train(stage: Stage, plan: Plan) -> Path:
    """Train a stage from its last checkpoint, if there is one, and write the model; the model's folder."""
    torch.manual_seed(7)
    model = stage.build().to(plan.device).train()
    optimizers = _optimizers(stage, model)
    checkpoint = plan.work / f"{stage.name}.pt"
    step, shown = _resume(checkpoint, model, optimizers, plan)
    start, first = time.monotonic(), step
    batches = iter(
        DataLoader(_Batches(stage, plan), sampler=range(step, plan.steps), batch_size=None, num_workers=plan.loaders)
    )
    while step < plan.steps and not _late(plan, start):
        for group in chain.from_iterable(optimizer.param_groups for optimizer in optimizers):
            group["lr"] = stage.learning_rate * _schedule(step, plan.steps)
        batch = next(batches)
        batch = {key: value.to(plan.device) if torch.is_tensor(value) else value for key, value in batch.items()}
        with sdpa_kernel(SDPBackend.MATH):  # gradients of flash attention take a CPU three times as long
            loss, figures = stage.loss(model, batch)
        model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if plan.ranks > 1:
            _average_gradients(model)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        step += 1
        shown |= {key: 0.98 * shown.get(key, value) + 0.02 * value for key, value in figures.items()}
        if (step % 50 == 0 or step == plan.steps) and plan.rank == 0:
            rate = (step - first) / (time.monotonic() - start)
            plan.log(f"{stage.name} {step}/{plan.steps} {_listed(shown)} ({rate:.2f} steps/s)")
        if step % KEEP_EVERY == 0 and plan.rank == 0:
            _keep(checkpoint, model, optimizers, step, shown)
    folder = plan.out / stage.name
    if plan.rank > 0:
        return folder
    _keep(checkpoint, model, optimizers, step, shown)
    folder.mkdir(parents=True, exist_ok=True)
    stage.save(model.eval(), folder)
    trained = {
        "steps": step,
        "batch_size": plan.batch_size,
        "optimizer": "Muon and AdamW" if stage.muon else "AdamW",
        "learning_rate": stage.learning_rate,
    }
    write_card(folder, stage.name, stage.about, trained, _listed(shown))
    return folder


@dataclass(frozen=True)
class _Batches(Dataset[Batch]):
    """This process's share of each step's batch, by step."""

    stage: Stage
    plan: Plan

    def __getitem__(self, step: int) -> Batch:
        size = self.plan.batch_size
        return self.stage.batch(list(range(step * size + self.plan.rank, (step + 1) * size, self.plan.ranks)))


def _optimizers(stage: Stage, model: torch.nn.Module) -> list[torch.optim.Optimizer]:
    """AdamW for all weights, or but for those of hidden layers where the stage leaves them to Muon."""
    hidden = _hidden(model) if stage.muon else []
    others = [p for p in model.parameters() if p.requires_grad and not any(p is weight for weight in hidden)]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=stage.learning_rate, betas=(0.9, 0.98))
    return [adamw, Muon(hidden, stage.learning_rate)] if hidden else [adamw]


def _hidden(model: torch.nn.Module) -> list[torch.Tensor]:
    """The weights of layers that take features, and give more than one number."""
    kinds = torch.nn.Linear | torch.nn.Conv2d
    weights = [module.weight for module in model.modules() if isinstance(module, kinds)]
    return [weight for weight in weights if weight.requires_grad and weight.shape[0] > 1 and weight.shape[1] > 3]


def _late(plan: Plan, start: float) -> bool:
    """Whether time is up for any of the processes, so that none waits for another that has stopped."""
    late = torch.tensor(float((time.monotonic() - start) / 60 >= plan.minutes))
    if plan.ranks > 1:
        torch.distributed.all_reduce(late, torch.distributed.ReduceOp.MAX)
    return bool(late)


def _average_gradients(model: torch.nn.Module) -> None:
    """Every process's gradients become their mean.

    DistributedDataParallel would do it while they are still being computed, but takes the model over: other weights'
    names in checkpoints, and a search for unused weights every step, since SAM's mask decoder joins late.
    """
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat, torch.distributed.ReduceOp.SUM)
    flat /= torch.distributed.get_world_size()
    means = flat.split([gradient.numel() for gradient in gradients])  # type: ignore[no-untyped-call]
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view_as(gradient))


def _listed(figures: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.3f}" for key, value in figures.items())


def _schedule(step: int, steps: int) -> float:
    """A short climb, a plateau, and a cosine down to a fiftieth over the last 70 %."""
    climb = min(1.0, (step + 1) / max(1, min(200, steps // 10)))
    late = max(0.0, (step / steps - 0.3) / 0.7)
    return climb * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * late)))


def _resume(
    checkpoint: Path, model: torch.nn.Module, optimizers: list[torch.optim.Optimizer], plan: Plan
) -> tuple[int, dict[str, float]]:
    if not checkpoint.exists():
        return 0, {}
    kept = torch.load(checkpoint, map_location=plan.device, weights_only=True)
    model.load_state_dict(kept["model"])
    for optimizer, state in zip(optimizers, kept["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    plan.log(f"going on from step {kept['step']} of {checkpoint}")
    return int(kept["step"]), dict(kept["figures"])


def _keep(
    checkpoint: Path,
    model: torch.nn.Module,
    optimizers: list[torch.optim.Optimizer],
    step: int,
    figures: dict[str, float],
) -> None:
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    partial = checkpoint.with_suffix(".part")
    states = [optimizer.state_dict() for optimizer in optimizers]
    torch.save({"model": model.state_dict(), "optimizers": states, "step": step, "figures": figures}, partial)
    partial.replace(checkpoint)


def widen(model: torch.nn.Module) -> None:
    """Draw weights by each layer's width: transformers' 0.02 is for wide models, in narrow ones signals die out."""
    for module in model.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            module.reset_parameters()
