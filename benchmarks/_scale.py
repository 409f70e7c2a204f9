"""How large a GPU benchmark is: as published on a GPU, or narrow and small, to rehearse it on the CPU."""

from __future__ import annotations

import os
from dataclasses import dataclass

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # torch's profiler tells of every start and stop otherwise
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


@dataclass(frozen=True)
class Scale:
    """Everything in which a rehearsal differs."""

    device: str
    models: str
    """What `_architectures.build_models` is asked for."""
    sam: str
    size_hw: tuple[int, int]
    masks: int
    """In each made-up image."""
    batches: tuple[int, ...]
    """Images at a time."""
    watched: int
    """Images at a time where launches are counted: the estimates are of this many."""
    stems: tuple[str, ...]
    """The parity photographs."""
    scenes: int
    """Drawn scenes for the quickstart's trained models."""
    parity_masks: int | None
    """Of each photograph; None: all."""
    points_per_side: int
    preset_points_per_side: int
    """SSA's own preset, which looks at crops, too."""
    folder: str = ""
    """Where models are built, for all sections."""

    @property
    def rehearsed(self) -> bool:
        """Whether this stands for a GPU's figures without being any."""
        return self.device == "cpu"


GPU = Scale(
    device="cuda:0",
    models="base",
    sam="huge",
    size_hw=(1500, 2250),
    masks=100,
    batches=(1, 4, 16),
    watched=4,
    stems=("chelsea", "coffee", "rocket"),
    scenes=8,
    parity_masks=None,
    points_per_side=32,
    preset_points_per_side=64,
)
REHEARSAL = Scale(
    device="cpu",
    models="narrow",
    sam="narrow",
    size_hw=(96, 144),
    masks=3,
    batches=(1, 2),
    watched=2,
    stems=("rocket",),
    scenes=1,
    parity_masks=4,
    points_per_side=4,
    preset_points_per_side=4,
)
