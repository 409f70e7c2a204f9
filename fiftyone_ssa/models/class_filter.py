"""CLIP by open_clip: which candidate names fit a crop."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.models.devices import plan_chunks
from fiftyone_ssa.models.memo import Memo

Embeddings = npt.NDArray[np.float32]

LONGEST_ASPECT = 256
"""Crops longer than this many times their width lose their ends: the model sees a square of the middle only."""
TEXTS_KEPT = 1 << 15


class ClassFilter:
    """Unit embeddings of crops and names in one space, by an open_clip model; names are embedded once a run.

    `model` is `"architecture:weights"` (`"ViT-L-14:openai"`; the weights may be a file), `"local-dir:FOLDER"` or
    `"hf-hub:ID"`. Names go in plain, without a prompt; longer ones than the text encoder takes are cut.
    Raises InputError if the model is not there, with how to get it, MissingDependencyError without open_clip.
    """

    def __init__(self, model: str, device: torch.device, dtype: torch.dtype) -> None:
        if importlib.util.find_spec("open_clip") is None:
            raise MissingDependencyError(
                "the class filter needs open_clip, which is not installed; `pip install open_clip_torch` brings it"
            )
        with _loading(model):
            network, preprocess, self._tokenize = _open(model)
        self.logit_scale = float(network.logit_scale.detach().exp())
        self._network = network.requires_grad_(False).eval().to(device, dtype)
        self._device, self._dtype = device, dtype
        # what cuts and resizes takes PIL images and tensors alike; what makes tensors of PIL images does not
        *shape, normalize = [step for step in preprocess.transforms if isinstance(step, torch.nn.Module)]
        self._shape = torch.nn.Sequential(*shape)
        self._cut_ends = isinstance(getattr(shape[0], "size", None), int)
        self._mean, self._std = (
            torch.tensor(value, device=device)[:, None, None] for value in (normalize.mean, normalize.std)
        )
        self._images = plan_chunks(self._embed_blank, network.visual, device, most=32, what="the class filter")
        self._texts = plan_chunks(
            lambda rows: self._embed_texts(["a"] * rows),
            network,
            device,
            most=32,
            what="the class filter's texts",
            pad=True,
        )
        self._known = Memo(lambda names: self._texts.map(self._embed_texts, names), TEXTS_KEPT)

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


def _open(model: str) -> tuple[Any, Any, Any]:
    """The network, its preprocessing and its tokenizer."""
    import open_clip

    name, weights, quick = model, None, False
    if not model.startswith(("local-dir:", "hf-hub:")):
        name, _, weights = model.partition(":")
        known = open_clip.list_pretrained_tags_by_model(name)
        if name not in open_clip.list_models():
            raise InputError(f"open_clip knows no model {name!r}; name one of its models, or local-dir:FOLDER")
        if weights not in known and not Path(weights).is_file():
            raise InputError(
                f"the class filter {name!r} needs weights after a colon, got {weights!r}; "
                f"open_clip has {', '.join(known)}, or give a file"
            )
        # OpenAI's weights were trained with another activation than the architecture's default
        quick = bool((open_clip.get_pretrained_cfg(name, weights) or {}).get("quick_gelu", False))
    network, preprocess = open_clip.create_model_from_pretrained(name, pretrained=weights, force_quick_gelu=quick)
    return network, preprocess, open_clip.get_tokenizer(name)


@contextmanager
def _loading(model: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        if model.startswith("local-dir:"):
            remedy = "give local-dir:FOLDER with open_clip_config.json and its weights in that folder"
        else:
            arguments = ", ".join(map(repr, model.split(":", 1)))
            remedy = (
                f'get it with `python -c "import open_clip; open_clip.create_model({arguments})"` '
                "where the Hugging Face hub can be reached, or give local-dir:FOLDER"
            )
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"cannot load the class filter {model}: {remedy} ({reason})") from error
