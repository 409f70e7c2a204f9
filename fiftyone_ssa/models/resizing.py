"""Many crops resized at once, for devices where each launch costs: two batched products, whatever the crops' sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fiftyone_ssa.models.devices import tf32_products, upload

BILINEAR, BICUBIC = 2, 3
"""Pillow's numbers."""
PIXELS_AT_A_TIME = 1 << 25
"""Padded pixels of crops that are held at once, about 20 bytes each."""


@dataclass(frozen=True)
class Resizing:
    """How crops become `size_hw`: by what torch calls bilinear or bicubic, both with antialiasing or bilinear without.

    With `keep_ratio` the shorter side becomes the target's and the middle is cut out, as CLIP sees crops.
    """

    size_hw: tuple[int, int]
    bicubic: bool = False
    antialias: bool = True
    keep_ratio: bool = False
    tf32: bool = False
    """Whether CUDA may weigh pixels with 10 bits, a tenth of a level off: enough for networks of half precision."""

    def __call__(self, crops: Sequence[torch.Tensor]) -> torch.Tensor:
        """(N, 3, h, w) float32, in the crops' units and not rounded, of (h, w, 3) uint8 views of images.

        Views of one storage (a batch's images) are gathered in one go.
        """
        groups = list(_alike(crops))
        if len(groups) == 1:
            return self._resize(list(crops))
        out = crops[0].new_empty((len(crops), 3, *self.size_hw), dtype=torch.float32)
        for some in groups:
            out.index_copy_(0, upload(np.array(some), out.device), self._resize([crops[index] for index in some]))
        return out

    def _resize(self, crops: list[torch.Tensor]) -> torch.Tensor:
        height, width = (max(crop.shape[axis] for crop in crops) for axis in (0, 1))
        values = _padded_with_edges(crops, height, width).view(len(crops), height, width * 3)
        down, across = self._shares(crops, 0, height), self._shares(crops, 1, width)
        with tf32_products(self.tf32):
            rows = (down @ values).view(len(crops), -1, width, 3).permute(0, 3, 1, 2).reshape(len(crops), -1, width)
            return (rows @ across.mT).view(len(crops), 3, *self.size_hw)

    def _shares(self, crops: list[torch.Tensor], axis: int, most: int) -> torch.Tensor:
        """(N, out, most) float32: how much of each row (or column) of a crop each of the result's takes."""
        side = self.size_hw[axis]
        sizes = np.array([crop.shape[axis] for crop in crops], np.float32)
        totals = np.array([self._total(crop, axis) for crop in crops], np.float32)
        facts = upload(np.stack([sizes, sizes / totals, np.rint((totals - side) / 2)])[..., None], crops[0].device)
        size, scale, first = facts
        centres = (torch.arange(side, device=size.device) + (first + 0.5)) * scale
        places = torch.arange(most, device=size.device)
        if not self.antialias:
            near = torch.minimum((centres - 0.5).clamp_(min=0), size - 1)
            return (1 - (places - near[..., None]).abs_()).clamp_(min=0)
        wide = scale.clamp(min=1)
        reach = (2.0 if self.bicubic else 1.0) * wide
        low, high = (
            (centres - reach + 0.5).clamp_(min=0).floor_(),
            torch.minimum((centres + reach + 0.5).floor_(), size),
        )
        away = (places - (centres - 0.5)[..., None]).div_(wide[..., None]).abs_()
        shares = _cubic(away) if self.bicubic else (1 - away).clamp_(min=0)
        shares *= (places >= low[..., None]) & (places < high[..., None])
        found: torch.Tensor = shares.div_(shares.sum(-1, keepdim=True))
        return found

    def _total(self, crop: torch.Tensor, axis: int) -> int:
        """The side that a whole crop becomes, of which the middle is kept."""
        if not self.keep_ratio:
            return self.size_hw[axis]
        side, shorter = self.size_hw[axis], min(crop.shape[:2])
        return int(side * crop.shape[axis] / shorter)


@dataclass(frozen=True, eq=False)
class Squares:
    """What a model sees of crops: resized, rounded to whole numbers as images have them, normalised."""

    resizing: Resizing
    scale: torch.Tensor
    shift: torch.Tensor

    @classmethod
    def of(
        cls, resizing: Resizing, mean: Sequence[float], std: Sequence[float], factor: float, device: torch.device
    ) -> Squares:
        """Pixels times `factor`, less `mean`, over `std`, each of three channels."""
        spread = torch.tensor(std, dtype=torch.float32)[:, None, None]
        shift = -torch.tensor(mean, dtype=torch.float32)[:, None, None] / spread
        return cls(resizing, (factor / spread).to(device), shift.to(device))

    def __call__(self, crops: Sequence[torch.Tensor]) -> torch.Tensor:
        """(N, 3, h, w) float32 of (h, w, 3) uint8 crops."""
        return self.resizing(crops).clamp_(0, 255).round_().mul_(self.scale).add_(self.shift)


def squares_of(processor: Any, device: torch.device, *, tf32: bool = False) -> Squares | None:
    """What a Hugging Face image processor does where it makes every crop the same size; None where it does more."""
    size, sampling = getattr(processor, "size", None), int(getattr(processor, "resample", 0) or 0)
    steps = [bool(getattr(processor, name, False)) for name in ("do_resize", "do_rescale", "do_normalize")]
    more = [bool(getattr(processor, name, False)) for name in ("do_center_crop", "do_pad", "do_image_splitting")]
    height, width = (getattr(size, side, None) or (size or {}).get(side) for side in ("height", "width"))
    if not (all(steps) and not any(more) and height and width and sampling in (BILINEAR, BICUBIC)):
        return None
    resizing = Resizing((int(height), int(width)), bicubic=sampling == BICUBIC, tf32=tf32)
    return Squares.of(resizing, processor.image_mean, processor.image_std, float(processor.rescale_factor), device)


def _cubic(away: torch.Tensor) -> torch.Tensor:
    """The kernel of Keys with a = -0.5, as torch and Pillow have it where they average."""
    near = (away * 1.5 - 2.5).mul_(away).mul_(away).add_(1)
    far = ((away * -0.5 + 2.5).mul_(away).sub_(4)).mul_(away).add_(2)
    return torch.where(away < 1, near, far.mul_(away < 2))


def _alike(crops: Sequence[torch.Tensor]) -> Iterator[list[int]]:
    """Places of crops that share a storage, no more than may be padded to one size; the largest first if not all."""
    storages: dict[int, list[int]] = {}
    for index, crop in enumerate(crops):
        storages.setdefault(crop.untyped_storage().data_ptr(), []).append(index)
    for places in storages.values():
        left = places
        while left:
            sides = np.maximum.accumulate([crops[index].shape[:2] for index in left])
            fits = int((sides.prod(1) * np.arange(1, len(left) + 1) <= PIXELS_AT_A_TIME).sum())
            if fits < len(left) and left is places:
                left = sorted(places, key=lambda index: -crops[index].numel())
                continue
            yield left[: max(fits, 1)]
            left = left[max(fits, 1) :]


def _padded_with_edges(crops: list[torch.Tensor], height: int, width: int) -> torch.Tensor:
    """(N * height * width, 3) float32: crops of one storage, their last rows and columns repeated."""
    device = crops[0].device
    if any(crop.stride(2) != 1 or crop.stride(1) != 3 or crop.storage_offset() % 3 for crop in crops):
        whole = torch.cat([crop.reshape(-1, 3) for crop in crops])
        firsts = np.cumsum([0, *(crop.shape[0] * crop.shape[1] for crop in crops[:-1])])
        strides = [crop.shape[1] for crop in crops]
    else:
        storage = crops[0].untyped_storage()
        whole = torch.empty(0, dtype=torch.uint8, device=device).set_(storage)
        whole = whole[: len(whole) // 3 * 3].view(-1, 3)
        firsts = np.array([crop.storage_offset() // 3 for crop in crops])
        strides = [crop.stride(0) // 3 for crop in crops]
    sizes = np.array([crop.shape[:2] for crop in crops])
    facts = upload(np.column_stack([firsts, strides, sizes - 1]).astype(np.int32), device)[..., None]
    y = torch.minimum(torch.arange(height, dtype=torch.int32, device=device), facts[:, 2])
    x = torch.minimum(torch.arange(width, dtype=torch.int32, device=device), facts[:, 3])
    places = (facts[:, 0] + y * facts[:, 1])[:, :, None] + x[:, None]
    return whole.index_select(0, places.flatten()).float()
