"""mIoU of a folder of `<stem>_semantic.json` against a folder of ground truth images, with no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.folders.ground_truth import Layout, layout_of
from fiftyone_ssa.folders.own_classes import Given
from fiftyone_ssa.layouts.class_names import first_names, match_names
from fiftyone_ssa.layouts.encodings import Seen, shifted
from fiftyone_ssa.layouts.layout import walk, wrong_layout
from fiftyone_ssa.masks import foreign, rle
from fiftyone_ssa.masks.miou import Scores, confusion_matrix, distinct, ids_dtype
from fiftyone_ssa.naming.arguments import check_flag, check_path
from fiftyone_ssa.types import ClassIds, Ints


def evaluate_files(
    results_dir: str | Path,
    gt_dir: str | Path,
    dataset: str | None = None,
    *,
    classes: Given | None = None,
    only_annotated: bool = False,
    progress: bool = True,
) -> Scores:
    """mmsegmentation's scores of the class maps in `results_dir`, sub-folders included, against those in `gt_dir`.

    - `dataset`: a key of `ground_truth.LAYOUTS`, which tells the classes, file names and values of the ground truth.
    - `classes`: your own classes instead (`own_classes` tells the forms); the ground truth is then `<stem>.png`, which
      holds class ids from 0 with 255 = ignored, or the values or colours of a mapping. With `dataset`, a list of those
      of its classes that alone are scored.
    - `only_annotated`: leave images without a prediction out; otherwise they are all misses.

    Predictions are matched by the names that their files carry; those without (the published code writes none) are
    read by ids. Every ground truth image counts: a prediction that cannot be used (damaged, unknown class ids, another
    size) is all misses and is named in the result.
    Raises InputError where there is nothing to compare, saying what was looked for and what is there, and where
    predictions have other classes than the ground truth.
    """
    check_flag("only_annotated", only_annotated)
    results, gt = check_path("results_dir", results_dir), check_path("gt_dir", gt_dir)
    layout = layout_of(dataset, classes)
    predictions = _find(results, [layout.prediction], "predictions")
    truths = _find(gt, list(layout.truths), "ground truth")
    if not predictions.keys() & truths.keys():
        raise InputError(
            f"no prediction in {results_dir} has its ground truth in {gt_dir}: there is {min(predictions)}"
            f"{layout.prediction} and {min(truths)}{truths[min(truths)][1]}; both must lie under the same sub-folders"
        )
    comparison = _Comparison(layout, only_annotated)
    for key in tqdm(sorted(truths), desc="evaluate", unit="image", disable=not progress):
        comparison.add(key, *truths[key], predictions[key][0] if key in predictions else None)
    return comparison.scores(
        missing_predictions=tuple(sorted(truths.keys() - predictions.keys())),
        missing_ground_truth=tuple(sorted(predictions.keys() - truths.keys())),
    )


def read_class_map(path: str | Path, class_count: int, size_hw: tuple[int, int]) -> ClassIds:
    """The class ids (H, W) in the `semantic_mask` of a `<stem>_semantic.json`; pixels in none of its codes are ignored.

    Raises InputError, naming the file, if it is damaged, has no class map, knows a class id of `class_count` or more,
    or is not of `size_hw` (height, width).
    """
    return _class_map(Path(path), read_json(path), class_count, size_hw)


@dataclass
class _Comparison:
    """What has been compared so far."""

    layout: Layout
    only_annotated: bool
    images: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    seen: dict[str, Seen] = field(default_factory=dict)
    """File ending of the ground truth to the values that it holds."""
    unnamed: int = 0
    """How many predictions that could be used carry no class names."""
    confusion: Ints = field(init=False)
    _notes: dict[str, None] = field(default_factory=dict)
    _tables: dict[tuple[str, ...], ClassIds] = field(default_factory=dict)
    """The class list of a prediction to the true id of each of its ids."""

    def __post_init__(self) -> None:
        count = len(self.layout.names)
        self.confusion = np.zeros((count, count + 1), np.int64)

    def add(self, key: str, truth_path: Path, ending: str, prediction_path: Path | None) -> None:
        """Compare one image. Raises InputError if its prediction is of other classes."""
        if prediction_path is None and self.only_annotated:
            return
        count = len(self.layout.names)
        try:
            truth = self._truth(truth_path, ending)
        except InputError as error:
            self.errors[key] = str(error)
            self.broken.append(key)
            return
        self.images += 1
        prediction = None
        try:
            if prediction_path is not None:
                prediction = self._prediction(prediction_path, truth.shape)
        except _OtherClassesError:
            raise
        except InputError as error:
            self.errors[key] = str(error)
        self.confusion += confusion_matrix(truth, prediction, count)

    def scores(self, **missing: Any) -> Scores:
        """The scores of all images."""
        notes = [*self._notes, *self.layout.doubts(self.seen), *shifted(self.confusion)]
        if self.unnamed:
            notes.append(f"{self.unnamed} results carry no class names, as the published code's; their ids were taken")
        return Scores(
            names=self.layout.names,
            confusion=self.confusion,
            images=self.images,
            errors=self.errors,
            broken_ground_truth=tuple(self.broken),
            only_annotated=self.only_annotated,
            notes=tuple(notes),
            **missing,
        )

    def _truth(self, path: Path, ending: str) -> ClassIds:
        values = self.layout.read(path)
        self.seen.setdefault(ending, Seen()).add(values)
        try:
            return self.layout.truths[ending](values)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def _prediction(self, path: Path, size_hw: tuple[int, int]) -> ClassIds:
        """True class ids of a prediction, the highest of the dtype for what the ground truth has no class of."""
        record = read_json(path)
        names = _class_names(path, record)
        if names is None and not self.layout.unnamed:
            raise InputError(f"{path} carries no class names, and ids alone do not fit a mapping of values to names")
        unnamed = names is None
        names = names or self.layout.unnamed
        ids = _class_map(path, record, len(names), size_hw)
        self.unnamed += unnamed  # of those that count: no ids are taken from a result that has none
        if names not in self._tables:
            self._tables[names] = self._table(path, names)
        return self._tables[names].take(ids)

    def _table(self, path: Path, names: tuple[str, ...]) -> ClassIds:
        """The true id of each predicted one. Raises InputError where the names are those of another list."""
        truth = self.layout.names
        match = match_names(names, truth)
        if match.none_in_common or (self.layout.every_class and match.missing):
            raise _OtherClassesError(
                f"{path} has other classes than the ground truth, {len(names)} ({first_names(names)}) for "
                f"{len(truth)} ({first_names(truth)}); evaluate it against ground truth of its own classes "
                "(--classes FILE), or name with --dataset and --classes those of the data set's classes that are to be "
                "scored"
            )
        self._notes.update(dict.fromkeys(match.sentences()))
        dtype = ids_dtype(len(truth))
        table: npt.NDArray[Any] = np.full(np.iinfo(ids_dtype(len(names))).max + 1, np.iinfo(dtype).max, dtype)
        for place, true_id in enumerate(match.ids):
            if true_id is not None:
                table[place] = true_id
        return table


class _OtherClassesError(InputError):
    """A prediction of another list of classes: no number of its folder would mean anything."""


def _class_names(path: Path, record: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The names that a result carries, all different, in id order."""
    names = record.get("classes")
    if names is None:
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: its classes must be a list of names, one for each class id")
    return distinct(names)


def _class_map(path: Path, record: Mapping[str, Any], class_count: int, size_hw: tuple[int, int]) -> ClassIds:
    codes = record.get("semantic_mask")
    try:
        if not isinstance(codes, dict):
            raise InputError("it has no semantic_mask; the presets of SSA write one, the engine's do not")
        counts = [(_class_id(key, class_count), _counts(code, size_hw)) for key, code in codes.items()]
        return rle.class_map(counts, size_hw, 255 if class_count <= 255 else 65535)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _class_id(key: str, class_count: int) -> int:
    if not (key.isascii() and key.isdecimal() and len(key) < 6) or int(key) >= class_count:
        raise InputError(f"class id {key[:20]} is unknown: this data set has 0 to {class_count - 1}")
    return int(key)


def _counts(code: Any, size_hw: tuple[int, int]) -> bytes:
    if not isinstance(code, dict) or not isinstance(code.get("counts"), str):
        raise InputError('each class of semantic_mask must be an RLE {"size": [height, width], "counts": "..."}')
    if code.get("size") != list(size_hw):
        raise InputError(
            f"its class map is of size {foreign.short(code.get('size'))} but the ground truth is {list(size_hw)} "
            "(height, width); they must show the same pixels"
        )
    return str(code["counts"]).encode("ascii", "replace")


def _find(folder: Path, endings: list[str], what: str) -> dict[str, tuple[Path, str]]:
    """Key (path without ending, relative to `folder`) to file and ending, the earlier endings first."""
    if not folder.is_dir():
        raise InputError(f"the folder of {what} does not exist: {folder}")
    found: dict[str, tuple[Path, str]] = {}
    for place, files in walk(folder):
        for ending in endings:
            for path in files.ending(ending):
                key = (place / path.name[: -len(ending)]).relative_to(folder).as_posix()
                found.setdefault(key, (path, ending))
    if not found:
        raise wrong_layout(folder, f"{what} (*{' or *'.join(endings)})")
    return found
