"""How good the small models are on drawn scenes that they never saw; a change that harms quality shows here.

    python -m benchmarks.quality [--scenes 200] [--sam FOLDER] [--write docs/quickstart.md]

masks (with --sam): its everything-mode, the share of whole objects and of parts found at IoU 0.75.
ssa: mIoU of the closed-set branch alone and after voting. engine: the share of whole objects rightly named.
Prints one JSON object; `--write` makes the page that the repository keeps.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_ssa.devices import pick_device, pick_dtype
from fiftyone_ssa.miou import Scores, confusion_matrix
from fiftyone_ssa.models.sam import load_mask_generator
from fiftyone_ssa.pipeline import build_pipeline
from fiftyone_ssa.presets import load_preset, parse_override
from fiftyone_ssa.scenes import KINDS, Node, Scene, class_names, draw_scene
from fiftyone_ssa.scenes.judge import NAMED_ON, SIZES_HW, best_mask, in_no_vocabulary, ious, names_right, right_names
from fiftyone_ssa.types import Annotation, Inputs, MaskSet

FIRST_SEED = 5_000
"""Neither the quickstart's scenes (from 0) nor those that were trained on (from 1,000,000)."""
FOUND = 0.75
"""IoU at which a mask counts as found."""
PARTS_PX = 64
"""Parts smaller than this are not asked for."""


def scenes(count: int) -> Iterator[Scene]:
    """The scenes that are measured on."""
    for index in range(count):
        yield draw_scene(FIRST_SEED + index, SIZES_HW[index % len(SIZES_HW)])


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


class MaskQuality:
    """Recall of everything-mode by level: whole things, whole surfaces, parts and subparts."""

    def __init__(self) -> None:
        self.found: dict[str, list[bool]] = defaultdict(list)
        self.masks: list[int] = []

    def add(self, scene: Scene, masks: MaskSet) -> None:
        """Count one scene."""
        self.masks.append(len(masks))
        found = ious(scene, masks)
        for group, node in asked_regions(scene):
            self.found[group].append(best_mask(found, node)[1] >= FOUND)

    def answer(self) -> dict[str, Any]:
        """Recall at IoU 0.75 and how many were asked for, by group."""
        asked = {group: len(values) for group, values in sorted(self.found.items())}
        return {"recall": _means(self.found), "asked": asked, "masks_per_scene": float(np.mean(self.masks))}


class SsaQuality:
    """mIoU (ADE20K's names) of the branch and of SSA."""

    def __init__(self) -> None:
        self.names = class_names("ade20k")
        self.matrices = {
            which: np.zeros((len(self.names), len(self.names) + 1), np.int64) for which in ("branch", "ssa")
        }
        self.scenes = 0

    def add(self, scene: Scene, answer: Annotation) -> None:
        """Count one scene."""
        truth = scene.semantic("ade20k").ids
        self.scenes += 1
        for which, found in (("branch", answer.branch), ("ssa", answer.semantic)):
            if found is None:
                raise ValueError("build the pipeline with keep_branch=True")
            self.matrices[which] += confusion_matrix(truth, found.ids, len(self.names))

    def answer(self) -> dict[str, Any]:
        """mIoU of both, the difference, and both IoU by class."""
        scores = {which: Scores(self.names, matrix, self.scenes) for which, matrix in self.matrices.items()}
        miou = {which: round(score.mean_iou, 4) for which, score in scores.items()}
        classes = {name: [round(float(s.iou[i]), 3) for s in scores.values()] for i, name in enumerate(self.names)}
        return {"miou": miou, "gain": round(miou["ssa"] - miou["branch"], 4), "classes": classes}


class EngineQuality:
    """Shares of whole things rightly named, of those that no vocabulary names, and rightly proposed."""

    def __init__(self) -> None:
        self.shares: dict[str, list[bool]] = defaultdict(list)
        self.kinds: dict[str, list[bool]] = defaultdict(list)

    def add(self, scene: Scene, answer: Annotation) -> None:
        """Count one scene; a thing that no mask fits (IoU 0.5) has no name."""
        found = ious(scene, answer.masks)
        for thing in scene.things():
            index, iou = best_mask(found, thing)
            fits, right = iou >= NAMED_ON, right_names(thing)
            named = fits and answer.labels[index] in right
            proposed = fits and any(name in right for name in answer.proposals[index].names)
            self.shares["things with a mask"].append(fits)
            self.shares["things named"].append(named)
            self.shares["things proposed"].append(proposed)
            if in_no_vocabulary(thing):
                self.shares["outside named"].append(named)
            if fits:
                self.shares["named where there is a mask"].append(named)
                self.shares["proposed where there is a mask"].append(proposed)
            self.kinds[thing.name].append(named)
        self.shares["masks named"] += names_right(scene, found, answer.labels)

    def answer(self) -> dict[str, Any]:
        """All shares, and the share named with the number of things by kind."""
        kinds = {kind: [share, len(self.kinds[kind])] for kind, share in _means(self.kinds).items()}
        return {"things": len(self.shares["things named"]), **_means(self.shares), "kinds": kinds}


def _means(groups: Mapping[str, list[bool]]) -> dict[str, float]:
    return {group: round(float(np.mean(values)), 4) for group, values in sorted(groups.items())}


def measure(
    count: int,
    *,
    ssa: str = "mini-ssa",
    engine: str = "mini-engine",
    sam: str = "",
    device: str = "auto",
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything of `count` scenes, both pipelines on the same masks: the scene's own, or those of a SAM's folder."""
    given = {**(overrides or {}), "masks.source": "existing"}
    presets = [load_preset(name, {**given, "masks.model": sam} if sam else given) for name in (ssa, engine)]
    where = pick_device(device)
    generator = load_mask_generator(presets[0].masks, where, pick_dtype("auto", where)) if sam else None
    by_ssa, by_engine = (build_pipeline(p, device=device, keep_branch=p.pipeline == "ssa") for p in presets)
    qualities = MaskQuality(), SsaQuality(), EngineQuality()
    seconds = dict.fromkeys(("masks", "ssa", "engine"), 0.0)
    drawn = scenes(count)
    while batch := list(islice(drawn, 8)):
        times = [time.perf_counter()]
        masks = [generator(scene.image) if generator else scene.mask_set() for scene in batch]
        times.append(time.perf_counter())
        inputs = [Inputs(scene.image, found) for scene, found in zip(batch, masks, strict=True)]
        voted = by_ssa(inputs)
        times.append(time.perf_counter())
        named = by_engine(inputs)
        times.append(time.perf_counter())
        for key, spent in zip(seconds, np.diff(times), strict=True):
            seconds[key] += float(spent)
        for index, scene in enumerate(batch):
            qualities[0].add(scene, masks[index])
            qualities[1].add(scene, voted[index])
            qualities[2].add(scene, named[index])
    answers = {key: quality.answer() for key, quality in zip(seconds, qualities, strict=True)}
    per_scene = {key: round(spent / count, 3) for key, spent in seconds.items()}
    return {"scenes": count, "sam": bool(sam), "seconds_per_scene": per_scene, **answers}


PAGE = """# Scores of the small models

Made by `make scores` (`python -m benchmarks.quality --scenes {scenes} --write docs/quickstart.md`): {scenes} drawn
scenes from seed {first:,}, which neither training (seeds from 1,000,000) nor the quickstart (from 0) uses, with
{source}. `make quickstart` shows {shown} other scenes.

| | here |
|---|---|
{found_by_sam}| mIoU of the coarse segmenter alone | {branch:.3f} |
| mIoU of SSA | {ssa:.3f} ({gain:+.3f}) |
| whole objects rightly named by SSA-engine | {named:.1%} of {named_asked:,} |
| of those in no closed set | {outside:.1%} |
| right name among the proposals | {proposed:.1%} |
| where a mask fits the object (IoU {named_on}): rightly named | {named_fit:.1%} |
| where a mask fits the object: right name among the proposals | {proposed_fit:.1%} |
| all masks that fit a region: rightly named | {masks_named:.1%} |

An object that no mask fits counts as wrongly named. Objects of which less than 30 % is seen are not asked for.

## SSA: IoU of each class

| class | segmenter alone | SSA |
|---|---|---|
{classes}

## SSA-engine: whole objects rightly named, by kind

| kind | named | objects | in a closed set |
|---|---|---|---|
{kinds}
"""


def page(answer: Mapping[str, Any]) -> str:
    """The scores as Markdown."""
    masks, ssa, engine = answer["masks"], answer["ssa"], answer["engine"]
    classes = [f"| {name} | {branch:.3f} | {voted:.3f} |" for name, (branch, voted) in ssa["classes"].items()]
    kinds = [
        f"| {name} | {share:.1%} | {count} | {'yes' if KINDS[name].ade20k or KINDS[name].coco else 'no'} |"
        for name, (share, count) in engine["kinds"].items()
    ]
    return PAGE.format(
        scenes=answer["scenes"],
        first=FIRST_SEED,
        shown=50,
        named_on=NAMED_ON,
        source="masks by SAM" if answer["sam"] else "the scenes' own masks, so that only names are measured",
        found_by_sam="".join(
            f"| {what} found by SAM at IoU {FOUND} | {masks['recall'][group]:.1%} of {masks['asked'][group]:,} |\n"
            for what, group in (("whole objects", "things"), (f"parts of {PARTS_PX} pixels or more", "parts"))
            if answer["sam"]
        ),
        branch=ssa["miou"]["branch"],
        ssa=ssa["miou"]["ssa"],
        gain=ssa["gain"],
        named=engine["things named"],
        named_asked=engine["things"],
        outside=engine["outside named"],
        proposed=engine["things proposed"],
        named_fit=engine["named where there is a mask"],
        proposed_fit=engine["proposed where there is a mask"],
        masks_named=engine["masks named"],
        classes="\n".join(classes),
        kinds="\n".join(kinds),
    )


def main() -> None:
    """Measure, print, and write the page where asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--ssa", default="mini-ssa", help="preset of SSA and of its SAM")
    parser.add_argument("--engine", default="mini-engine", help="preset of SSA-engine")
    parser.add_argument("--sam", default="", metavar="FOLDER", help="masks of this SAM instead of the scenes' own")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", action="append", default=[], help="section.key=value, as in annotate")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the scores as Markdown, too")
    given = parser.parse_args()
    answer = measure(
        given.scenes,
        ssa=given.ssa,
        engine=given.engine,
        sam=given.sam,
        device=given.device,
        overrides=dict(parse_override(text) for text in given.set),
    )
    if given.write:
        given.write.write_text(page(answer), encoding="utf-8")
    print(json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()
