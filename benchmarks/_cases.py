"""Images and masks to measure with, and the pipelines that do them."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image

from benchmarks._stand_ins import WordPhrases, open_clip_or_stand_in
from fiftyone_ssa.errors import MissingDependencyError
from fiftyone_ssa.masks.rle import counts_from_intervals, mask_set
from fiftyone_ssa.models.segmenters import load_segmenter
from fiftyone_ssa.naming.engine import Engine, build_engine
from fiftyone_ssa.naming.phrases import NounPhrases
from fiftyone_ssa.naming.ssa import SSA
from fiftyone_ssa.presets import Masks, OpenVocabulary, Preset
from fiftyone_ssa.types import Inputs

Case = tuple[Image.Image, list[dict[str, Any]]]


def made_up_case(masks: int, size_hw: tuple[int, int] = (1500, 2250), seed: int = 0) -> Case:
    """An image of coloured noise and that many elliptic masks, of SA-1B's usual sizes."""
    random = np.random.default_rng(seed)
    height, width = size_hw
    small = Image.fromarray(random.integers(0, 256, (height // 20, (width + 10) // 20, 3), np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC), ellipses(height, width, masks, random)


def ellipses(height: int, width: int, count: int, random: np.random.Generator) -> list[dict[str, Any]]:
    """SA-1B annotations of ellipses that lie in the image, 2 to 30 % of it on a side."""
    annotations = []
    for _ in range(count):
        high, wide = (int(max(side * random.uniform(0.02, 0.3), 2)) for side in (height, width))
        top, left = int(random.integers(0, height - high)), int(random.integers(0, width - wide))
        columns = np.arange(wide)
        reach = high * np.sqrt(np.maximum(0.25 - ((columns + 0.5) / wide - 0.5) ** 2, 0))
        middle = top + (high - 1) / 2
        starts = (left + columns) * height + np.ceil(middle - reach).astype(np.int64)
        ends = (left + columns) * height + np.floor(middle + reach).astype(np.int64) + 1
        filled = ends > starts
        counts = counts_from_intervals(starts[filled], ends[filled], height * width)
        annotations.append(
            {"segmentation": {"size": [height, width], "counts": counts}, "bbox": [left, top, wide, high]}
        )
    return annotations


def inputs_of(image: Image.Image, annotations: list[dict[str, Any]]) -> Inputs:
    """What a pipeline takes, of an image and its SA-1B annotations."""
    boxes = [annotation["bbox"] for annotation in annotations]
    codes = [annotation["segmentation"]["counts"] for annotation in annotations]
    ids = [annotation.get("id") for annotation in annotations]
    return Inputs(
        np.array(image), mask_set((image.height, image.width), codes, source_boxes_xywh=boxes, source_ids=ids)
    )


def whole_engine() -> bool:
    """Whether open_clip and spaCy are here; where open_clip is not, a stand-in takes its place."""
    try:
        NounPhrases("raw")
    except MissingDependencyError:
        open_clip_or_stand_in()
        return False
    return open_clip_or_stand_in()


def load_engine(settings: dict[str, Any], device: torch.device, dtype: torch.dtype) -> Engine:
    """SSA-engine on existing masks, with stand-ins for what is not installed."""
    whole = whole_engine()
    preset = Preset("benchmark", "engine", Masks(source="existing"), open_vocabulary=OpenVocabulary(**settings))
    if whole:
        return build_engine(preset, device, dtype)
    with mock.patch.multiple("fiftyone_ssa.naming.engine", NounPhrases=WordPhrases, PhraseWorker=WordPhrases):
        return build_engine(preset, device, dtype)


def load_ssa(model: str, device: torch.device, dtype: torch.dtype) -> SSA:
    """SSA on existing masks, by hard votes as published."""
    return SSA(load_segmenter(model, device, dtype))
