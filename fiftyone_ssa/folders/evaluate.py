"""mIoU of a folder of `<stem>_semantic.json` against a folder of ground truth images, with no database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
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
from fiftyone_ssa.masks.miou import Scores, confusion_matrix, ids_dtype
from fiftyone_ssa.naming.arguments import LARGEST_WORKERS, check_count, check_flag, check_path
from fiftyone_ssa.naming.workers import Workers, insist
from fiftyone_ssa.types import ClassIds, Ints

IMAGES = 8
"""That a process is given at a time."""
_Image = tuple[str, Path, str, Path | None]
"""An image's key, its ground truth, the ending of that file's name, and its prediction."""
_Tables = dict[tuple[str, ...], ClassIds]
"""The class list of a prediction to the true id of each of its ids."""


def evaluate_files(
    results_dir: str | Path,
    gt_dir: str | Path,
    dataset: str | None = None,
    *,
    classes: Given | None = None,
    only_annotated: bool = False,
    workers: int = 1,
    progress: bool = True,
) -> Scores:
    """mmsegmentation's scores of the class maps in `results_dir`, sub-folders included, against those in `gt_dir`.

    - `dataset`: a key of `ground_truth.LAYOUTS`, which tells the classes, file names and values of the ground truth.
    - `classes`: your own classes instead (`own_classes` tells the forms); the ground truth is then `<stem>.png`, which
      holds class ids from 0 with 255 = ignored, or the values or colours of a mapping. With `dataset`, a list of those
      of its classes that alone are scored.
    - `only_annotated`: leave images without a prediction out; otherwise they are all misses.
    - `workers`: processes of this machine that compare side by side; the numbers are the same.

    Predictions are matched by the names that their files carry; those without (the published code writes none) are
    read by ids. Every ground truth image counts: a prediction that cannot be used (damaged, unknown class ids, another
    size) is all misses and is named in the result.
    Raises InputError where there is nothing to compare, saying what was looked for and what is there, and where
    predictions have other classes than the ground truth.
    """
    check_flag("only_annotated", only_annotated)
    check_count("workers", workers, most=LARGEST_WORKERS)
    results, gt = check_path("results_dir", results_dir), check_path("gt_dir", gt_dir)
    layout = layout_of(dataset, classes)
    predictions = _find(results, [layout.prediction], "predictions")
    truths = _find(gt, list(layout.truths), "ground truth")
    if not predictions.keys() & truths.keys():
        raise InputError(
            f"no prediction in {results_dir} has its ground truth in {gt_dir}: there is {min(predictions)}"
            f"{layout.prediction} and {min(truths)}{truths[min(truths)][1]}; both must lie under the same sub-folders"
        )
    images = [(key, *truths[key], predictions[key][0] if key in predictions else None) for key in sorted(truths)]
    tally = _Tally(len(layout.names))
    with tqdm(total=len(images), desc="evaluate", unit="image", disable=not progress) as bar:
        for part in _compared(images, _Comparer(dataset, classes, only_annotated), workers):
            tally.merge(part)
            bar.update(part.taken)
    notes = [*tally.notes, *layout.doubts(tally.seen), *shifted(tally.confusion)]
    if tally.unnamed:
        notes.append(f"{tally.unnamed} results carry no class names, as the published code's; their ids were taken")
    return Scores(
        names=layout.names,
        confusion=tally.confusion,
        images=tally.images,
        missing_predictions=tuple(sorted(truths.keys() - predictions.keys())),
        missing_ground_truth=tuple(sorted(predictions.keys() - truths.keys())),
        errors=tally.errors,
        broken_ground_truth=tuple(tally.broken),
        only_annotated=only_annotated,
        notes=tuple(notes),
    )


def read_class_map(path: str | Path, class_count: int, size_hw: tuple[int, int]) -> ClassIds:
    """The class ids (H, W) in the `semantic_mask` of a `<stem>_semantic.json`; pixels in none of its codes are ignored.

    Raises InputError, naming the file, if it is damaged, has no class map, knows a class id of `class_count` or more,
    or is not of `size_hw` (height, width).
    """
    return _class_map(Path(path), read_json(path), class_count, size_hw)


@dataclass
class _Tally:
    """What has been compared so far."""

    classes: int
    taken: int = 0
    images: int = 0
    """Of those taken, which count."""
    errors: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    seen: dict[str, Seen] = field(default_factory=dict)
    """File ending of the ground truth to the values that it holds."""
    unnamed: int = 0
    """How many predictions that could be used carry no class names."""
    notes: dict[str, None] = field(default_factory=dict)
    confusion: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.confusion = np.zeros((self.classes, self.classes + 1), np.int64)

    def merge(self, other: _Tally) -> None:
        """Take over what was compared elsewhere, of images that come after these."""
        self.taken += other.taken
        self.images += other.images
        self.errors |= other.errors
        self.broken += other.broken
        for ending, seen in other.seen.items():
            self.seen.setdefault(ending, Seen()).merge(seen)
        self.unnamed += other.unnamed
        self.notes |= other.notes
        self.confusion += other.confusion


def _compared(images: Sequence[_Image], comparer: _Comparer, workers: int) -> Iterator[_Tally]:
    """The tallies of some images each, in order; made here or by as many processes."""
    lots = [images[first : first + IMAGES] for first in range(0, len(images), IMAGES)]
    with ExitStack() as held:
        if (count := min(workers, len(lots))) > 1:
            yield from held.enter_context(Workers(comparer, count)).map(lots, insist)
        else:
            yield from map(comparer(), lots)


@dataclass(frozen=True)
class _Comparer:
    """What each process does; it is called there, with the process's number."""

    dataset: str | None
    classes: Given | None
    only_annotated: bool

    def __call__(self, _: int = 0) -> Callable[[Sequence[_Image]], _Tally]:
        return partial(_compare, layout_of(self.dataset, self.classes), _Tables(), self.only_annotated)


def _compare(layout: Layout, tables: _Tables, only_annotated: bool, images: Sequence[_Image]) -> _Tally:
    comparison = _Comparison(layout, tables)
    for image in images:
        comparison.add(*image, only_annotated=only_annotated)
    return comparison.tally


@dataclass
class _Comparison:
    """Images compared one after the other."""

    layout: Layout
    tables: _Tables
    tally: _Tally = field(init=False)

    def __post_init__(self) -> None:
        self.tally = _Tally(len(self.layout.names))

    def add(
        self, key: str, truth_path: Path, ending: str, prediction_path: Path | None, *, only_annotated: bool
    ) -> None:
        """Compare one image. Raises InputError if its prediction is of other classes."""
        self.tally.taken += 1
        if prediction_path is None and only_annotated:
            return
        try:
            truth = self._truth(truth_path, ending)
        except InputError as error:
            self.tally.errors[key] = str(error)
            self.tally.broken.append(key)
            return
        self.tally.images += 1
        prediction = None
        try:
            if prediction_path is not None:
                prediction = self._prediction(prediction_path, truth.shape)
        except _OtherClassesError:
            raise
        except InputError as error:
            self.tally.errors[key] = str(error)
        self.tally.confusion += confusion_matrix(truth, prediction, self.tally.classes)

    def _truth(self, path: Path, ending: str) -> ClassIds:
        values = self.layout.read(path)
        self.tally.seen.setdefault(ending, Seen()).add(values)
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
        self.tally.unnamed += unnamed  # of those that count: no ids are taken from a result that has none
        if names not in self.tables:
            self.tables[names] = self._table(path, names)
        return self.tables[names].take(ids)

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
        self.tally.notes.update(dict.fromkeys(match.sentences()))
        dtype = ids_dtype(len(truth))
        table: npt.NDArray[Any] = np.full(np.iinfo(ids_dtype(len(names))).max + 1, np.iinfo(dtype).max, dtype)
        for place, true_id in enumerate(match.ids):
            if true_id is not None:
                table[place] = true_id
        return table


class _OtherClassesError(InputError):
    """A prediction of another list of classes: no number of its folder would mean anything."""


def _class_names(path: Path, record: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The names that a result carries, in id order."""
    names = record.get("classes")
    if names is None:
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: its classes must be a list of names, one for each class id")
    return tuple(names)


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
