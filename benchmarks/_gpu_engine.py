"""SSA-engine's base preset with random weights, beside what was estimated of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks import _estimates, _probes
from benchmarks._architectures import build_models
from benchmarks._cases import load_engine
from benchmarks._gpu_pipelines import Subject
from benchmarks._scale import Scale
from benchmarks._sections import Figures
from fiftyone_ssa.masks.rle import class_rles, decode_crop
from fiftyone_ssa.models import decider
from fiftyone_ssa.naming.voting import refine, vote
from fiftyone_ssa.types import Inputs, SemanticMap


def measure(figures: Figures, scale: Scale) -> None:
    """Build, measure, compare with the estimates, and time what the CPU does of it."""
    folder = Path(scale.folder) / "engine"
    settings: dict[str, Any] = {}
    figures.measure(
        "building", lambda: str(settings.update(build_models(scale.models, folder, scale.device)) or "done")
    )
    subject = Subject(figures, scale, partial(load_engine, settings))
    # random weights tie: half of their masks would be decided again in float32, of trained ones' one in 190 is
    with mock.patch.object(decider, "CLOSE", -1.0):
        subject.measure()
    if subject.pipeline is not None:
        name = f"{scale.watched} images, close ones decided again"
        figures.measure(name, partial(subject.time_images, scale.watched, repeat=1))
    stages = figures.values.get("stages", {})
    figures.measure("estimates", partial(_estimates.beside, stages, scale.watched))
    work = {"estimated": _estimates.ENGINE_TFLOP, "measured": subject.tflop_per_image or None}
    figures.measure("tflop an image", lambda: work)
    figures.measure("on the CPU", partial(cpu_parts, subject.images[0], subject.pipeline))


def cpu_parts(inputs: Inputs, engine: Any) -> dict[str, dict[str, float | None]]:
    """Milliseconds of one image on one thread, measured beside what was estimated."""
    masks = inputs.masks
    assert masks is not None  # made up with masks
    height, width = masks.size_hw
    blocks = np.random.default_rng(0).integers(0, 150, (height // 16 + 1, width // 16 + 1), np.uint8)
    ids = np.ascontiguousarray(blocks.repeat(16, 0).repeat(16, 1)[:height, :width])
    semantic = SemanticMap(ids, tuple(map(str, range(150))))
    boxes = [(x, y, x + w, y + h) for x, y, w, h in masks.boxes_xywh.tolist()]
    votes = vote(masks, semantic)
    parts: dict[str, Callable[[], Any]] = {
        "votes on two maps": lambda: [vote(masks, semantic) for _ in range(2)],
        "decode_crop of every mask": lambda: [
            decode_crop(code, masks.size_hw, box) for code, box in zip(masks.rles, boxes, strict=True)
        ],
        "refine": lambda: refine(masks, votes.class_ids, semantic),
        "class RLEs": lambda: list(class_rles(ids, 255)),
    }
    phrases = getattr(engine, "phrases", None)
    if phrases is not None and type(phrases).__module__.startswith("fiftyone_ssa"):
        captions = [f"a {number} red car and the dog on a chair" for number in range(len(masks))]
        parts["spaCy on every caption"] = partial(phrases, captions)
    device = torch.device("cpu")
    return {
        name: {
            "estimated": _estimates.CPU_MS.get(name),
            "measured": round(_probes.timed(part, device)[0] * 1e3, 2),
        }
        for name, part in parts.items()
    }
