"""CLIP by open_clip: which candidate names fit a crop."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from fiftyone_ssa.errors import MissingDependencyError
from fiftyone_ssa.models import ClassFilterSlot
from fiftyone_ssa.models.clip_checkpoint import load_clip
from fiftyone_ssa.models.devices import plan_chunks
from fiftyone_ssa.models.factories import is_filter_factory
from fiftyone_ssa.models.memo import Memo
from fiftyone_ssa.models.user_slots import build_class_filter

Embeddings = npt.NDArray[np.float32]

LONGEST_ASPECT = 256
"""Crops longer than this many times their width lose their ends: the model sees a square of the middle only."""
TEXTS_KEPT = 1 << 15


def load_class_filter(model: str, device: torch.device, dtype: torch.dtype) -> ClassFilterSlot:
    """A class filter of open_clip (`ClassFilter` says how it is named), or the user's own by `"module:factory"`.

    Raises InputError if it cannot be loaded, with what to do.
    """
    return build_class_filter(model) if is_filter_factory(model) else ClassFilter(model, device, dtype)


class ClassFilter:
    """Unit embeddings of crops and names in one space, by an open_clip model; names are embedded once a run.

    `model` is `"architecture:weights"` (`"ViT-L-14:openai"`; the weights may be a file), a folder (also
    `"local-dir:FOLDER"`) or `"hf-hub:ID"`. Names go in plain, without a prompt; longer ones than the text encoder
    takes are cut.
    Raises InputError if the model is not there, with how to get it, MissingDependencyError without open_clip.
    """

    def __init__(self, model: str, device: torch.device, dtype: torch.dtype) -> None:
        if importlib.util.find_spec("open_clip") is None:
            raise MissingDependencyError(
                "the class filter needs open_clip, which is not installed; `pip install open_clip_torch` brings it"
            )
        network, preprocess, self._tokenize = load_clip(model)
        self.logit_scale = float(network.logit_scale.detach().exp())
        bias = getattr(network, "logit_bias", None)
        self.logit_bias: float | None = None if bias is None else float(bias.detach())
        self._network = network.requires_grad_(False).eval().to(device, dtype)
        self._device, self._dtype = device, dtype
        self._prepare_squares(preprocess.transforms)
        self._plan_batches()
        self._known = Memo(lambda names: self._texts.map(self._embed_texts, names), TEXTS_KEPT)

    def _prepare_squares(self, steps: Sequence[Any]) -> None:
        """Take the model's own preprocessing apart: what shapes PIL images and tensors alike, and the numbers."""
        *shape, normalize = map(_of_tensors_too, filter(_is_used, steps))
        self._shape = torch.nn.Sequential(*shape)
        self._cut_ends = isinstance(getattr(shape[0], "size", None), int) or getattr(shape[0], "longest", 1) == 0
        self._mean, self._std = (
            torch.tensor(value, device=self._device)[:, None, None] for value in (normalize.mean, normalize.std)
        )

    def _plan_batches(self) -> None:
        self._images = plan_chunks(
            self._embed_blank, self._network.visual, self._device, most=32, what="the class filter"
        )
        self._texts = plan_chunks(
            lambda rows: self._embed_texts(["a"] * rows),
            self._network,
            self._device,
            most=32,
            what="the class filter's texts",
            pad=True,
        )

    def images(self, groups: Sequence[Sequence[torch.Tensor]]) -> list[Embeddings]:
        """(N, d) float32 unit embeddings of each group's N (h, w, 3) uint8 crops on this filter's device."""
        found = self._images.map_groups(self._embed_images, groups)
        return [torch.stack(rows).cpu().numpy() if rows else np.zeros((0, 0), np.float32) for rows in found]

    def texts(self, names: Sequence[str]) -> Embeddings:
        """(N, d) float32 unit embeddings of N names."""
        return np.stack(self._known(names)) if names else np.zeros((0, 0), np.float32)

    @torch.inference_mode()
    def _embed_images(self, crops: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        squares = torch.stack([self._square(crop) for crop in crops])
        pixels = squares.to(self._device, torch.float32).div_(255).sub_(self._mean).div_(self._std)
        return list(self._unit(self._network.encode_image(pixels.to(self._dtype))))

    @torch.inference_mode()
    def _embed_texts(self, names: Sequence[str]) -> Sequence[Embeddings]:
        tokens = self._tokenize(list(names)).to(self._device)
        return list(self._unit(self._network.encode_text(tokens)).cpu().numpy())

    @staticmethod
    def _unit(embeddings: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(embeddings.float(), dim=-1)

    def _square(self, crop: torch.Tensor) -> torch.Tensor:
        """The (3, side, side) uint8 square that the model sees: by Pillow on the CPU, as published."""
        if self._cut_ends:
            crop = _without_ends(crop)
        if self._device.type == "cpu":
            return torch.from_numpy(np.array(self._shape(Image.fromarray(crop.numpy())))).permute(2, 0, 1)
        square: torch.Tensor = self._shape(crop.permute(2, 0, 1))
        return square

    def _embed_blank(self, rows: int) -> None:
        self._embed_images([torch.zeros((16, 16, 3), dtype=torch.uint8, device=self._device)] * rows)


def _without_ends(crop: torch.Tensor) -> torch.Tensor:
    for axis in (0, 1):
        extra = crop.shape[axis] - LONGEST_ASPECT * crop.shape[1 - axis]
        if extra > 0:
            crop = crop.narrow(axis, extra // 2, crop.shape[axis] - extra // 2 * 2)
    return crop


def _is_used(step: object) -> bool:
    """Whether a step shapes or normalizes; the others only make RGB tensors of PIL images."""
    from open_clip.transform import ResizeKeepRatio

    return isinstance(step, torch.nn.Module | ResizeKeepRatio)


def _of_tensors_too(step: Any) -> Any:
    return step if isinstance(step, torch.nn.Module) else _ResizeKeepingRatio(step)


class _ResizeKeepingRatio(torch.nn.Module):
    """open_clip's `ResizeKeepRatio` without its chance, for tensors too; no side vanishes."""

    def __init__(self, step: Any) -> None:
        super().__init__()
        self.longest, self._target, self._interpolation = step.longest, step.size, step.interpolation

    def forward(self, image: Any) -> Any:
        """A PIL image or (3, h, w) tensor with its longer (or shorter) side as the target's."""
        from torchvision.transforms.functional import get_dimensions, resize

        _, *size_hw = get_dimensions(image)
        ratios = [side / target for side, target in zip(size_hw, self._target, strict=True)]
        ratio = max(ratios) * self.longest + min(ratios) * (1 - self.longest)
        return resize(image, [max(1, round(side / ratio)) for side in size_hw], self._interpolation, antialias=True)
