"""Good, bad and odd masks of one image, to measure votes with: nobody's generator makes them, many make their like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import felzenszwalb

from fiftyone_ssa.masks.rle import decode, encode, mask_set
from fiftyone_ssa.types import ClassIds, Image, MaskSet

Mask = npt.NDArray[np.bool_]
SCALES = 50, 200, 600
IGNORED = 255


def superpixels(image: Image) -> MaskSet:
    """Felzenszwalb segments of three scales."""
    least = max(60, image.shape[0] * image.shape[1] // 1500)
    maps = [felzenszwalb(image, scale=scale, sigma=0.8, min_size=least) for scale in SCALES]
    return _set(image, [labels == label for labels in maps for label in np.unique(labels)])


def odd_masks(image: Image, truth: ClassIds, true: MaskSet, seed: int) -> dict[str, MaskSet]:
    """By kind: connected parts of the truth, those made imperfect, weak masks, half of both, and four odd sets."""
    rng = np.random.default_rng(seed)
    dense = [decode(code, true.size_hw) for code in true.rles]
    segments = [
        labels == label
        for ids in np.unique(truth[truth != IGNORED])
        for labels in [ndimage.label(truth == ids)[0]]
        for label in np.flatnonzero(np.bincount(labels.ravel()) >= 20)
        if label
    ]
    imperfect, weak = _imperfect(segments, rng), _weak(image, rng)
    some = [mask for mask in imperfect + weak if rng.random() < 0.5]
    mixed = [
        np.any([dense[i] for i in rng.integers(len(dense), size=int(rng.integers(1, 4))).tolist()], axis=0)
        for _ in dense
    ]
    left = np.arange(image.shape[1]) < image.shape[1] // 2
    few = [mask for mask in dense if (mask & left).sum() > 0.8 * mask.sum()][:6]
    kinds = {
        "segments": segments,
        "imperfect": imperfect,
        "weak": weak,
        "half weak": some,
        "mixed-up": mixed,
        "few": few,
        "whole image": [np.ones(truth.shape, bool), *dense],
        "nested": dense + [near for mask in dense for near in _near(mask, rng)],
    }
    return {kind: _set(image, masks) for kind, masks in kinds.items()}


def _imperfect(segments: Sequence[Mask], rng: np.random.Generator) -> list[Mask]:
    """Borders moved by a pixel or two, a tenth missing, a tenth merged with another."""
    found = []
    for mask in segments:
        if rng.random() < 0.1:
            continue
        move = ndimage.binary_dilation if rng.random() < 0.5 else ndimage.binary_erosion
        moved = move(mask, iterations=int(rng.integers(1, 3)))
        moved = moved if moved.sum() >= 10 else mask
        found.append(moved | segments[int(rng.integers(len(segments)))] if rng.random() < 0.1 else moved)
    return found


def _weak(image: Image, rng: np.random.Generator, count: int = 40) -> list[Mask]:
    """Smooth blobs of neighbouring superpixels, .4 to 25 % of the image: as a weak SAM makes of what it cannot tell."""
    labels = felzenszwalb(image, scale=200, sigma=0.8, min_size=60)
    sizes = np.bincount(labels.ravel())
    found = []
    for _ in range(count):
        wanted = labels.size * np.exp(rng.uniform(np.log(0.004), np.log(0.25)))
        mask = labels == rng.integers(len(sizes))
        while mask.sum() < wanted:
            around = np.unique(labels[ndimage.binary_dilation(mask) & ~mask])
            if not len(around):
                break
            mask |= labels == rng.choice(around)
        smooth = ndimage.gaussian_filter(mask.astype(np.float32), 2) > 0.5
        found += [smooth] if smooth.sum() >= 30 else []
    return found


def _near(mask: Mask, rng: np.random.Generator) -> list[Mask]:
    """A mask grown, and shrunk, by some pixels; none of small ones."""
    if mask.sum() <= 100:
        return []
    grown = ndimage.binary_dilation(mask, iterations=int(rng.integers(2, 8)))
    shrunk = ndimage.binary_erosion(mask, iterations=int(rng.integers(2, 6)))
    return [grown, shrunk] if shrunk.sum() > 20 else [grown]


def _set(image: Image, masks: Sequence[Mask]) -> MaskSet:
    return mask_set((image.shape[0], image.shape[1]), [encode(np.ascontiguousarray(mask)) for mask in masks])
