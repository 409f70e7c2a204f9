"""What every class filter of ours shares: crops and names as unit vectors in one space, in batches of one size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from fiftyone_ssa.models.devices import plan_chunks
from fiftyone_ssa.models.memo import Memo

Embeddings = npt.NDArray[np.float32]

WHAT = "the class filter"
LONGEST_ASPECT = 256
"""Crops longer than this many times their width lose their ends where the model sees a square of the middle only."""
CPU_ROWS = 8
"""At a time on a CPU, of towers of any size: a crop of SigLIP 2 base takes 110 ms of a core in eights, 158 alone."""
TEXTS_KEPT = 1 << 15


class TwoTowers(ABC):
    """Unit embeddings of crops and of names, each name once a run and with `template` around it (`{}` is the name).

    A subclass sets `logit_scale`, `logit_bias` and `_device` and then calls `_plan_batches`.
    """

    logit_scale: float
    logit_bias: float | None
    _device: torch.device

    def _plan_batches(self, vision: torch.nn.Module, network: torch.nn.Module, template: str) -> None:
        blank = torch.zeros((16, 16, 3), dtype=torch.uint8, device=self._device)
        self._images = plan_chunks(
            lambda rows: self._embed_images([blank] * rows), vision, self._device, most=32, what=WHAT, cpu_rows=CPU_ROWS
        )
        self._texts = plan_chunks(
            lambda rows: self._embed_texts(["a"] * rows),
            network,
            self._device,
            most=32,
            what=f"{WHAT}'s texts",
            pad=True,
            cpu_rows=CPU_ROWS,
        )
        self._known = Memo(
            lambda names: self._texts.map(self._embed_texts, [template.replace("{}", name) for name in names]),
            TEXTS_KEPT,
        )

    def images(self, groups: Sequence[Sequence[torch.Tensor]]) -> list[Embeddings]:
        """(N, d) float32 unit embeddings of each group's N (h, w, 3) uint8 crops on this filter's device."""
        found = self._images.map_groups(self._embed_images, groups)
        return [torch.stack(rows).cpu().numpy() if rows else np.zeros((0, 0), np.float32) for rows in found]

    def texts(self, names: Sequence[str]) -> Embeddings:
        """(N, d) float32 unit embeddings of N names."""
        return np.stack(self._known(names)) if names else np.zeros((0, 0), np.float32)

    def recall(self, names: Sequence[str], embeddings: Embeddings) -> None:
        """Take (N, d) embeddings that this filter made of N names in an earlier run."""
        self._known.keep(dict(zip(names, embeddings, strict=True)))

    @abstractmethod
    def _embed_images(self, crops: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """A (d,) float32 unit vector for each crop."""

    @abstractmethod
    def _embed_texts(self, names: Sequence[str]) -> Sequence[Embeddings]:
        """A (d,) float32 unit vector for each name."""


def unit(embeddings: torch.Tensor) -> torch.Tensor:
    """(N, d) in float32, each row of length 1."""
    return torch.nn.functional.normalize(embeddings.float(), dim=-1)


def without_ends(crop: torch.Tensor) -> torch.Tensor:
    """The middle of an endless (h, w, 3) crop; any other as it is."""
    for axis in (0, 1):
        extra = crop.shape[axis] - LONGEST_ASPECT * crop.shape[1 - axis]
        if extra > 0:
            crop = crop.narrow(axis, extra // 2, crop.shape[axis] - extra // 2 * 2)
    return crop
