"""Seconds of one CPU core that each part of the presets takes here: what `models.speeds` tells of them.

The published architectures with random weights on a made-up image of 1500 x 2250; parts of an image's masks are timed
on a few of them. Seconds of the processor are counted, so that other work beside does not count; subnormal numbers, of
which random weights make many, are taken for zero. `python -m benchmarks.preset_seconds [PART ...]`
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks import _architectures as architectures
from benchmarks._cases import inputs_of, load_engine, made_up_case
from fiftyone_ssa.models.sam import load_sam
from fiftyone_ssa.models.segmenters import load_segmenter

CPU = torch.device("cpu")
POINTS, MASKS = 64, 3


def sam(folder: Path) -> dict[str, float]:
    """An image's encoding, and the decoding of a batch of points.

    The encoder has an eighth of ViT-H's layers, a global one among four as there; its time is told eight times.
    """
    architectures.sam(folder / "sam", "huge-eighth")
    model = load_sam(str(folder / "sam"), CPU, torch.float32)
    image = np.array(made_up_case(0)[0])
    encode, encoding = _timed(lambda: model.encode(image))
    points = np.random.default_rng(0).uniform(0, 1, (POINTS, 2)) * [image.shape[1], image.shape[0]]
    decode, _ = _timed(lambda: model.decode(encoding, points))
    return {"encode": encode * 8, f"{POINTS} points": decode}


def segformer(folder: Path) -> dict[str, float]:
    """A class map of SegFormer-B5."""
    architectures.segformer(folder / "segformer")
    return _map(folder / "segformer")


def oneformer_tiny(folder: Path) -> dict[str, float]:
    """A class map of OneFormer Swin-T, as `engine-small` has it for ADE20K."""
    architectures.oneformer(folder / "tiny", "oneformer-ade20k", "tiny", 512, 2048, 150)
    return _map(folder / "tiny")


def oneformer_large(folder: Path) -> dict[str, float]:
    """A class map of OneFormer Swin-L, as `engine-base` has it for COCO."""
    architectures.oneformer(folder / "large", "oneformer-coco", "large", 800, 1333, 150)
    return _map(folder / "large")


def engine_base(folder: Path) -> dict[str, float]:
    """Every stage of `engine-base` but its class maps, each mask."""
    architectures.blip(folder / "blip", "large")
    architectures.clip(folder / "clip", "ViT-L-14")
    architectures.clipseg(folder / "clipseg", 64, refined=True)
    return _engine(folder)


def engine_small(folder: Path) -> dict[str, float]:
    """Every stage of `engine-small` but its class maps, each mask."""
    architectures.blip(folder / "blip", "base")
    architectures.clip(folder / "clip", "ViT-B-32")
    architectures.clipseg(folder / "clipseg", 16, refined=False)
    return _engine(folder)


def _engine(folder: Path) -> dict[str, float]:
    settings = {"captioner": str(folder / "blip"), "decider": str(folder / "clipseg"), "phrases": "raw"}
    engine = load_engine({**settings, "class_filter": f"local-dir:{folder / 'clip'}"}, CPU, torch.float32)
    with mock.patch("fiftyone_ssa.naming.engine.time.perf_counter", time.process_time):
        engine([inputs_of(*made_up_case(MASKS))])
    return {stage: seconds / MASKS for stage, seconds in engine.timings.items()}


def _map(folder: Path) -> dict[str, float]:
    segmenter = load_segmenter(str(folder), CPU, torch.float32)
    image = np.array(made_up_case(0)[0])
    return {"map": _timed(lambda: segmenter([image]))[0]}


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    with torch.inference_mode():
        started = time.process_time()
        result = run()
        return time.process_time() - started, result


PARTS = {part.__name__: part for part in (sam, segformer, oneformer_tiny, oneformer_large, engine_base, engine_small)}


def main(names: list[str]) -> None:
    """Measure the parts that are named, or all, and print them as JSON."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    report: dict[str, Any] = {}
    for name in names or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            report[name] = {what: round(seconds, 3) for what, seconds in PARTS[name](Path(folder)).items()}
        print(name, report[name], file=sys.stderr, flush=True)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
