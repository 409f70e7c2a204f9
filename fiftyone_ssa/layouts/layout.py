"""Walking a published layout: folder by folder, in order, upper and lower case alike, with clear errors."""

from __future__ import annotations

import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from fiftyone_ssa.errors import InputError

_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, PIL.Image.DecompressionBombError)


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


def walk(root: Path) -> Iterator[tuple[Path, dict[str, Path]]]:
    """Each folder below `root`, in order, with its files by lower-case name; hidden ones are left out."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(folder), {name.lower(): Path(folder, name) for name in sorted(names) if not name.startswith(".")}


def files_in(folder: Path) -> dict[str, Path]:
    """A folder's files by lower-case name; empty if there is no such folder."""
    return next(walk(folder), (folder, {}))[1]


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
    names = [name for _, files in walk(root) for name in islice(files, 10_000)]
    kinds = Counter(Path(name).suffix or "without extension" for name in names).most_common(5)
    files = ", ".join(f"{count} {kind}" for kind, count in kinds) or "no file"
    folders = ", ".join(islice(sub_folders(root), 8)) or "none"
    return InputError(f"looked for {looked_for} in {root}; found {files}, and the folders: {folders}{advice}")


def read_values(path: Path) -> npt.NDArray[np.integer[Any]]:
    """The values (H, W) of a one-channel PNG. Raises InputError if it is damaged or something else."""
    try:
        with PIL.Image.open(path, formats=("PNG",)) as picture:
            values = np.asarray(picture)
    except _DAMAGED as error:
        raise InputError(f"cannot be decoded as PNG: {error}") from error
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise InputError(f"ground truth must have one channel of class values, got {values.shape} {values.dtype}")
    return values
