"""How many wrong names a reviewer finds early: the queue by doubt beside a random order and one by confidence.

    python -m benchmarks.review_queue [--first 0] [--scenes 50] [--goal 0.97]

On drawn scenes with exact truth, by default those of the quickstart, on SAM's masks. `engine`: a mask's name is right
if it is one of the region's that the mask fits (IoU 0.5); masks that fit none are left out. `ssa`: right is the closed
set's class that most of the mask's pixels have in truth. Doubt was fitted on scenes 3,000 to 3,029 and 4,000 to 4,029,
refused here.
`found` is the share of all wrong names among the first so many masks; `times_random` the same over what chance finds;
`looks` how many masks are looked at until the share of right names is the goal's, when each wrong one that is met is
corrected. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import numpy.typing as npt

from fiftyone_ssa.labels.database import documents
from fiftyone_ssa.labels.documents import annotation_document
from fiftyone_ssa.labels.doubt import doubt
from fiftyone_ssa.masks import rle
from fiftyone_ssa.models.devices import pick_device, pick_dtype
from fiftyone_ssa.models.sam import load_mask_generator
from fiftyone_ssa.naming.pipeline import build_pipeline
from fiftyone_ssa.presets import load_preset
from fiftyone_ssa.quickstart.scenes import Scene, draw_scene
from fiftyone_ssa.quickstart.scenes.judge import SIZES_HW, ious, names_right
from fiftyone_ssa.types import Annotation, Inputs, MaskSet

FITTED = (*range(3_000, 3_030), *range(4_000, 4_030))
"""Scenes that the weights of doubt were fitted on."""
SHARES = (0.05, 0.1, 0.2)
PRESETS = {"engine": "mini-engine", "ssa": "mini-ssa"}
Truth = list[bool | None]
"""Whether each mask's name is right; None where that cannot be said."""


def engine_truth(scene: Scene, answer: Annotation) -> Truth:
    """By the region that a mask fits."""
    found = ious(scene, answer.masks)
    rights = [names_right(scene, found[i : i + 1], [name]) for i, name in enumerate(answer.labels)]
    return [right[0] if right else None for right in rights]


def ssa_truth(scene: Scene, answer: Annotation) -> Truth:
    """By the class that most pixels have."""
    return [_main_class(scene, answer.masks, i, name) for i, name in enumerate(answer.labels)]


def _main_class(scene: Scene, masks: MaskSet, index: int, name: str | None) -> bool | None:
    semantic = scene.semantic("ade20k")
    ids = semantic.ids[rle.decode(masks.rles[index], masks.size_hw)]
    counts = np.bincount(ids[ids != semantic.ignore_id], minlength=len(semantic.names))
    return semantic.names[int(counts.argmax())] == name if counts.sum() else None


def judged_masks(first: int, count: int, device: str) -> tuple[fo.Dataset, dict[str, Truth]]:
    """A dataset with the names of both pipelines for the same masks of `count` scenes, and which are right."""
    dataset, where = fo.Dataset(), pick_device(device)
    presets = {field: load_preset(name) for field, name in PRESETS.items()}
    generator = load_mask_generator(presets["ssa"].masks, where, pick_dtype("auto", where))
    pipelines = {
        field: build_pipeline(replace(preset, masks=replace(preset.masks, source="existing")), device=device)
        for field, preset in presets.items()
    }
    truths: dict[str, Truth] = {field: [] for field in PRESETS}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, first + count):
            scene = draw_scene(seed, SIZES_HW[seed % len(SIZES_HW)])
            inputs = Inputs(scene.image, generator(scene.image))
            sample = fo.Sample(filepath=f"/scenes/{seed}.png")
            for field, pipeline in pipelines.items():
                (answer,) = pipeline([inputs])
                sample[field] = fo.Detections.from_dict(annotation_document(answer, Path(folder)))
                truths[field] += (engine_truth if field == "engine" else ssa_truth)(scene, answer)
            dataset.add_sample(sample)
    return dataset, truths


def scores_of(dataset: fo.Dataset, field: str, expression: Any) -> npt.NDArray[np.float64]:
    """A number of every mask, computed by the database, in order."""
    stages = [{"$project": {"scores": {"$map": {"input": f"${field}.detections", "in": expression}}}}]
    return np.array([score for row in documents(dataset, stages) for score in row["scores"]], np.float64)


def order_answer(scores: npt.NDArray[np.float64], wrong: npt.NDArray[np.bool_], goal: float) -> dict[str, Any]:
    """What a reviewer finds who takes masks by descending score; equal ones come in a random order."""
    ties = np.random.default_rng(0).permutation(len(scores))
    met = np.cumsum(wrong[np.lexsort((ties, -scores))])
    found = {share: float(met[round(len(met) * share) - 1] / met[-1]) for share in SHARES}
    corrections = _corrections(wrong, goal)
    looks = int(np.searchsorted(met, corrections)) + 1 if corrections else 0
    return {
        "found": {f"{share:.0%}": round(value, 3) for share, value in found.items()},
        "times_random": {f"{share:.0%}": round(value / share, 2) for share, value in found.items()},
        "looks": looks,
        "looks_share": round(looks / len(wrong), 3),
    }


def random_answer(wrong: npt.NDArray[np.bool_], goal: float) -> dict[str, Any]:
    """What chance finds, on average."""
    looks = round(_corrections(wrong, goal) * (len(wrong) + 1) / (wrong.sum() + 1))
    return {
        "found": {f"{share:.0%}": share for share in SHARES},
        "looks": looks,
        "looks_share": round(looks / len(wrong), 3),
    }


def _corrections(wrong: npt.NDArray[np.bool_], goal: float) -> int:
    """Wrong names to put right until the share of right ones is `goal`."""
    return max(0, int(np.ceil(goal * len(wrong) - (~wrong).sum())))


def measure(first: int, count: int, goal: float, device: str = "auto") -> dict[str, Any]:
    """All figures."""
    if set(range(first, first + count)) & set(FITTED):
        raise SystemExit("doubt was fitted on scenes 3,000 to 3,029 and 4,000 to 4,029; choose others")
    dataset, truths = judged_masks(first, count, device)
    report: dict[str, Any] = {"scenes": [first, first + count - 1], "goal": goal}
    for field, truth in truths.items():
        known = np.array([right is not None for right in truth])
        wrong = ~np.array([bool(right) for right in truth])[known]
        confidence = {"$ifNull": ["$$this.confidence", 0]}
        orders = {"by_doubt": doubt(), "by_confidence": {"$subtract": [1, confidence]}}
        answers = {name: order_answer(scores_of(dataset, field, by)[known], wrong, goal) for name, by in orders.items()}
        report[field] = {
            "masks": len(wrong),
            "right": round(float(1 - wrong.mean()), 4),
            "corrections": _corrections(wrong, goal),
            **answers,
            "random": random_answer(wrong, goal),
        }
    dataset.delete()
    return report


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.review_queue")
    parser.add_argument("--first", type=int, default=0, help="the first scene's seed")
    parser.add_argument("--scenes", type=int, default=50)
    parser.add_argument("--goal", type=float, default=0.97, help="share of right names to get to")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    print(json.dumps(measure(given.first, given.scenes, given.goal, given.device), indent=1))


if __name__ == "__main__":
    main()
