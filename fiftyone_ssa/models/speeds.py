"""Rough seconds that a preset takes an image: what is known of each of its models, added up.

CPU: seconds of one core of an Intel Xeon, measured with random weights of the published architectures in float32 on an
image of 1500 x 2250 (`python -m benchmarks.preset_seconds`), small models on the quickstart's scenes of 256 x 256; that
several cores share the work evenly is assumed. GPU: **estimated** for an H100 from counted operations
(`benchmarks/_estimates.py`), +-40 %. Other machines differ by a factor either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fiftyone_ssa.models.catalogue import preset_models
from fiftyone_ssa.models.hardware import Hardware
from fiftyone_ssa.presets import Masks, Preset

USUAL_MASKS = 100
"""Masks of an image of SA-1B, where they are not counted."""
POINTS_AT_A_TIME = 64
ANSWERED = 3
"""Where masks answer points (`answered_iou_thresh`), one in so many is asked: a guess; of masks drawn by people one in
five to eight is left on a grid of 16 a side."""


@dataclass(frozen=True)
class Speed:
    """Seconds of a CPU's core, and of a GPU: for each image (of a SAM: each crop), each mask, each 64 points."""

    image: tuple[float, float] = (0.0, 0.0)
    mask: tuple[float, float] = (0.0, 0.0)
    points: tuple[float, float] = (0.0, 0.0)


SPEEDS = {
    "facebook/sam-vit-huge": Speed(image=(68.0, 0.15), points=(3.6, 0.013)),
    "facebook/sam2.1-hiera-tiny": Speed(image=(3.5, 0.02), points=(2.7, 0.013)),
    "nvidia/segformer-b5-finetuned-ade-640-640": Speed(image=(8.2, 0.05)),
    "nvidia/segformer-b5-finetuned-cityscapes-1024-1024": Speed(image=(21.0, 0.1)),  # by its pixels
    "nvidia/segformer-b0-finetuned-ade-512-512": Speed(image=(0.5, 0.02)),
    "shi-labs/oneformer_coco_swin_large": Speed(image=(29.5, 0.1)),
    "shi-labs/oneformer_ade20k_swin_large": Speed(image=(19.0, 0.1)),  # by its pixels
    "shi-labs/oneformer_ade20k_swin_tiny": Speed(image=(6.5, 0.08)),
    "shi-labs/oneformer_cityscapes_dinat_large": Speed(image=(65.0, 0.3)),  # a guess, by its pixels
    "Salesforce/blip-image-captioning-large": Speed(mask=(6.2, 0.0018)),
    "Salesforce/blip-image-captioning-base": Speed(mask=(2.8, 0.001)),
    "timm/vit_large_patch14_clip_224.openai": Speed(mask=(2.0, 0.0005)),
    "timm/vit_base_patch32_clip_224.openai": Speed(mask=(0.37, 0.0002)),
    "CIDAS/clipseg-rd64-refined": Speed(mask=(1.9, 0.0012)),
    "CIDAS/clipseg-rd16": Speed(mask=(2.0, 0.0012)),
    "facebook/sam2.1-hiera-large": Speed(image=(18.0, 0.05), points=(3.6, 0.013)),  # by its operations
    "tue-mps/coco_panoptic_eomt_large_640": Speed(image=(13.8, 0.05)),
    "tue-mps/ade20k_semantic_eomt_large_512": Speed(image=(14.0, 0.05)),  # a guess, by its size
    "HuggingFaceTB/SmolVLM-500M-Instruct": Speed(mask=(4.0, 0.01)),  # a guess, by its size
    "google/siglip2-base-patch32-256": Speed(mask=(0.11, 0.0002)),
    "google/siglip2-large-patch16-256": Speed(mask=(1.6, 0.0005)),  # by its operations
}
"""By the name that a preset gives a model."""
SMALL = {
    "sam": Speed(image=(0.14, 0.03)),
    "segformer-ade20k": Speed(image=(0.05, 0.01)),
    "segformer-coco": Speed(image=(0.05, 0.01)),
    "blip": Speed(mask=(0.0025, 0.001)),
    "clip": Speed(mask=(0.0008, 0.001)),
    "clipseg": Speed(mask=(0.0015, 0.001)),
}
"""The models that come with the package, by their folders' names; a scene has 43 masks, so each counts less."""


def seconds_an_image(preset: Preset, here: Hardware, *, masks: float = USUAL_MASKS) -> float | None:
    """Rough seconds a preset takes an image with that many masks; None where one of its models is not known."""
    total, column = 0.0, int(here.is_gpu)
    for model in preset_models(preset):
        speed = SPEEDS.get(model) or (SMALL.get(Path(model).name) if "quickstart" in Path(model).parts else None)
        if speed is None:
            return None
        looks = 2.0 if preset.is_checked and model == preset.semantic.model else 1.0
        if preset.masks.source == "sam" and model == preset.masks.model:
            looks, points = _looks(preset.masks)
            total += points / POINTS_AT_A_TIME * speed.points[column]
        total += looks * speed.image[column] + masks * speed.mask[column]
    return total / here.cores


def _looks(settings: Masks) -> tuple[int, int]:
    """How many crops everything-mode encodes, and how many points it asks in them."""
    crops = points = 0
    for layer in range(settings.crop_n_layers + 1):
        side = max(1, settings.points_per_side // settings.crop_n_points_downscale_factor**layer)
        crops += 4**layer
        points += 4**layer * side * side
    return crops, points // ANSWERED if settings.answered_iou_thresh else points
