"""Which candidate names fit a crop: CLIP and its like, by open_clip here, by transformers beside it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from fiftyone_ssa.errors import MissingDependencyError
from fiftyone_ssa.models import ClassFilterSlot
from fiftyone_ssa.models.catalogue import is_of_transformers
from fiftyone_ssa.models.clip_checkpoint import load_clip
from fiftyone_ssa.models.devices import upload
from fiftyone_ssa.models.factories import is_filter_factory
from fiftyone_ssa.models.hub_filter import HuggingFaceFilter
from fiftyone_ssa.models.quick_gelu import in_one_pass
from fiftyone_ssa.models.replay import Replay
from fiftyone_ssa.models.resizing import Resizing, Squares
from fiftyone_ssa.models.two_towers import Embeddings, TwoTowers, unit, without_ends
from fiftyone_ssa.models.user_slots import build_class_filter


def load_class_filter(model: str, device: torch.device, dtype: torch.dtype, *, template: str = "{}") -> ClassFilterSlot:
    """A class filter of open_clip or of transformers, or the user's own by `"module:factory"`.

    Args:
        model: for open_clip as `ClassFilter` says; for transformers (CLIP, SigLIP, SigLIP 2, MetaCLIP 2) a hub id or
            a folder, which is taken for open_clip's where it holds an `open_clip_config.json`
        template ("{}"): what is embedded of a name, which stands for `{}`; "a photo of a {}", say

    Raises InputError if it cannot be loaded, with what to do.
    """
    if is_filter_factory(model):
        return build_class_filter(model, template)
    if is_of_transformers(model):
        return HuggingFaceFilter(model, device, dtype, template)
    return ClassFilter(model, device, dtype, template)


class ClassFilter(TwoTowers):
    """Unit embeddings of crops and names in one space, by an open_clip model; names are embedded once a run.

    `model` is `"architecture:weights"` (`"ViT-L-14:openai"`; the weights may be a file), a folder (also
    `"local-dir:FOLDER"`) or `"hf-hub:ID"`. Names go in as `template` says, plain if it is `"{}"`; longer ones than the
    text encoder takes are cut.
    Raises InputError if the model is not there, with how to get it, MissingDependencyError without open_clip.
    """

    def __init__(self, model: str, device: torch.device, dtype: torch.dtype, template: str = "{}") -> None:
        if importlib.util.find_spec("open_clip") is None:
            raise MissingDependencyError(
                "the class filter needs open_clip, which is not installed; `pip install open_clip_torch` brings it"
            )
        network, preprocess, self._tokenize = load_clip(model)
        self.logit_scale = float(network.logit_scale.detach().exp())
        bias = getattr(network, "logit_bias", None)
        self.logit_bias = None if bias is None else float(bias.detach())
        network = in_one_pass(network.requires_grad_(False).eval(), device, dtype).to(device, dtype)
        self._network = network
        self._device, self._dtype = device, dtype
        self._tower = Replay(
            lambda pixels: {"embeddings": unit(network.encode_image(pixels))}, device, "CLIP's vision tower"
        )
        self._prepare_squares(preprocess.transforms)
        self._plan_batches(self._network.visual, self._network, template)

    def _prepare_squares(self, steps: Sequence[Any]) -> None:
        """Take the model's own preprocessing apart: what shapes PIL images and tensors alike, and the numbers."""
        *shape, normalize = map(_of_tensors_too, filter(_is_used, steps))
        self._shape = torch.nn.Sequential(*shape)
        self._cut_ends = isinstance(getattr(shape[0], "size", None), int) or getattr(shape[0], "longest", 1) == 0
        self._mean, self._std = (
            torch.tensor(value, device=self._device)[:, None, None] for value in (normalize.mean, normalize.std)
        )
        self._steps = shape, normalize
        self._squares = self._all_at_once(self._device) if self._device.type == "cuda" else None

    def _all_at_once(self, device: torch.device) -> Squares | None:
        """What shapes many crops in few launches; None where it is not known."""
        return _squares_of(*self._steps, device, tf32=self._dtype != torch.float32)

    @torch.inference_mode()
    def _embed_images(self, crops: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        if self._squares is None:
            squares = torch.stack([self._square(crop) for crop in crops])
            pixels = squares.to(self._device, torch.float32).div_(255).sub_(self._mean).div_(self._std)
        else:
            pixels = self._squares([without_ends(crop) for crop in crops] if self._cut_ends else crops)
        return list(self._tower(pixels=pixels.to(self._dtype))["embeddings"])

    @torch.inference_mode()
    def _embed_texts(self, names: Sequence[str]) -> Sequence[Embeddings]:
        tokens = upload(self._tokenize(list(names)).numpy(), self._device)
        return list(unit(self._network.encode_text(tokens)).cpu().numpy())

    def _square(self, crop: torch.Tensor) -> torch.Tensor:
        """The (3, side, side) uint8 square that the model sees: by Pillow on the CPU, as published."""
        if self._cut_ends:
            crop = without_ends(crop)
        if self._device.type == "cpu":
            return torch.from_numpy(np.array(self._shape(Image.fromarray(crop.numpy())))).permute(2, 0, 1)
        square: torch.Tensor = self._shape(crop.permute(2, 0, 1))
        return square


def _squares_of(shape: Sequence[Any], normalize: Any, device: torch.device, *, tf32: bool) -> Squares | None:
    """All crops at once, where they are squeezed, or the middle of what keeps its proportions is seen, bicubically."""
    from torchvision.transforms import CenterCrop, InterpolationMode, Resize

    first, *rest = shape
    if not isinstance(first, Resize) or first.interpolation != InterpolationMode.BICUBIC:
        return None
    sides = [first.size] if isinstance(first.size, int) else list(first.size)
    middle = [tuple(step.size) for step in rest if isinstance(step, CenterCrop)]
    if len(sides) == 2 and not rest:
        resizing = Resizing((sides[0], sides[1]), bicubic=True, tf32=tf32)
    elif len(sides) == 1 and len(rest) == 1 and middle == [(sides[0], sides[0])]:
        resizing = Resizing(middle[0], bicubic=True, keep_ratio=True, tf32=tf32)
    else:
        return None
    return Squares.of(resizing, normalize.mean, normalize.std, 1 / 255, device)


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
