"""The images of an export: how each is called below its folder, and how it gets there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.folder import ExportFolder
from fiftyone_ssa.files.printable import is_utf8
from fiftyone_ssa.naming.arguments import check_path

CHUNK_BYTES = 1 << 20


class Names:
    """The name of each image: its path below a folder, numbered where a dataset holds one file several times.

    `root` is that folder: `rel_dir`, or by default the one that holds all images.
    """

    def __init__(self, paths: Sequence[str], rel_dir: Any = None, *, repeat: bool = False) -> None:
        """`repeat` gives a file that comes again its name again: it stays where it is. Raises InputError for a path."""
        self._paths = [os.path.normpath(path) for path in paths]
        if rel_dir is None:
            folders = {os.path.dirname(path) for path in self._paths}  # noqa: PTH120 (fast, for each image)
            self.root = Path(os.path.commonpath(folders)) if folders else Path.cwd()
        else:
            self.root = Path(os.path.abspath(check_path("rel_dir", rel_dir)))  # noqa: PTH100 (links are kept)
        self._roots = {self.root, self.root.resolve()}
        self._repeat = repeat
        self._taken: dict[str, int] = {}
        """Name of a file to how often it was given."""
        self._all = set(filter(None, map(self._below, self._paths)))

    def name(self, path: str) -> str:
        """The name of the next image, with slashes. Raises InputError if it is not below the folder."""
        name = self._below(os.path.normpath(path))
        if name is None:
            raise InputError(f"{path} is not below rel_dir {self.root}; choose a folder above all images")
        count = self._taken[name] = self._taken.get(name, 0) + 1
        if count == 1 or self._repeat:
            return name
        pure = PurePath(name)
        while (numbered := pure.with_name(f"{pure.stem}-{count}{pure.suffix}").as_posix()) in self._all:
            count += 1
        self._all.add(numbered)
        self._taken[name] = count
        return numbered

    def __len__(self) -> int:
        return len(self._paths)

    def planned(self) -> Iterator[str]:
        """The names that images without a fault will get."""
        return filter(is_utf8, self._all)

    def _below(self, path: str) -> str | None:
        for root in self._roots:
            if PurePath(path).is_relative_to(root):
                name = PurePath(path).relative_to(root)
                return name.as_posix() if name.parts else None
        return None


def check_sources(paths: Iterable[str], root: Path) -> None:
    """Raise InputError if an image of the dataset lies in the export's folder, which might replace or remove it."""
    inside: dict[str, bool] = {}  # folders are followed once: a dataset has many images in few
    for path in paths:
        folder = os.path.dirname(path)  # noqa: PTH120 (fast, for each image)
        if folder not in inside:
            inside[folder] = _real(folder).is_relative_to(root)
        if inside[folder] or (os.path.islink(path) and _real(path).is_relative_to(root)):  # noqa: PTH114
            raise InputError(f"{path} is an image of the dataset and lies in {root}; export to another folder")


def _real(path: str) -> PurePath:
    """Where a path leads; unlike `Path.resolve`, links in a circle are no error."""
    return PurePath(os.path.realpath(path))


def stage_picture(folder: ExportFolder, source: str, name: str, media: str) -> None:
    """Copy or link an image to where `name` is staged.

    Raises FolderError if the folder takes it not, InputError if the image cannot be read.
    """
    if media == "symlink":
        with folder.stage(name) as place:
            place.symlink_to(os.path.abspath(source))  # noqa: PTH100
        return
    try:
        file = open(source, "rb")  # noqa: PTH123, SIM115 (closed below; what fails here is the image's fault)
    except OSError as error:
        raise InputError(f"{source} cannot be read: {error.strerror}") from error
    with file, folder.stage(name) as place, place.open("xb") as copy:
        while True:
            try:
                chunk = file.read(CHUNK_BYTES)
            except OSError as error:
                raise InputError(f"{source} cannot be read: {error.strerror}") from error
            if not chunk:
                return
            copy.write(chunk)
