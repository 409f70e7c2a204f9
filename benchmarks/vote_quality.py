"""How good each vote is: mIoU and right names by network, masks and how sure the network is.

    python -m benchmarks.vote_quality [--scenes 64] [--first-seed 60000] [--odd] [--parity ../shared/parity/models]
        [--photos FOLDER --segmenter tflite.py:build] [--files] [--table]

On drawn scenes, of which eight tell little (a class that few pixels have decides), and where given on photographs.
Masks: the true ones, SAM's, and Felzenszwalb superpixels of three scales, which are bad masks; with `--odd` eight
kinds more (`_vote_masks.py`). Temperature divides the network's logits: 0.5 makes it surer than it is, 2 less sure.
`--parity`: a folder of two SegFormers more. `--photos`: a folder of photographs with SA-1B JSONs beside them,
`classes.txt`, and `gt/STEM.png` (0 ignored, i = line i); their segmenter's first class takes all names that it has
not. `--files` goes the user's way, slowly: images, masks and truth are written to a folder, a preset names them
(`annotate_files`), `evaluate_files` scores; a network that is no folder is asked at temperature 1 only. Without it
the SSA class is called, with the same answers (tests/benchmarks). Prints one JSON object, or a Markdown table: what
`auto` is short of the best other column, or of the network alone, stands in the last.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks._vote_files import answers, can_be_tempered, write_images
from benchmarks._vote_masks import odd_masks, superpixels
from fiftyone_ssa.files.images import read_image, read_values
from fiftyone_ssa.folders.sa1b_json import read_masks
from fiftyone_ssa.masks.miou import Scores, confusion_matrix
from fiftyone_ssa.models.sam import load_mask_generator
from fiftyone_ssa.models.scores import ClassScores
from fiftyone_ssa.models.segmenters import ScoringSegmenter, load_segmenter
from fiftyone_ssa.naming.ssa import SSA
from fiftyone_ssa.naming.voting import count_classes
from fiftyone_ssa.presets import load_preset
from fiftyone_ssa.quickstart.scenes import class_names, draw_scene
from fiftyone_ssa.quickstart.scenes.judge import SIZES_HW
from fiftyone_ssa.types import ClassIds, Image, Inputs, MaskSet, SemanticMap

WEIGHTS = Path(__file__).parents[1] / "fiftyone_ssa/quickstart/weights"
RULES = "alone", "hard", "soft", "core", "auto"
TEMPERED = "soft", "core", "auto"
"""The others see classes only, which no temperature changes."""
TEMPERATURES = 0.5, 1.0, 2.0
CPU, FLOAT = torch.device("cpu"), torch.float32
IGNORED = 255
ALIASES = {"airplane": "aeroplane", "motorcycle": "motorbike", "couch": "sofa", "potted plant": "pottedplant"}
"""COCO's names of Pascal VOC's classes, where they differ."""
Key = tuple[str, str, str, float]
"""Network, masks, rule, temperature."""


@dataclass
class Found:
    """What a rule made of all images so far."""

    matrix: npt.NDArray[np.int64]
    """Pixels by true class and found one, as `confusion_matrix` counts them."""
    right: int = 0
    """Masks with the name of the class that is true of most of their pixels..."""
    named: int = 0
    """... of those that have such a class."""

    @classmethod
    def of(cls, classes: int) -> Found:
        """Nothing yet."""
        return cls(np.zeros((classes, classes + 1), np.int64))

    def add(self, truth: ClassIds, semantic: SemanticMap, masks: MaskSet, labels: Sequence[str | None]) -> None:
        """Count an image; the network alone has no labels."""
        names = semantic.names
        self.matrix += confusion_matrix(truth, semantic.ids, len(names))
        pixels = count_classes(masks, SemanticMap(truth, names))
        most = np.where(pixels.max(1, initial=0) > masks.areas_px / 2, pixels.argmax(1), -1)
        self.right += sum(i >= 0 and names[i] == label for i, label in zip(most, labels, strict=False))
        self.named += int((most >= 0).sum()) if labels else 0


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


def scene_cases(count: int, first_seed: int, networks: Mapping[str, Sequence[str]], odd: bool) -> Iterator[Case]:
    """Drawn scenes with their masks, and the truth in the classes of each network; what it knows not is ignored."""
    generator = load_mask_generator(load_preset("mini-ssa").masks, torch.device("cpu"), torch.float32)
    for index in range(count):
        scene = draw_scene(first_seed + index, SIZES_HW[index % len(SIZES_HW)])
        masks = {"true": scene.mask_set(), "SAM's": generator(scene.image), "superpixels": superpixels(scene.image)}
        if odd:
            masks |= odd_masks(scene.image, scene.semantic("ade20k").ids, masks["true"], first_seed + index)
        truth = {}
        for network, classes in networks.items():
            names = "coco" if network.endswith("coco") else "ade20k"
            known = class_names(names)
            ids = np.full(256, IGNORED, np.uint8)
            ids[: len(known)] = [list(classes).index(name) if name in classes else IGNORED for name in known]
            truth[network] = ids[scene.semantic(names).ids]
        yield Case(scene.image, truth, {kind: found for kind, found in masks.items() if len(found)})


def photo_cases(folder: Path, network: str, classes: Sequence[str], odd: bool) -> Iterator[Case]:
    """Photographs with their annotated masks, those of the quickstart's SAM, which knows none, and superpixels."""
    generator = load_mask_generator(load_preset("mini-ssa").masks, torch.device("cpu"), torch.float32)
    known = [ALIASES.get(name, name) for name in (folder / "classes.txt").read_text().splitlines()]
    ids = np.array([255, *(list(classes).index(name) if name in classes else 0 for name in known)], np.uint8)
    for seed, path in enumerate(sorted(folder.glob("*.jpg"))):
        image = read_image(path)
        truth = ids[read_values(folder / f"gt/{path.stem}.png")]
        true = read_masks(path.with_suffix(".json"), image.shape[:2])
        masks = {"true": true, "SAM's": generator(image), "superpixels": superpixels(image)}
        yield Case(image, {network: truth}, masks | (odd_masks(image, truth, true, seed) if odd else {}))


def count(case: Case, networks: Mapping[str, ScoringSegmenter], found: dict[Key, Found]) -> None:
    """Add what every rule makes of a case."""
    for network, truth in case.truth.items():
        scores = networks[network].scores([case.image])[0]
        for kind, masks in case.masks.items():
            for rule, temperature in product(RULES, TEMPERATURES):
                if rule in TEMPERED or temperature == 1:
                    semantic, labels = answer(case.image, masks, scores, rule, temperature)
                    sum_ = found.setdefault((network, kind, rule, temperature), Found.of(len(scores.names)))
                    sum_.add(truth, semantic, masks, labels)


def count_files(
    cases: Sequence[Case], models: Mapping[str, str], classes: Mapping[str, Sequence[str]]
) -> dict[Key, Found]:
    """The same through folders and the project's own commands."""
    found = {}
    for network, kind in dict.fromkeys((n, k) for case in cases for n in case.truth for k in case.masks):
        names = tuple(classes[network])
        some = [(c.image, c.masks[kind], c.truth[network]) for c in cases if network in c.truth and kind in c.masks]
        with TemporaryDirectory() as folder:
            write_images(Path(folder), some)
            for rule, temperature in product(RULES, TEMPERATURES):
                if temperature != 1 and (rule not in TEMPERED or not can_be_tempered(models[network])):
                    continue
                miou, written = answers(Path(folder), models[network], rule, temperature, names)
                sum_ = found[network, kind, rule, temperature] = Found.of(len(names))
                for (_, _, truth), (ids, masks, labels) in zip(some, written, strict=True):
                    sum_.add(truth, SemanticMap(ids, names), masks, labels)
                assert abs(Scores(names, sum_.matrix, 1).mean_iou - miou) < 1e-9
    return found


def answer(
    image: Image, masks: MaskSet, scores: ClassScores, rule: str, temperature: float
) -> tuple[SemanticMap, Sequence[str | None]]:
    """The class map and the masks' names by SSA; the map by the network alone, and no names."""
    if rule == "alone":
        return scores.semantic_map(), ()
    found = SSA(Answered(scores, temperature), rule=rule)([Inputs(image, masks)])[0]  # type: ignore[arg-type]
    assert found.semantic is not None
    return found.semantic, found.labels


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a row for each network and kind of masks, one number for each temperature."""
    lines = ["| segmenter | masks | " + " | ".join(RULES) + " | right names | auto is short by |", "|---" * 9 + "|"]
    for network, kind in dict.fromkeys((row["network"], row["masks"]) for row in rows):
        here = [row for row in rows if (row["network"], row["masks"]) == (network, kind)]
        cells = [" ".join(three_digits(row["miou"]) for row in here if row["rule"] == rule) for rule in RULES]
        names = [three_digits(row["right_names"]) for row in here if row["temperature"] == 1 and row["rule"] != "alone"]
        best = max(row["miou"] for row in here if row["rule"] != "auto")
        short = max(best - row["miou"] for row in here if row["rule"] == "auto")
        lines.append(f"| {network} | {kind} | {' | '.join(cells)} | {' '.join(names)} | {max(short, 0):.3f} |")
    return "\n".join(lines)


def three_digits(value: float) -> str:
    """Three digits of a share: .912."""
    return f"{value:.3f}".lstrip("0")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vote_quality")
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--first-seed", type=int, default=60_000)
    parser.add_argument("--odd", action="store_true", help="measure eight kinds of masks more")
    parser.add_argument("--parity", type=Path, help="a folder with segformer-ade20k and segformer-cityscapes")
    parser.add_argument("--photos", type=Path, help="a folder of photographs with masks and truth")
    parser.add_argument("--segmenter", help="what looks at the photographs: a hub id, folder, or module:factory")
    parser.add_argument("--files", action="store_true", help="by annotate_files and evaluate_files: slow")
    parser.add_argument("--table", action="store_true", help="print Markdown instead of JSON")
    given = parser.parse_args()
    torch.set_num_threads(1)
    folders = {f"shipped {names}": WEIGHTS / f"segformer-{names}" for names in ("ade20k", "coco")}
    if given.parity:
        folders |= {f"parity {names}": given.parity / f"segformer-{names}" for names in ("ade20k", "cityscapes")}
    models = {name: str(folder.resolve()) for name, folder in folders.items()}
    networks: dict[str, Any] = {name: load_segmenter(model, CPU, FLOAT) for name, model in models.items()}
    known = {name: tuple(made.classes) for name, made in networks.items()}
    cases = scene_cases(given.scenes, given.first_seed, known, given.odd)
    if given.photos:
        models["photographs"] = given.segmenter
        networks["photographs"] = load_segmenter(given.segmenter, CPU, FLOAT)
        seen = tuple(networks["photographs"].classes)
        cases = chain(cases, photo_cases(given.photos, "photographs", seen, given.odd))
    found: dict[Key, Found] = {}
    if given.files:
        found = count_files(list(cases), models, {name: made.classes for name, made in networks.items()})
    else:
        for case in cases:
            count(case, networks, found)
    rows = [
        dict(zip(("network", "masks", "rule", "temperature"), key, strict=True))
        | {"miou": round(Scores(tuple(networks[key[0]].classes), sum_.matrix, 1).mean_iou, 4)}
        | {"right_names": round(sum_.right / max(sum_.named, 1), 4)}
        for key, sum_ in found.items()
    ]
    print(table(rows) if given.table else json.dumps({"scenes": given.scenes, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
