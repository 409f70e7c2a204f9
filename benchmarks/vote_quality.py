"""How good each vote is: mIoU by network, masks and how sure the network is, on scenes and, where given, photographs.

    python -m benchmarks.vote_quality [--scenes 20] [--first-seed 5000] [--photos FOLDER --segmenter tflite.py:build]

Masks: the true ones, SAM's, and Felzenszwalb superpixels of three scales, which are bad masks. Temperature divides the
network's logits: 0.5 makes it surer than it is, 2 less sure. `--photos` is a folder of photographs with SA-1B JSONs
beside them, `classes.txt`, and `gt/STEM.png` (0 ignored, i = line i); their segmenter's first class takes all names
that it has not. Prints one JSON object: network, masks, rule, temperature, mIoU.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fiftyone_ssa.files.images import read_image, read_values
from fiftyone_ssa.folders.sa1b_json import read_masks
from fiftyone_ssa.masks.miou import Scores, confusion_matrix
from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.models.sam import load_mask_generator
from fiftyone_ssa.models.scores import ClassScores
from fiftyone_ssa.models.segmenters import ScoringSegmenter, load_segmenter
from fiftyone_ssa.naming.ssa import SSA
from fiftyone_ssa.presets import load_preset
from fiftyone_ssa.quickstart.scenes import class_names, draw_scene
from fiftyone_ssa.quickstart.scenes.judge import SIZES_HW
from fiftyone_ssa.types import ClassIds, Image, Inputs, MaskSet, SemanticMap

WEIGHTS = Path(__file__).parents[1] / "fiftyone_ssa/quickstart/weights"
RULES = "branch", "hard", "soft", "core", "auto"
TEMPERED = "soft", "core", "auto"
"""The others see classes only, which no temperature changes."""
TEMPERATURES = 0.5, 1.0, 2.0
FELZENSZWALB_SCALES = 50, 200, 600
ALIASES = {"airplane": "aeroplane", "motorcycle": "motorbike", "couch": "sofa", "potted plant": "pottedplant"}
"""COCO's names of Pascal VOC's classes, where they differ."""
Matrices = dict[tuple[str, str, str, float], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Case:
    """An image, its truth by network, and its masks by kind."""

    image: Image
    truth: Mapping[str, ClassIds]
    masks: dict[str, MaskSet]


class Answered:
    """A network that has looked at one image already, made surer (below 1) or less sure (above)."""

    def __init__(self, scores: ClassScores, temperature: float) -> None:
        self.classes: Sequence[str] = scores.names
        values = scores.values / temperature if scores.logits else scores.values ** (1 / temperature)
        self.answer = replace(scores, values=values)

    def __call__(self, images: Sequence[Image]) -> list[SemanticMap]:
        """Its class map."""
        return [self.answer.semantic_map() for _ in images]

    def scores(self, images: Sequence[Image]) -> list[ClassScores]:
        """What it said."""
        return [self.answer for _ in images]


def superpixels(image: Image) -> MaskSet:
    """Felzenszwalb segments of three scales; scikit-image makes them."""
    from skimage.segmentation import felzenszwalb

    codes = []
    for scale in FELZENSZWALB_SCALES:
        labels = felzenszwalb(image, scale=scale, sigma=0.8, min_size=60)
        codes += [encode(labels == label) for label in np.unique(labels)]
    return mask_set((image.shape[0], image.shape[1]), codes)


def scene_cases(count: int, first_seed: int) -> Iterator[Case]:
    """Drawn scenes, with the true masks, the quickstart's SAM's, and superpixels."""
    generator = load_mask_generator(load_preset("mini-ssa").masks, torch.device("cpu"), torch.float32)
    for index in range(count):
        scene = draw_scene(first_seed + index, SIZES_HW[index % len(SIZES_HW)])
        masks = {"true": scene.mask_set(), "sam": generator(scene.image), "felzenszwalb": superpixels(scene.image)}
        truth = {f"segformer-{names}": scene.semantic(names).ids for names in ("ade20k", "coco")}
        yield Case(scene.image, truth, masks)


def photo_cases(folder: Path, network: str, classes: Sequence[str]) -> Iterator[Case]:
    """Photographs with their annotated masks, those of the quickstart's SAM, which knows none, and superpixels."""
    generator = load_mask_generator(load_preset("mini-ssa").masks, torch.device("cpu"), torch.float32)
    known = [ALIASES.get(name, name) for name in (folder / "classes.txt").read_text().splitlines()]
    ids = np.array([255, *(list(classes).index(name) if name in classes else 0 for name in known)], np.uint8)
    for path in sorted(folder.glob("*.jpg")):
        image = read_image(path)
        truth = ids[read_values(folder / f"gt/{path.stem}.png")]
        true = read_masks(path.with_suffix(".json"), image.shape[:2])
        yield Case(image, {network: truth}, {"true": true, "sam": generator(image), "felzenszwalb": superpixels(image)})


def count(case: Case, networks: dict[str, ScoringSegmenter], matrices: Matrices) -> None:
    """Add what every rule makes of a case to the confusion matrices by network, masks, rule and temperature."""
    for network, truth in case.truth.items():
        scores = networks[network].scores([case.image])[0]
        for kind, masks in case.masks.items():
            for temperature in TEMPERATURES:
                for rule in RULES:
                    if rule in TEMPERED or temperature == 1:
                        key = network, kind, rule, temperature
                        found = refined(case.image, masks, scores, rule, temperature)
                        matrix = confusion_matrix(truth, found.ids, len(scores.names))
                        matrices[key] = matrices[key] + matrix if key in matrices else matrix


def refined(image: Image, masks: MaskSet, scores: ClassScores, rule: str, temperature: float) -> SemanticMap:
    """The class map by SSA, or by the network alone."""
    if rule == "branch":
        return scores.semantic_map()
    answer = SSA(Answered(scores, temperature), rule=rule)([Inputs(image, masks)])[0]  # type: ignore[arg-type]
    assert answer.semantic is not None
    return answer.semantic


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vote_quality")
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--first-seed", type=int, default=5_000)
    parser.add_argument("--photos", type=Path, help="a folder of photographs with masks and truth")
    parser.add_argument("--segmenter", help="what looks at the photographs: a hub id, folder, or module:factory")
    given = parser.parse_args()
    torch.set_num_threads(1)
    networks: dict[str, Any] = {
        f"segformer-{names}": load_segmenter(str(WEIGHTS / f"segformer-{names}"), torch.device("cpu"), torch.float32)
        for names in ("ade20k", "coco")
    }
    names = {f"segformer-{vocabulary}": class_names(vocabulary) for vocabulary in ("ade20k", "coco")}
    matrices: Matrices = {}
    for case in scene_cases(given.scenes, given.first_seed):
        count(case, networks, matrices)
    photos = 0
    if given.photos:
        networks["photos"] = load_segmenter(given.segmenter, torch.device("cpu"), torch.float32)
        names["photos"] = tuple(networks["photos"].classes)
        for case in photo_cases(given.photos, "photos", names["photos"]):
            count(case, networks, matrices)
            photos += 1
    rows = [
        dict(zip(("network", "masks", "rule", "temperature"), key, strict=True))
        | {"miou": round(Scores(names[key[0]], matrix, 1).mean_iou, 4)}
        for key, matrix in matrices.items()
    ]
    print(json.dumps({"scenes": given.scenes, "photos": photos, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
