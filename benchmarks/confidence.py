"""Whether confidence tells right names from wrong ones, and how often they are right, by the images it was fitted on.

    python -m benchmarks.confidence [--scenes 200] [--first-seed 6000] [--fitted 12 24 48 96] [--draws 8]
        [--pictures plain foreign] [--pipelines fused published ssa] [--table]

Drawn scenes, plain and in foreign colours and patterns (`_foreign.py`), with SAM's masks and with true ones, named by
`mini-ssa`, with its check and without, and by `mini-engine` of both decisions. Confidences without a fit, of all
images; then, for each number of fitted images, what `calibrate` fits on so many drawn at random, told of those images
that no fit of that draw saw (the scenes less the most that are fitted on), mean of the draws: AUROC of right against
wrong, and expected calibration error. `chance` is the error that the same confidences would have if they meant what
they say: what each image is over or under, with random signs, for the masks of an image are right or wrong together.
Prints one JSON object, or Markdown tables.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from benchmarks._foreign import foreign
from benchmarks.vote_quality import three_digits
from fiftyone_ssa.models.sam import load_mask_generator
from fiftyone_ssa.naming.confidence import (
    JudgedMask,
    Named,
    NamedMask,
    auroc,
    calibration_error,
    fit,
    named_masks,
    right_of,
)
from fiftyone_ssa.naming.pipeline import build_pipeline
from fiftyone_ssa.naming.run import Pipeline
from fiftyone_ssa.naming.voting import count_classes
from fiftyone_ssa.presets import load_preset
from fiftyone_ssa.quickstart.scenes import Scene, class_names, draw_scene
from fiftyone_ssa.quickstart.scenes.judge import SIZES_HW, ious, names_of, right_names
from fiftyone_ssa.types import Annotation, Floats, Inputs, MaskSet

PICTURES: Mapping[str, Callable[[Scene], Scene]] = {"plain": lambda scene: scene, "foreign": foreign}
PIPELINES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "fused": ("mini-engine", {"open_vocabulary.decision": "fused"}),
    "published": ("mini-engine", {"open_vocabulary.decision": "published"}),
    "ssa": ("mini-ssa", {}),
    "ssa unchecked": ("mini-ssa", {"semantic.check": "none"}),
}
"""Preset and changes to it."""
SSA = "ssa", "ssa unchecked"
"""Those that vote, as the preset does it and without a look at images without colours."""
MASKS = "sam", "true"
FLIPS = 200
"""Draws of random signs behind `chance`."""
Key = tuple[str, str, str]
"""Pictures, pipeline, masks."""


@dataclass(frozen=True, eq=False)
class Said:
    """What was said of the masks of one image, and the names that are right for each."""

    masks: list[NamedMask]
    confidences: Floats
    right: list[frozenset[str]]


def judge(images: Iterable[Said], known: frozenset[str]) -> list[JudgedMask]:
    """Masks that have a name which the truth knows, and a truth, as `calibrate` takes them."""
    return [
        JudgedMask(mask, confidence, mask.name in right, mask.name if mask.name in right else min(right), image)
        for image, one in enumerate(images)
        for mask, confidence, right in zip(one.masks, one.confidences.tolist(), one.right, strict=True)
        if mask.name in known and right
    ]


def said(scene: Scene, answer: Annotation, pipeline: str) -> Said:
    """An answer beside the truth: SSA's by the class of most of a mask's pixels, the engine's by the region it fits."""
    masks = answer.masks
    if pipeline in SSA:
        truth = scene.semantic("ade20k")
        counts = count_classes(masks, truth)
        right = [frozenset({truth.names[row.argmax()]} if row.any() else ()) for row in counts]
    else:
        right = names_of(scene, ious(scene, masks))
    return Said(named_masks(Named.of(answer)), answer.confidences, right)


def look(
    scenes: Sequence[Scene], pipelines: Mapping[str, Pipeline], generator: Any
) -> dict[tuple[str, str], list[Said]]:
    """What each pipeline says of each kind of masks, an image each, by (pipeline, masks)."""
    found: dict[tuple[str, str], list[Said]] = {(name, kind): [] for name in pipelines for kind in MASKS}
    every = iter(scenes)
    while batch := list(islice(every, 8)):
        for kind in MASKS:
            masks: list[MaskSet] = [generator(s.image) if kind == "sam" else s.mask_set() for s in batch]
            inputs = [Inputs(scene.image, some) for scene, some in zip(batch, masks, strict=True)]
            for name, pipeline in pipelines.items():
                answers = zip(batch, pipeline(inputs), strict=True)
                found[name, kind] += [said(scene, answer, name) for scene, answer in answers]
    return found


def chance(confidences: Floats, judged: Sequence[JudgedMask], bins: int = 10) -> float:
    """The calibration error of these confidences if each were as often right as it says, of images as alike inside."""
    images = np.array([mask.image for mask in judged])
    places = np.minimum((confidences * bins).astype(np.int64), bins - 1)
    apart = np.zeros((int(images.max()) + 1, bins))
    np.add.at(apart, (images, places), confidences - right_of(judged))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (FLIPS, len(apart)))
    return float(np.abs(signs @ apart).sum(1).mean() / len(confidences))


def told(confidences: Floats, judged: Sequence[JudgedMask]) -> tuple[float, float, float]:
    """AUROC, calibration error, and what of that is chance."""
    right = right_of(judged)
    return auroc(confidences, right), calibration_error(confidences, right), chance(confidences, judged)


def by_fitted(
    judged: Sequence[JudgedMask], pipeline: str, fitted: Sequence[int], images: int, draws: int
) -> dict[str, Any]:
    """AUROC, error and chance by the number of fitted images, told of the same images of each draw."""
    found: dict[int, list[tuple[float, float, float]]] = {count: [] for count in fitted}
    for draw in range(draws):
        places = np.random.default_rng(draw).permutation(images).argsort()
        others = [mask for mask in judged if places[mask.image] >= max(fitted)]
        for count in fitted:
            some = [mask for mask in judged if places[mask.image] < count]
            calibration = fit(some, "ssa" if pipeline in SSA else "engine")
            found[count].append(told(calibration([mask.said for mask in others]), others))
    return {str(count): _figures(np.mean(rows, axis=0)) for count, rows in found.items()}


def measure(
    scenes: int,
    first_seed: int,
    fitted: Sequence[int],
    draws: int,
    pictures: Sequence[str] = tuple(PICTURES),
    pipelines: Sequence[str] = tuple(PIPELINES),
) -> dict[str, Any]:
    """Every figure: a row for each of pictures, pipelines and kinds of masks."""
    chosen = {name: PIPELINES[name] for name in pipelines}
    ready = {
        name: build_pipeline(load_preset(preset, {"masks.source": "existing", **changes}), device="cpu")
        for name, (preset, changes) in chosen.items()
    }
    generator = load_mask_generator(load_preset("mini-ssa").masks, torch.device("cpu"), torch.float32)
    rows = []
    for kind in pictures:
        drawn = [draw_scene(first_seed + i, SIZES_HW[i % len(SIZES_HW)]) for i in range(scenes)]
        known = frozenset[str]().union(*(right_names(node) for scene in drawn for node in scene.regions()))
        answers = look([PICTURES[kind](scene) for scene in drawn], ready, generator)
        for (pipeline, masks), some in answers.items():
            judged = judge(some, frozenset(class_names("ade20k")) if pipeline in SSA else known)
            confidences = np.array([mask.confidence for mask in judged])
            row = {"pictures": kind, "pipeline": pipeline, "masks": masks, "judged": len(judged)}
            before = _figures(told(confidences, judged))
            row |= {"right": round(float(right_of(judged).mean()), 4), "without a fit": before}
            row |= {"mean confidence without a fit": round(float(confidences.mean()), 3)}
            rows.append({**row, "fitted on": by_fitted(judged, pipeline, fitted, scenes, draws)})
    return {"scenes": scenes, "first_seed": first_seed, "told_on": scenes - max(fitted), "draws": draws, "rows": rows}


def _figures(three: Iterable[float]) -> dict[str, float]:
    return {name: round(float(value), 3) for name, value in zip(("auroc", "error", "chance"), three, strict=True)}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: AUROC, error and (chance), without a fit and by the number of fitted images."""
    counts = list(rows[0]["fitted on"])
    lines = ["| pictures, names, masks | rightly named | without a fit |" + "".join(f" {n} images |" for n in counts)]
    lines.append("|---" * (3 + len(counts)) + "|")
    for row in rows:
        cells = [row["without a fit"], *row["fitted on"].values()]
        texts = [f"{three_digits(c['auroc'])}, {three_digits(c['error'])} ({three_digits(c['chance'])})" for c in cells]
        what = f"{row['pictures']}, {row['pipeline']}, {row['masks']}"
        lines.append(f"| {what} | {three_digits(row['right'])} | {' | '.join(texts)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.confidence")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=6_000)
    parser.add_argument("--fitted", type=int, nargs="+", default=[12, 24, 48, 96], help="images that are fitted on")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--pictures", nargs="+", choices=PICTURES, default=list(PICTURES))
    parser.add_argument("--pipelines", nargs="+", choices=PIPELINES, default=list(PIPELINES))
    parser.add_argument("--table", action="store_true", help="print Markdown instead of JSON")
    given = parser.parse_args()
    if max(given.fitted) >= given.scenes:
        parser.error(f"--scenes must be more than the {max(given.fitted)} that are fitted on, got {given.scenes}")
    torch.set_num_threads(1)
    answer = measure(given.scenes, given.first_seed, given.fitted, given.draws, given.pictures, given.pipelines)
    print(table(answer["rows"]) if given.table else json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()
