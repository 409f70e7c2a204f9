"""Walking a published layout: folder by folder, in order, upper and lower case alike, with clear errors."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError


@dataclass(frozen=True)
class LabelledImage:
    """One image of a data set with the class map that is its ground truth."""

    id: str
    """Its path in the data set, without endings, with `/` between parts."""
    image_path: Path
    truth_path: Path | None
    """None where the data set keeps it back, as for test images."""


def check_folder(root: str | Path) -> Path:
    """`root` as a path. Raises InputError if it is not a folder."""
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; name the folder that holds the data set")
    return folder


def find_folder(root: Path, name: str) -> Path | None:
    """The first folder called `name`, one or two levels below `root`; None if there is none."""
    return next((path for depth in (name, f"*/{name}") for path in sorted(root.glob(depth)) if path.is_dir()), None)


@dataclass(frozen=True)
class Files:
    """One folder's files in the order of their names, found by name whether written in upper or lower case."""

    paths: tuple[Path, ...] = ()

    def __iter__(self) -> Iterator[Path]:
        return iter(self.paths)

    def ending(self, *endings: str) -> Files:
        """The files whose names end so, in upper or lower case."""
        folded = tuple(ending.lower() for ending in endings)
        return Files(tuple(path for path in self.paths if path.name.lower().endswith(folded)))

    def find(self, stem: str, ending: str, *, as_written: bool = False) -> Path | None:
        """The file `stem` + `ending`: as written, else with the ending in other case, else all of it in other case.

        `as_written` leaves out the last, for where files that differ by case lie side by side.
        """
        alike = self._by_name.get(f"{stem}{ending}".lower(), [])
        same_stem = [path for path in alike if path.name.startswith(stem)]
        same_name = [path for path in same_stem if path.name == f"{stem}{ending}"]
        return next(iter(same_name or same_stem or ([] if as_written else alike)), None)

    def has_twin(self, path: Path) -> bool:
        """Whether another file's name differs from that of `path` by case only, extensions left out."""
        return len(self._stems[path.stem.lower()]) > 1

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        groups: dict[str, list[Path]] = {}
        for path in self.paths:
            groups.setdefault(path.name.lower(), []).append(path)
        return groups

    @cached_property
    def _stems(self) -> dict[str, set[str]]:
        groups: dict[str, set[str]] = {}
        for path in self.paths:
            groups.setdefault(path.stem.lower(), set()).add(path.stem)
        return groups


def walk(root: Path) -> Iterator[tuple[Path, Files]]:
    """Each folder below `root`, in order, with its files; hidden ones are left out, linked ones are entered once."""
    entered = {root.resolve()}
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = [name for name in sorted(folders) if not name.startswith(".")]
        folders[:] = [name for name in folders if _is_new(Path(folder, name).resolve(), entered)]
        yield Path(folder), Files(tuple(Path(folder, name) for name in sorted(names) if not name.startswith(".")))


def _is_new(folder: Path, entered: set[Path]) -> bool:
    new = folder not in entered
    entered.add(folder)
    return new


def files_in(folder: Path) -> Files:
    """A folder's files; none if there is no such folder."""
    return next(walk(folder), (folder, Files()))[1]


def sub_folders(folder: Path | None) -> dict[str, Path]:
    """The folders in a folder by name, sorted."""
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()} if folder is not None else {}


def choose_split(folder: Path, split: str | None) -> Path:
    """The part of a data set below `folder`, or all of it. Raises InputError, naming the parts, for an unknown one."""
    if split is None:
        return folder
    parts = sub_folders(folder)
    if split not in parts:
        raise InputError(f"{folder} has no part {split!r}; it has {', '.join(parts) or 'none'}")
    return parts[split]


def wrong_layout(root: Path, looked_for: str, advice: str = "") -> InputError:
    """The error of a folder that holds another layout: what was looked for, and what is there."""
    paths = [path for _, files in walk(root) for path in islice(files, 10_000)]
    kinds = Counter(path.suffix.lower() or "without extension" for path in paths).most_common(5)
    files = ", ".join(f"{count} {kind}" for kind, count in kinds) or "no file"
    folders = ", ".join(islice(sub_folders(root), 8)) or "none"
    return InputError(f"looked for {looked_for} in {root}; found {files}, and the folders: {folders}{advice}")


def value_range(values: npt.NDArray[np.integer[Any]], ignored: int = 255) -> tuple[int, int]:
    """Lowest and highest value of a ground truth image, the ignored one left out; (0, 0) where there is no other."""
    kept = values != ignored
    return int(values.min(initial=0, where=kept)), int(values.max(initial=0, where=kept))
