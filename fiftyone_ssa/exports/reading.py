"""What a format is read by: one image at a time, with its masks as pixels."""

from __future__ import annotations

import abc
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.exports.marker import MARKER
from fiftyone_ssa.files.images import EXTENSIONS
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.layouts.layout import Files, files_in
from fiftyone_ssa.types import MaskSet


@dataclass(frozen=True)
class ImportedImage:
    """One image of a data set of another tool."""

    path: Path
    """The picture's file, or where it should be."""
    masks: MaskSet
    labels: tuple[str | None, ...]
    """The class of each mask."""
    attributes: tuple[Mapping[str, Any], ...] = ()
    """What else is said of each mask, by the names of detections' attributes: `confidence`, `class_proposals` ...;
    `label_id` is the id of the label that was exported. Empty, or one a mask."""
    split: str = ""
    problem: str = ""
    """Why the image cannot be used; then it has no masks."""
    picture: bytes | None = None
    """The file's content where the data set holds it in another file; it is then written to `path`."""
    sample_id: str = ""
    """The sample that it was exported from, where the format carries it."""


class Reader(abc.ABC):
    """Reads data sets of one format. Subclasses are called `FormatReader`."""

    @abc.abstractmethod
    def read(self, dataset_dir: Path, data_dir: Path | None = None) -> Iterator[ImportedImage]:
        """The images of a data set, one at a time.

        `data_dir` is the folder of its images where they are not in `dataset_dir`. Raises InputError, saying what was
        looked for, if the folder holds no such data set; what is wrong with one image is its `problem`.
        """


def failed(path: Path, problem: object, split: str = "") -> ImportedImage:
    """An image that cannot be used."""
    return ImportedImage(path, MaskSet.empty((1, 1)), (), split=split, problem=str(problem))


class PictureFinder:
    """Finds pictures by their names without endings, which may be in upper or lower case."""

    def __init__(self) -> None:
        """Nothing is looked for yet."""
        self._listed: tuple[Path, Files] | None = None

    def find(self, folder: Path, stem: str) -> Path | None:
        """The picture of that name in a folder; None where there is none."""
        for ending in EXTENSIONS:
            if (folder / f"{stem}{ending}").is_file():
                return folder / f"{stem}{ending}"
        if self._listed is None or self._listed[0] != folder:  # most pictures of a data set lie in few folders
            self._listed = folder, files_in(folder)
        found = (self._listed[1].find(stem, ending, as_written=True) for ending in EXTENSIONS)
        return next(filter(None, found), None)


def below(folder: Path, name: Any) -> Path:
    """The file of a name that a data set gives. Raises InputError if the name leads out of the folder."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise InputError(f"an image's name must be a text, got {shown(name)}")
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise InputError(f"the name {shown(name)} leads out of the folder of images, {folder}; mend the file")
    return folder / pure


def images_folder(dataset_dir: Path, data_dir: Path | None, *usual: str) -> Path:
    """Where the images of a data set are: as told, in one of the usual folders, or where our export left them."""
    if data_dir is not None:
        return data_dir
    for name in usual:
        if (dataset_dir / name).is_dir():
            return dataset_dir / name
    return left_where(dataset_dir) or dataset_dir


def left_where(dataset_dir: Path) -> Path | None:
    """The folder in which our export left the images that it neither copied nor linked."""
    for folder in (dataset_dir, dataset_dir.parent):
        root = _about(folder).get("images_root")
        if isinstance(root, str) and root:
            return Path(root)
    return None


def our_splits(dataset_dir: Path) -> tuple[str, ...]:
    """The splits of an export of ours, each a folder; the one nameless part of any other data set."""
    return tuple(name for name in split_names(dataset_dir) if (dataset_dir / name).is_dir() and "/" not in name) or (
        "",
    )


def split_names(dataset_dir: Path) -> list[str]:
    """The splits of an export of ours, none of any other data set."""
    splits = _about(dataset_dir).get("splits")
    return [name for name in splits if isinstance(name, str)] if isinstance(splits, list) else []


def is_empty_export(dataset_dir: Path, kind: str) -> bool:
    """Whether our export of a kind stands there and had no image: there may be nothing that its reader looks for."""
    try:
        content = read_json(dataset_dir / MARKER) if os.path.lexists(dataset_dir / MARKER) else {}
    except InputError:
        return False
    about = content.get("about")
    return content.get("kind") == kind and isinstance(about, dict) and about.get("images") == 0


def _about(folder: Path) -> Mapping[str, Any]:
    """What the marker of our exports says, nothing where there is none."""
    try:
        about = read_json(folder / MARKER).get("about") if os.path.lexists(folder / MARKER) else None
    except InputError:
        return {}
    return about if isinstance(about, dict) else {}
