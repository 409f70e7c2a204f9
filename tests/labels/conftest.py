"""Small datasets and runs that tests of labels share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import PIL.Image
import pytest

SEGMENTERS = """
import numpy as np

class Halves:
    classes = ["sky", "grass"]

    def __call__(self, images):
        return [(np.arange(i.shape[0])[:, None] >= i.shape[0] // 2) + 0 * i[..., 0].astype(int) for i in images]

class Turned(Halves):
    classes = ["grass", "sky"]

    def __call__(self, images):
        return [1 - m for m in super().__call__(images)]

class Other(Halves):
    classes = ["roof", "wall"]
"""
BOXES_XYWH = ((24, 4, 30, 20), (60, 4, 20, 20), (10, 40, 40, 20))
"""Three masks in an image of 96 x 64: two in its upper half, one in its lower."""


@pytest.fixture
def segmenters(tmp_path: Path) -> Path:
    """A module with the factories Halves (sky above grass), Turned (the same, other ids) and Other (other names)."""
    return segmenters_in(tmp_path)


def segmenters_in(folder: Path) -> Path:
    """That module, in a folder."""
    path = folder / "halves.py"
    path.write_text(SEGMENTERS)
    return path


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., fo.Dataset]:
    """A function that makes a dataset of `count` small images, each with unnamed masks in the field `masks`."""

    return partial(dataset_in, tmp_path)


def dataset_in(folder: Path, count: int = 1, **options: Any) -> fo.Dataset:
    """Such a dataset, its images in a folder."""
    dataset = fo.Dataset(**options)
    samples = []
    for index in range(count):
        path = folder / f"{index}.png"
        PIL.Image.new("RGB", (96, 64), (index % 256, 120, 200)).save(path)
        masks = [fo.Detection(bounding_box=box_of(xywh), mask=np.ones(xywh[:1:-1], bool)) for xywh in BOXES_XYWH]
        samples.append(fo.Sample(filepath=str(path), masks=fo.Detections(detections=masks)))
    dataset.add_samples(samples)
    return dataset


@pytest.fixture
def name_masks(segmenters: Path) -> Callable[..., Any]:
    """A function that annotates with one of the segmenters, from the masks of the field `masks`."""

    def run(samples: Any, *arguments: Any, **options: Any) -> Any:
        return name_masks_of(samples, segmenters, *arguments, **options)

    return run


def name_masks_of(
    samples: Any, module: Path, segmenter: str = "Halves", masks_field: str | None = "masks", **options: Any
) -> Any:
    """Annotate with a segmenter of a module."""
    from fiftyone_ssa.labels.annotate import annotate

    overrides = {"semantic.model": f"{module}:{segmenter}", **options.pop("overrides", {})}
    return annotate(samples, "mini-ssa", masks_field=masks_field, overrides=overrides, **options)


def box_of(xywh: tuple[int, int, int, int]) -> list[float]:
    """A box in pixels of those images as FiftyOne has it."""
    return [value / side for value, side in zip(xywh, (96, 64, 96, 64), strict=True)]
