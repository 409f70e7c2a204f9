"""The same votes by the user's own way: images and masks in a folder, `annotate_files`, `evaluate_files`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Pictures
from safetensors.torch import load_file, save_file

from fiftyone_ssa.folders.annotate import annotate_files
from fiftyone_ssa.folders.evaluate import evaluate_files, read_class_map
from fiftyone_ssa.folders.sa1b_json import read_masks
from fiftyone_ssa.models.factories import is_factory
from fiftyone_ssa.types import ClassIds, Image, MaskSet

Written = tuple[npt.NDArray[np.uint8], MaskSet, list[str | None]]
"""Of an image: class ids (H, W), masks, and their names (empty for the network alone)."""


def write_images(folder: Path, cases: Sequence[tuple[Image, MaskSet, ClassIds]]) -> None:
    """`images/0.png`, `images/0.json` and `gt/0.png` for every image, its masks and its true classes."""
    for name in ("images", "gt"):
        (folder / name).mkdir(parents=True)
    for index, (image, masks, truth) in enumerate(cases):
        Pictures.fromarray(image).save(folder / f"images/{index}.png")
        Pictures.fromarray(truth).save(folder / f"gt/{index}.png")
        size = list(masks.size_hw)
        records = [{"segmentation": {"size": size, "counts": code.decode()}} for code in masks.rles]
        (folder / f"images/{index}.json").write_text(json.dumps({"annotations": records}))


def answers(
    folder: Path, model: str, rule: str, temperature: float, classes: Sequence[str]
) -> tuple[float, Iterator[Written]]:
    """mIoU as `evaluate_files` gives it, and what was written of each image, by a rule or by the network "alone"."""
    name = f"{rule}-{temperature}"
    preset = folder / f"{name}.toml"
    vote = "hard" if rule == "alone" else rule
    network = model if temperature == 1 else str(_tempered(Path(model), temperature, folder / f"model-{name}"))
    preset.write_text(
        f'pipeline = "ssa"\n[masks]\nsource = "existing"\n[semantic]\nmodel = "{network}"\nvote = "{vote}"\n'
    )
    out, alone = folder / name, folder / f"{name}-branch"
    branch = alone if rule == "alone" else None
    annotate_files(folder / "images", out, preset, device="cpu", dtype="float32", branch_dir=branch, progress=False)
    scores = evaluate_files(branch or out, folder / "gt", classes=list(classes), progress=False)
    return scores.mean_iou, _written(branch or out, sorted((folder / "gt").iterdir()), classes, rule != "alone")


def can_be_tempered(model: str) -> bool:
    """Whether a network is a folder whose last layer can be scaled."""
    return not is_factory(model)


def _tempered(model: Path, temperature: float, out: Path) -> Path:
    """A copy of a SegFormer whose logits are divided by a power of two, which rounds nothing."""
    shutil.copytree(model, out)
    weights = load_file(model / "model.safetensors")
    for key in ("decode_head.classifier.weight", "decode_head.classifier.bias"):
        weights[key] = weights[key] / temperature
    save_file(weights, out / "model.safetensors", {"format": "pt"})
    return out


def _written(out: Path, truths: Sequence[Path], classes: Sequence[str], named: bool) -> Iterator[Written]:
    for truth in sorted(truths, key=lambda path: int(path.stem)):
        path = out / f"{truth.stem}_semantic.json"
        with Pictures.open(truth) as picture:
            size_hw = picture.size[::-1]
        masks = read_masks(path, size_hw) if named else MaskSet.empty(size_hw)
        names = [record.get("class_name") for record in masks.records]
        yield read_class_map(path, len(classes), size_hw).astype(np.uint8), masks, names
