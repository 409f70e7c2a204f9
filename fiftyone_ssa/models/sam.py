"""The SAM family behind one adapter: SAM, SAM-HQ, MobileSAM, SAM 2, EdgeTAM and SAM 3's tracker."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch.nn import functional

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models import MaskGenerator
from fiftyone_ssa.models.detections import KINDS as DETECTORS
from fiftyone_ssa.models.detections import Detector
from fiftyone_ssa.models.devices import double, is_small, upload
from fiftyone_ssa.models.everything import EverythingGenerator
from fiftyone_ssa.models.factories import call_factory, is_factory
from fiftyone_ssa.models.found_masks import Encoding
from fiftyone_ssa.models.hiera import lighten
from fiftyone_ssa.models.hub import load_whole, loading
from fiftyone_ssa.models.lowres import Frame
from fiftyone_ssa.models.mask_decoder import Cells, HQPointDecoder, PointDecoder
from fiftyone_ssa.models.sam_checkpoint import TAKES, read_checkpoint
from fiftyone_ssa.models.segmenters import TAKES_MASKS
from fiftyone_ssa.models.user_masks import adopt_generator
from fiftyone_ssa.presets import Masks
from fiftyone_ssa.presets.paths import existing
from fiftyone_ssa.types import Floats, Image


@dataclass(frozen=True)
class Family:
    """What transformers calls a kind of SAM, and how it sees an image."""

    model: str
    processor: str
    keeps_shape: bool
    """The image keeps its proportions and is padded; otherwise it is stretched to the square input."""
    resized_by_pillow: bool = False
    """As segment_anything resizes; torchvision, on the device, differs by a grey level here and there."""


_CHECKPOINT = Family("SamModel", "SamImageProcessor", keeps_shape=True, resized_by_pillow=True)
_SAM = Family("SamModel", "SamImageProcessor", keeps_shape=True)
_SAM_HQ = Family("SamHQModel", "SamImageProcessor", keeps_shape=True)
_HQ_CHECKPOINT = Family("SamHQModel", "SamImageProcessor", keeps_shape=True, resized_by_pillow=True)
_SAM2 = Family("Sam2Model", "Sam2ImageProcessor", keeps_shape=False)
_EDGETAM = Family("EdgeTamModel", "Sam2ImageProcessor", keeps_shape=False)
_SAM3 = Family("Sam3TrackerModel", "Sam3ImageProcessor", keeps_shape=False)
FAMILIES = {
    "sam": _SAM,
    "sam_hq": _SAM_HQ,
    "sam2": _SAM2,
    "sam2_video": _SAM2,  # the published SAM 2 and 2.1 repositories name the video model
    "edgetam": _EDGETAM,
    "edgetam_video": _EDGETAM,
    "sam3_tracker": _SAM3,
    "sam3_tracker_video": _SAM3,
    "sam3_video": _SAM3,
}
"""By `model_type` in the model's config.json."""
CHECKPOINTS = {"sam": _CHECKPOINT, "sam_hq": _HQ_CHECKPOINT, "sam2": _SAM2}
"""Likewise, of models read from their authors' checkpoints."""


def load_mask_generator(settings: Masks, device: torch.device, dtype: torch.dtype) -> MaskGenerator:
    """Everything-mode with the SAM that `settings.model` names: a `.pth` file, a Hugging Face id or a folder.

    The image encoder and the mask decoder run in `dtype`; points, scores and thresholds stay float32. Where it is
    `"module:factory"`, the user's own generator of masks, whose masks are taken as they are.
    An instance or panoptic segmenter is a `Detector`, whose masks have names.
    Raises InputError if the model cannot be loaded, with what to do.
    """
    if is_factory(settings.model):
        return adopt_generator(call_factory(settings.model, "generator of masks"), settings.model)
    if not _is_checkpoint(settings.model):
        config = _read_config(settings.model)
        if config.model_type in DETECTORS:
            return Detector(settings, config, device, dtype)
    sam = load_sam(settings.model, device, dtype)
    return EverythingGenerator(sam, settings, parallel=device.type == "cpu" and is_small(sam.model))


def load_sam(name: str, device: torch.device, dtype: torch.dtype) -> Sam:
    """The SAM that `name` names: its authors' checkpoint (`.pth`, `.pt`), a Hugging Face id or a folder."""
    import transformers

    if _is_checkpoint(name):
        model = read_checkpoint(existing(name) or Path(name))
        family = CHECKPOINTS[model.config.model_type]
        return Sam(model, getattr(transformers, family.processor)(), family, device, dtype)
    config = _read_config(name)
    with loading(name, "SAM"):
        if config.model_type not in FAMILIES:
            named = (config.architectures or [f"{config.model_type!r} model"])[0]
            raise InputError(f"cannot load SAM: {name} is a {named}; give {TAKES}, or {TAKES_MASKS}")
        family = FAMILIES[config.model_type]
        model = load_whole(getattr(transformers, family.model), name, "SAM", torch.float32)
        return Sam(model, _processor(name, getattr(transformers, family.processor)), family, device, dtype)


def _is_checkpoint(name: str) -> bool:
    path = existing(name)
    return name.endswith((".pth", ".pt")) or (path is not None and path.is_file())


def _read_config(name: str) -> Any:
    import transformers

    print_without_hub()
    with loading(name, "masks"):
        return transformers.AutoConfig.from_pretrained(name)


def print_without_hub() -> None:
    """Let EdgeTAM's configurations be printed offline, which transformers does whenever it reads one.

    Before 5.20 it prints how they differ from the default, whose backbone it fetches from the hub.
    """
    from transformers.models.edgetam import configuration_edgetam as image
    from transformers.models.edgetam_video import configuration_edgetam_video as video

    for kind in (image.EdgeTamVisionConfig, image.EdgeTamConfig, video.EdgeTamVideoConfig):
        kind.has_no_defaults_at_init = True


def _processor(name: str, kind: Any) -> Any:
    """The model's own image processor, or its family's published one where the model comes without."""
    try:
        return kind.from_pretrained(name)
    except OSError:
        folder = existing(name)
        if folder and any((folder / file).exists() for file in ("preprocessor_config.json", "processor_config.json")):
            raise  # it is there, but damaged
        return kind()


class Sam:
    """A model of the family on a device: an image is encoded once, then points are decoded against it."""

    def __init__(self, model: Any, processor: Any, family: Family, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.dtype = dtype
        self.family = family
        self.model = model.eval().to(device)
        if family.keeps_shape:
            _spare_a_copy(getattr(self.model.vision_encoder, "layers", ()))  # a TinyViT has none
        else:  # transformers remembers the position codes of one of the pyramid's levels, and none of the backbone's
            codes, backbone = self.model.vision_encoder.neck.position_encoding, self.model.vision_encoder.backbone
            codes.forward = lru_cache(8)(codes.forward)
            if hasattr(backbone, "_get_pos_embed"):
                backbone._get_pos_embed = lru_cache(1)(backbone._get_pos_embed)
            if type(backbone).__name__ == "Sam2HieraDetModel":
                lighten(backbone)
        # positions in half precision miss by whole pixels, so the prompt encoder stays float32
        self.model.vision_encoder.to(dtype)
        self.model.mask_decoder.to(dtype)
        if device.type == "cpu":  # convolutions take a fifth less
            self.model.vision_encoder.to(memory_format=torch.channels_last)
        if family.model == "SamHQModel":
            self._decoder: Any = HQPointDecoder(self.model.mask_decoder)
        else:  # measured on CPUs
            self._decoder = PointDecoder(self.model.mask_decoder) if device.type == "cpu" else self.model.mask_decoder
        self.side = int(self.model.prompt_encoder.input_image_size)
        self.mean, self.std = (
            torch.tensor(values, device=device)[:, None, None] / processor.rescale_factor
            for values in (processor.image_mean, processor.image_std)
        )
        with torch.inference_mode():
            self.positions = self.model.get_image_wide_positional_embeddings().to(dtype)
            self._dense = self._prompts(torch.zeros((1, 1, 1, 2), dtype=double(device), device=device))[1]

    def encode(self, image: Image) -> Encoding:
        """The encoding of one (H, W, 3) uint8 RGB image, as the family's own processor prepares it."""
        return self.encode_all([image])[0]

    def encode_all(self, images: Sequence[Image]) -> list[Encoding]:
        """The encoding of each image, of all in one batch: to the model they have one shape."""
        frames = [self._frame(image) for image in images]
        pixels = torch.cat([self._pixels(image, frame) for image, frame in zip(images, frames, strict=True)])
        found = self.model.get_image_embeddings(pixels)
        return [Encoding(self._features(found, index), frame) for index, frame in enumerate(frames)]

    def _features(self, found: Any, index: int) -> Any:
        """What `decode` wants of one image, of what the encoder made of several."""
        one, finest = slice(index, index + 1), None
        embeddings, fine = found, ()
        if self.family.model == "SamHQModel":
            embeddings, early = found
            finest = self._decoder.fine_features(embeddings[one], early[0][one])
        elif self.family.model != "SamModel":
            # SAM 2 adds a float32 parameter to this one
            embeddings, fine = found[-1].to(self.dtype), tuple(level[one] for level in found[:-1])
        if isinstance(self._decoder, PointDecoder):
            return self._decoder.cells(embeddings[one] + self._dense, self.positions, fine, finest)
        return {"image_embeddings": embeddings[one], **({"high_resolution_features": list(fine)} if fine else {})}

    def decode(
        self, encoding: Encoding, points_xy: Floats, from_iou: float = -math.inf
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Three masks (SAM-HQ: one) for each of (P, 2) points: (P, 3, h, w) logits, (P, 3) predicted IoU, float32."""
        points_in = torch.as_tensor(encoding.frame.to_input(points_xy)).to(double(self.device))
        sparse, dense = self._prompts(upload(points_in.numpy(), self.device)[None, :, None])
        if isinstance(encoding.features, Cells):
            logits, ious = self._decoder(encoding.features, sparse[0], from_iou)
            return logits.float(), ious.float()
        logits, ious = self._decoder(
            image_positional_embeddings=self.positions,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
            **encoding.features,
        )[:2]
        return logits[0].float(), ious[0].float()

    def _prompts(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, P, S, C) and (1, C, h, w) embeddings of (1, P, 1, 2) points that are inside."""
        sparse, dense = self.model.prompt_encoder(
            input_points=points,
            input_labels=torch.ones(points.shape[:3], dtype=torch.int64, device=self.device),
            input_boxes=None,
            input_masks=None,
        )
        return sparse.to(self.dtype), dense.to(self.dtype)

    def pixels(self, image: Image) -> torch.Tensor:
        """(1, 3, side, side) what the image encoder takes of an (H, W, 3) uint8 RGB image."""
        return self._pixels(image, self._frame(image))

    def _frame(self, image: Image) -> Frame:
        height, width = image.shape[:2]
        if not self.family.keeps_shape:
            return Frame((height, width), (self.side, self.side), self.side, by_input=False)
        scale = self.side / max(height, width)
        input_hw = (max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5)))
        return Frame((height, width), input_hw, self.side, by_input=True)

    def _pixels(self, image: Image, frame: Frame) -> torch.Tensor:
        """(1, 3, side, side): resized with antialiasing as uint8, normalised, padded with zeros."""
        from torchvision.transforms.v2.functional import resize

        height, width = frame.input_hw
        if self.family.resized_by_pillow:
            image = np.array(PIL.Image.fromarray(image).resize((width, height), PIL.Image.Resampling.BILINEAR))
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device).permute(2, 0, 1)
        pixels = (resize(pixels, [height, width], antialias=True).float() - self.mean) / self.std
        padding = (0, self.side - width, 0, self.side - height)
        return functional.pad(pixels, padding)[None].to(self.dtype)


def _spare_a_copy(layers: Iterable[Any]) -> None:
    """Make the position term of a ViT's attention in one piece.

    transformers adds two permuted tensors, so that its next reshape copies the sum: 0.8 GB more at vit_b's peak.
    """
    for layer in layers:
        layer.attn.get_decomposed_rel_pos = partial(_relative_positions, layer.attn, {})


def _relative_positions(
    attention: Any,
    known: dict[tuple[int, int, int], torch.Tensor],
    query: torch.Tensor,
    rel_pos_h: torch.Tensor,
    rel_pos_w: torch.Tensor,
    q_size: tuple[int, int],
    k_size: tuple[int, int],
) -> torch.Tensor:
    """(B, h, w, k_h, k_w) contiguous, from (B, h * w, C) queries: the decomposed positions of MViTv2."""
    grid, tables = query.reshape(query.shape[0], *q_size, -1), []
    for axis, rel_pos in enumerate((rel_pos_h, rel_pos_w)):
        place = (axis, q_size[axis], k_size[axis])
        if place not in known:  # the same for every image
            known[place] = attention.get_rel_pos(q_size[axis], k_size[axis], rel_pos)
        tables.append(known[place])
    heights = torch.einsum("bhwc,hkc->bhwk", grid, tables[0])
    widths = torch.einsum("bhwc,wkc->bhwk", grid, tables[1])
    return heights.contiguous()[..., :, None] + widths.contiguous()[..., None, :]
