"""How good the small models are, on drawn scenes that they never saw; also guards every real change of quality.

    python -m benchmarks.quality [masks] [ssa] [engine] [--scenes 200] [--true-masks]

masks: SAM's everything-mode, the share of whole objects and of parts found at IoU 0.75.
ssa: mIoU of the closed-set branch alone and after voting. engine: the share of whole objects rightly named.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from fiftyone_ssa import masks as rle
from fiftyone_ssa.devices import pick_device, pick_dtype
from fiftyone_ssa.miou import Scores, confusion_matrix
from fiftyone_ssa.models.sam import load_mask_generator
from fiftyone_ssa.pipeline import build_pipeline
from fiftyone_ssa.presets import load_preset, parse_override
from fiftyone_ssa.run import Pipeline
from fiftyone_ssa.scenes import Node, Scene, class_names, draw_scene
from fiftyone_ssa.types import Annotation, Inputs, MaskSet

FIRST_SEED = 5_000
"""Neither the quickstart's scenes (from 0) nor those that were trained on (from 1,000,000)."""
SIZES_HW = ((256, 256), (256, 320), (320, 320), (288, 384))
FOUND, NAMED_ON = 0.75, 0.5
"""IoU at which a mask counts as found, and at which a found mask's name counts for the thing."""
PARTS_PX = 64
"""Parts smaller than this are not asked for."""


def scenes(count: int) -> Iterator[Scene]:
    """The scenes that are measured on."""
    for index in range(count):
        yield draw_scene(FIRST_SEED + index, SIZES_HW[index % len(SIZES_HW)])


def mask_quality(generator: Any, count: int) -> dict[str, Any]:
    """Recall of everything-mode by level: whole things, whole surfaces, parts and subparts."""
    asked: dict[str, int] = defaultdict(int)
    found: dict[str, int] = defaultdict(int)
    masks, seconds = 0, 0.0
    for scene in scenes(count):
        started = time.perf_counter()
        answer = generator(scene.image)
        seconds += time.perf_counter() - started
        masks += len(answer)
        for group, node in asked_regions(scene):
            asked[group] += 1
            found[group] += best_iou(answer, scene.mask(node.id))[1] >= FOUND
    recall = {group: round(found[group] / asked[group], 4) for group in sorted(asked)}
    return {"recall": recall, "asked": dict(asked), "masks": masks / count, "seconds": round(seconds / count, 3)}


def asked_regions(scene: Scene) -> Iterator[tuple[str, Node]]:
    """The regions that SAM should find, by group."""
    for node in scene.regions():
        if node.kind:
            if node.visible >= 0.3:
                yield "things", node
        elif node.level == 0:
            yield "surfaces", node
        elif scene.mask(node.id).sum() >= PARTS_PX:
            yield ("parts" if node.level == 1 else "subparts"), node


def best_iou(masks: MaskSet, truth: np.ndarray) -> tuple[int, float]:
    """The mask that fits best, and its IoU; (-1, 0.0) if there is none."""
    best, overlap = -1, 0.0
    area = int(truth.sum())
    for index, (code, pixels) in enumerate(zip(masks.rles, masks.areas_px, strict=True)):
        if min(area, pixels) / max(area, pixels, 1) <= overlap:
            continue  # sizes alone forbid a better fit
        shared = int((rle.decode(code, masks.size_hw) & truth).sum())
        iou = shared / (area + int(pixels) - shared)
        if iou > overlap:
            best, overlap = index, iou
    return best, overlap


def ssa_quality(pipeline: Pipeline, count: int, *, true_masks: bool) -> dict[str, Any]:
    """mIoU (ADE20K's names) of the branch and of SSA; with SAM's masks, or with the true ones."""
    names = class_names("ade20k")
    matrices = {"branch": np.zeros((len(names), len(names) + 1), np.int64)}
    matrices["ssa"] = matrices["branch"].copy()
    for scene in scenes(count):
        truth = scene.semantic("ade20k").ids
        (answer,) = pipeline([Inputs(scene.image, scene.mask_set() if true_masks else None)])
        if answer.branch is None or answer.semantic is None:
            raise ValueError("build the pipeline with keep_branch=True")
        for which, found in (("branch", answer.branch), ("ssa", answer.semantic)):
            matrices[which] += confusion_matrix(truth, found.ids, len(names))
    scores = {which: Scores(names, matrix, count) for which, matrix in matrices.items()}
    miou = {which: round(float(np.nanmean(score.iou)), 4) for which, score in scores.items()}
    per_class = {name: [round(float(s.iou[i]), 3) for s in scores.values()] for i, name in enumerate(names)}
    return {"miou": miou, "gain": round(miou["ssa"] - miou["branch"], 4), "classes": per_class}


def engine_quality(pipeline: Pipeline, count: int, *, true_masks: bool) -> dict[str, Any]:
    """Shares of whole things that are rightly named, of those that neither vocabulary names, and rightly proposed."""
    tally: dict[str, list[bool]] = defaultdict(list)
    kinds: dict[str, list[bool]] = defaultdict(list)
    for scene in scenes(count):
        (answer,) = pipeline([Inputs(scene.image, scene.mask_set() if true_masks else None)])
        for thing in scene.things():
            named, proposed = judge(answer, scene, thing)
            outside = thing.kind is not None and not thing.kind.ade20k and not thing.kind.coco
            tally["named"].append(named)
            tally["proposed"].append(proposed)
            tally["named outside" if outside else "named inside"].append(named)
            kinds[thing.name].append(named)
    shares = {key: round(float(np.mean(values)), 4) for key, values in sorted(tally.items())}
    per_kind = {kind: [round(float(np.mean(values)), 3), len(values)] for kind, values in sorted(kinds.items())}
    return {"things": len(tally["named"]), **shares, "kinds": per_kind}


def judge(answer: Annotation, scene: Scene, thing: Node) -> tuple[bool, bool]:
    """Whether the mask that fits a thing best has its name, and has it among its proposals; no mask, no name."""
    index, iou = best_iou(answer.masks, scene.mask(thing.id))
    if iou < NAMED_ON or thing.kind is None:
        return False, False
    right = thing.kind.names
    return answer.labels[index] in right, any(name in right for name in answer.proposals[index].names)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality")
    parser.add_argument("what", nargs="*", default=["masks", "ssa", "engine"])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--ssa", default="mini-ssa", help="preset of SSA and of its SAM")
    parser.add_argument("--engine", default="mini-engine", help="preset of SSA-engine")
    parser.add_argument("--true-masks", action="store_true", help="the scenes' own masks instead of SAM's")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", action="append", default=[], help="section.key=value, as in annotate")
    arguments = parser.parse_args()
    overrides = dict(parse_override(text) for text in arguments.set)
    answer: dict[str, Any] = {"scenes": arguments.scenes, "true_masks": arguments.true_masks}
    for what in arguments.what:
        preset = load_preset(arguments.engine if what == "engine" else arguments.ssa, overrides)
        if what == "masks":
            device = pick_device(arguments.device)
            generator = load_mask_generator(preset.masks, device, pick_dtype("auto", device))
            answer[what] = mask_quality(generator, arguments.scenes)
            continue
        if arguments.true_masks:
            preset = load_preset(preset, {"masks.source": "existing"})
        pipeline = build_pipeline(preset, device=arguments.device, keep_branch=what == "ssa")
        measure = ssa_quality if what == "ssa" else engine_quality
        answer[what] = measure(pipeline, arguments.scenes, true_masks=arguments.true_masks)
    print(json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()
