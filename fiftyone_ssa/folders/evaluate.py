"""mIoU of a folder of `<stem>_semantic.json` against a folder of ground truth images, with no database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.layouts import ade20k, cityscapes
from fiftyone_ssa.layouts.layout import read_values, walk, wrong_layout
from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.miou import Scores, confusion_matrix
from fiftyone_ssa.types import ClassIds


@dataclass(frozen=True)
class Layout:
    """How a data set names its classes and its files; what precedes the endings is the image's key."""

    names: tuple[str, ...]
    prediction: str
    truths: Mapping[str, Callable[[npt.NDArray[np.integer[Any]]], npt.NDArray[np.uint8]]]
    """File ending to the function that makes class ids of its values; the first that exists is taken."""


_CITYSCAPES = Layout(
    cityscapes.NAMES,
    f"_{cityscapes.IMAGES}_semantic.json",
    {
        f"_{kind}{ending}": make_ids
        for kind in cityscapes.TRUTH_KINDS
        for ending, make_ids in cityscapes.TRUTH_ENDINGS.items()
    },
)
LAYOUTS = {
    "ade20k": Layout(ade20k.NAMES, "_semantic.json", {".png": ade20k.class_ids}),
    "cityscapes": _CITYSCAPES,
    "foggy-driving": _CITYSCAPES,
}


def evaluate_files(results_dir: str | Path, gt_dir: str | Path, dataset: str, *, progress: bool = True) -> Scores:
    """mmsegmentation's scores of the class maps in `results_dir`, sub-folders included, against those in `gt_dir`.

    `dataset` is a key of `LAYOUTS`. Every ground truth image counts: one without a prediction, or whose prediction
    cannot be used (damaged, unknown class ids, another size), is all misses and is named in the result.
    Raises InputError where there is nothing to compare, saying what was looked for and what is there.
    """
    if dataset not in LAYOUTS:
        raise InputError(f"dataset must be one of {', '.join(LAYOUTS)}, got {dataset!r}")
    layout = LAYOUTS[dataset]
    predictions = _find(Path(results_dir), [layout.prediction], "predictions")
    truths = _find(Path(gt_dir), list(layout.truths), "ground truth")
    if not predictions.keys() & truths.keys():
        raise InputError(
            f"no prediction in {results_dir} has its ground truth in {gt_dir}: there is {min(predictions)}"
            f"{layout.prediction} and {min(truths)}{truths[min(truths)][1]}; both must lie under the same sub-folders"
        )
    confusion = np.zeros((len(layout.names), len(layout.names) + 1), np.int64)
    errors: dict[str, str] = {}
    images = 0
    for key in tqdm(sorted(truths), desc="evaluate", unit="image", disable=not progress):
        path, ending = truths[key]
        try:
            truth = layout.truths[ending](read_values(path))
        except InputError as error:
            errors[key] = f"{path}: {error}"
            continue
        images += 1
        try:
            found = predictions.get(key)
            prediction = read_class_map(found[0], len(layout.names), truth.shape) if found else None
            confusion += confusion_matrix(truth, prediction, len(layout.names))
        except InputError as error:
            errors[key] = str(error)
            confusion += confusion_matrix(truth, None, len(layout.names))
    return Scores(
        names=layout.names,
        confusion=confusion,
        images=images,
        missing_predictions=tuple(sorted(truths.keys() - predictions.keys())),
        missing_ground_truth=tuple(sorted(predictions.keys() - truths.keys())),
        errors=errors,
    )


def read_class_map(path: str | Path, class_count: int, size_hw: tuple[int, int]) -> ClassIds:
    """The class ids (H, W) in the `semantic_mask` of a `<stem>_semantic.json`; pixels in none of its codes are ignored.

    Raises InputError, naming the file, if it is damaged, has no class map, knows a class id of `class_count` or more,
    or is not of `size_hw` (height, width).
    """
    codes = read_json(path).get("semantic_mask")
    try:
        if not isinstance(codes, dict):
            raise InputError("it has no semantic_mask; the presets of SSA write one, the engine's do not")
        counts = [(_class_id(key, class_count), _counts(code, size_hw)) for key, code in codes.items()]
        return rle.class_map(counts, size_hw, 255 if class_count <= 255 else 65535)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _class_id(key: str, class_count: int) -> int:
    if not key.isdecimal() or int(key) >= class_count:
        raise InputError(f"class id {key} is unknown: this data set has 0 to {class_count - 1}")
    return int(key)


def _counts(code: Any, size_hw: tuple[int, int]) -> bytes:
    if not isinstance(code, dict) or not isinstance(code.get("counts"), str):
        raise InputError('each class of semantic_mask must be an RLE {"size": [height, width], "counts": "..."}')
    if code.get("size") != list(size_hw):
        raise InputError(
            f"its class map is of size {code.get('size')} but the ground truth is {list(size_hw)} (height, width); "
            "they must show the same pixels"
        )
    return str(code["counts"]).encode("ascii", "replace")


def _find(folder: Path, endings: list[str], what: str) -> dict[str, tuple[Path, str]]:
    """Key (path without ending, relative to `folder`) to file and ending, the earlier endings first."""
    if not folder.is_dir():
        raise InputError(f"the folder of {what} does not exist: {folder}")
    found: dict[str, tuple[Path, str]] = {}
    for place, files in walk(folder):
        for ending in endings:
            for name, path in files.items():
                if name.endswith(ending.lower()):
                    key = (place / path.name[: -len(ending)]).relative_to(folder).as_posix()
                    found.setdefault(key, (path, ending))
    if not found:
        raise wrong_layout(folder, f"{what} (*{' or *'.join(endings)})")
    return found
