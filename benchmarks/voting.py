"""Voting and painting 100 masks of 1500x2250, and class maps, each beside its plain twin. Run on one core."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco

from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.models.scores import ClassScores
from fiftyone_ssa.naming.voting import refine, vote
from fiftyone_ssa.types import MaskSet, SemanticMap

SIZE_HW = (1500, 2250)
CLASSES = 150


def scene(count: int) -> tuple[MaskSet, SemanticMap]:
    """Wavy blobs of all sizes over a map with some ten thousand borders, as a segmenter on a street gives."""
    rng = np.random.default_rng(0)
    height, width = SIZE_HW
    y, x = np.mgrid[:height, :width].astype(np.float32)
    ids = ((np.sin(x / 130) + np.cos(y / 90) + np.sin((x + y) / 200)) * 4 + 20).astype(np.uint8)
    ripple = 0.15 * np.sin(x / 15) * np.cos(y / 11)
    codes = []
    for _ in range(count):
        (left, top), (a, b) = rng.integers(0, (width, height)), rng.integers(20, 700, 2)
        codes.append(encode(((x - left) / a) ** 2 + ((y - top) / b) ** 2 + ripple < 1))
    return mask_set(SIZE_HW, codes), SemanticMap(ids, tuple(map(str, range(CLASSES))))


def ours(masks: MaskSet, semantic: SemanticMap) -> tuple[list[int], np.ndarray]:
    """The library's way: votes and painting on runs."""
    votes = vote(masks, semantic)
    return votes.class_ids.tolist(), refine(masks, votes.class_ids, semantic).ids


def plain(masks: MaskSet, semantic: SemanticMap) -> tuple[list[int], np.ndarray]:
    """The published way: each mask made dense, its pixels gathered and counted, then painted."""
    classes, refined = [-1] * len(masks), semantic.ids.copy()
    for index in masks.order_by_area():
        dense = coco.decode({"size": list(SIZE_HW), "counts": masks.rles[index]}).astype(bool)
        classes[index] = int(np.bincount(semantic.ids[dense], minlength=CLASSES).argmax())
        refined[dense] = classes[index]
    return classes, refined


def best(function: Callable[[], Any], runs: int = 5) -> tuple[float, Any]:
    """The fastest of some runs in seconds, and the answer."""
    seconds, answer = [], None
    for _ in range(runs):
        start = time.perf_counter()
        answer = function()
        seconds.append(time.perf_counter() - start)
    return min(seconds), answer


def class_map(way: str) -> dict[str, float]:
    """Seconds and peak memory of a 150-class map on 24 megapixels, in a process of its own."""
    torch.set_num_threads(1)
    coarse = torch.randn((1, CLASSES, 10, 15), generator=torch.Generator().manual_seed(0)) * 3
    values = torch.nn.functional.interpolate(coarse, (128, 192), mode="bilinear")[0]
    size_hw = (4000, 6000) if way == "ours" else (1000, 1500)
    start = time.perf_counter()
    if way == "plain":
        torch.nn.functional.interpolate(values[None], size_hw, mode="bilinear").argmax(1)
    else:
        ClassScores(values, tuple(map(str, range(CLASSES))), size_hw, logits=True).semantic_map()
    seconds = time.perf_counter() - start
    megapixels = size_hw[0] * size_hw[1] / 1e6
    return {
        "megapixels": megapixels,
        "seconds_per_megapixel": seconds / megapixels,
        "peak_process_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def bench() -> dict[str, Any]:
    """All figures, as JSON."""
    torch.set_num_threads(1)
    masks, semantic = scene(100)
    fast, answer = best(lambda: ours(masks, semantic))
    slow, expected = best(lambda: plain(masks, semantic), runs=2)
    maps = {}
    for way in ("ours", "plain"):
        command = [sys.executable, "-m", "benchmarks.voting", way]
        maps[way] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {
        "vote_and_paint_100_masks_1500x2250": {
            "seconds": fast,
            "plain_twin_seconds": slow,
            "equal": answer[0] == expected[0] and bool((answer[1] == expected[1]).all()),
            "mean_area_px": float(masks.areas_px.mean()),
        },
        "class_map_150_classes": maps,
    }


if __name__ == "__main__":
    print(json.dumps(class_map(sys.argv[1]) if len(sys.argv) > 1 else bench(), indent=2))
