"""Data sets of other tools into FiftyOne: a new dataset, or a field of the images that one has."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.utils as fou

from fiftyone_ssa.errors import InputError, counted, shown
from fiftyone_ssa.exports.imported import Imported
from fiftyone_ssa.exports.imported_before import ImportedBefore
from fiftyone_ssa.exports.reading import ImportedImage
from fiftyone_ssa.files.printable import check_utf8, in_utf8
from fiftyone_ssa.labels.appearance import colour_names, try_to_prepare_app
from fiftyone_ssa.labels.database import Document, check_whole_images, needs_database, root_dataset
from fiftyone_ssa.labels.documents import ATTRIBUTES, declare_detections
from fiftyone_ssa.labels.fields import check_field_types, check_label_field
from fiftyone_ssa.labels.loaders import check_dataset_name
from fiftyone_ssa.labels.metadata import image_metadata
from fiftyone_ssa.naming.arguments import check_flag

BATCH = 64


@dataclass
class ImportSummary:
    """What an import read."""

    dataset: fo.Dataset
    label_field: str
    added: int = 0
    """Images that are new in the dataset."""
    matched: int = 0
    """Images that it had."""
    masks: int = 0
    kept: int = 0
    """Masks that people touched, which stay as they are."""
    errors: dict[str, str] = field(default_factory=dict)
    """File path to reason, for every image left out."""

    def __str__(self) -> str:
        parts = [f"{counted(self.masks, 'mask')} in {self.label_field!r} of {self.dataset.name!r}"]
        parts += [f"{counted(self.matched, 'image')} that were there"] if self.matched else []
        parts += [f"{counted(self.added, 'image')} added"] if self.added else []
        parts += [f"{counted(self.kept, 'mask')} that people touched stay"] if self.kept else []
        first = next((f"{path}: {reason}" for path, reason in self.errors.items()), "")
        parts += [f"{counted(len(self.errors), 'image')} FAILED ({first})"] if self.errors else []
        return ", ".join(parts)


@needs_database()
def import_labels(
    dataset_dir: str | Path,
    *,
    format: str = "coco",
    dataset: Any = None,
    label_field: str = "imported",
    data_dir: str | Path | None = None,
    media_dir: str | Path | None = None,
    add_images: bool = True,
    overwrite: bool = False,
    progress: bool | Callable[..., Any] | None = None,
) -> ImportSummary:
    """Read a data set of another tool into a field of Detections; an image that cannot be used costs itself only.

    Args:
        dataset_dir: the folder of the data set
        format ("coco"): one of `fiftyone_ssa.exports.formats.FORMATS`
        dataset (None): the dataset or view whose images get the labels, found by their paths, or by their names where
            one alone has it; or the name of a new dataset. None: a new one, whose name FiftyOne makes up
        label_field ("imported"): the field to fill, a new one
        data_dir (None): the folder of the data set's images, where they are not in `dataset_dir`
        media_dir (None): the folder for pictures that the data set holds itself, and for masks that are too large for
            the database; by default one below FiftyOne's default dataset folder
        add_images (True): whether images that the dataset lacks are added to it
        overwrite (False): whether `label_field` may exist; labels of images that are read are replaced, but
            for masks that people renamed, reviewed, tagged, drew or redrew since they came
        progress (None): FiftyOne's: True, False, None (its config) or a callback

    Returns:
        an ImportSummary, with the dataset

    Raises:
        InputError: if an argument is wrong, or the folder holds no data set of the format
        MissingDependencyError: if the database, or a package that the format needs, is not there
    """
    found = Imported(dataset_dir, format, data_dir, media_dir)
    check_flag("add_images", add_images)
    samples, is_new = _target(dataset)
    goal = root_dataset(samples)
    try:
        check_new_field(samples, label_field, overwrite=check_flag("overwrite", overwrite))
    except InputError:
        if is_new:
            goal.delete()
        raise
    summary = ImportSummary(goal, label_field)
    try:
        _fill(found, summary, _Places(samples), add_images and not samples.view()._stages, progress)
    except BaseException:
        if is_new:
            goal.delete()
        raise
    try_to_prepare_app(goal, label_field, colour_names)
    return summary


def check_new_field(samples: Any, label_field: Any, *, overwrite: bool) -> None:
    """Raise InputError unless labels may be read into this field; `overwrite` says whether it may be there."""
    goal = root_dataset(samples)
    check_label_field(label_field)
    check_field_types(goal, {label_field: fo.Detections})
    if not overwrite and goal.has_field(label_field):
        raise InputError(
            f"{goal.name!r} has a field {label_field!r}; name a new one, or say that it may be overwritten"
        )


def _fill(found: Imported, summary: ImportSummary, places: _Places, adds: bool, progress: Any) -> None:
    goal, label_field, fresh = summary.dataset, summary.label_field, list[fo.Sample]()
    before, filled = ImportedBefore(goal, label_field), dict[str, list[Document]]()
    declared: set[str] | None = None
    with fou.ProgressBar(progress=progress) as bar:
        for image in bar(iter(found)):
            path = str(image.path)
            try:
                if image.problem:
                    raise InputError(image.problem)
                check_utf8(path, "a dataset")
                sample_id, known = places.find(path, image.sample_id)
                if sample_id is None and not adds:
                    raise InputError(f"{goal.name!r} has no such image")
                image = found.placed(image, known)
                document = found.document(image)
            except InputError as error:
                summary.errors[in_utf8(path)] = str(error)
                continue
            used = {name for row in document["detections"] for name in row if name in ATTRIBUTES}
            if declared is None or not used <= declared:  # a data set of which nothing can be read leaves no field
                declare_detections(goal, label_field, sorted(used))
                declared = (declared or set()) | used
            if sample_id is not None:
                document, kept = before.beside(sample_id, document, image.masks)
                filled[sample_id] = kept
                summary.kept += len(kept)
                summary.matched += 1
                sample = goal[sample_id]
                sample[label_field] = fo.Detections.from_dict(document)
                sample.save()
            else:
                summary.added += 1
                fresh.append(_sample(image, label_field, fo.Detections.from_dict(document)))
            summary.masks += len(image.masks)
            if len(fresh) + len(filled) >= BATCH:
                _settle(goal, before, fresh, filled)
        _settle(goal, before, fresh, filled)


def _settle(
    goal: fo.Dataset, before: ImportedBefore, fresh: list[fo.Sample], filled: dict[str, list[Document]]
) -> None:
    """Add new samples, and remember what all that were filled have now; both lists are empty then."""
    added = goal.add_samples(fresh, progress=False)
    before.remember({**filled, **{sample: [] for sample in added}})
    fresh.clear()
    filled.clear()


def _sample(image: ImportedImage, label_field: str, label: fo.Detections) -> fo.Sample:
    tags = [image.split] if image.split else []
    return fo.Sample(filepath=str(image.path), tags=tags, metadata=image_metadata(image.path), **{label_field: label})


def _target(dataset: Any) -> tuple[Any, bool]:
    """Where labels go, and whether it was made for them."""
    if dataset is None or (isinstance(dataset, str) and not fo.dataset_exists(dataset)):
        check_dataset_name(dataset)
        return fo.Dataset(dataset), True
    samples = fo.load_dataset(dataset) if isinstance(dataset, str) else dataset
    if not isinstance(samples, fo.core.collections.SampleCollection):
        raise InputError(f"dataset must be a FiftyOne dataset or view, or a name, got {shown(dataset)}")
    check_whole_images(samples, "an import")
    return samples, False


class _Places:
    """The samples of a dataset by the paths of their images.

    A file that is several samples finds each in turn, unless its data set says which one it means.
    """

    def __init__(self, samples: Any) -> None:
        self._ids: dict[str, list[str]] = defaultdict(list)
        self._paths: dict[str, str] = {}
        self._by_name: dict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
        for identity, path in zip(*samples.values(["id", "filepath"]), strict=True):
            path = os.path.normpath(path)
            self._ids[path].append(identity)
            self._paths[identity] = path
            parts = Path(path).parts[::-1]
            self._by_name[parts[0]].append((parts, identity))

    def find(self, path: str, told: str = "") -> tuple[str | None, str | None]:
        """The sample of an image, with its file: the one `told`, of its very path, or whose path ends most like it.

        Raises InputError if several end alike.
        """
        if told in self._paths:
            return told, self._paths[told]
        path = os.path.normpath(path)
        if path in self._ids:
            same = self._ids[path]
            same.append(same.pop(0))
            return same[-1], path
        parts = Path(path).parts[::-1]
        alike = [
            (sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(parts, others, strict=False))), identity)
            for others, identity in self._by_name.get(parts[0], ())
        ]
        best = max(alike, default=(0, ""))
        if sum(count == best[0] for count, _ in alike) > 1:
            raise InputError(
                f"{len(alike)} images of the dataset are called {parts[0]}; give them folders of their own"
            )
        if not alike:
            return None, None
        return best[1], next(str(Path(*others[::-1])) for others, each in self._by_name[parts[0]] if each == best[1])
