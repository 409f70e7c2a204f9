"""SA-1B as its tar files unpack: `sa_<id>.jpg` beside `sa_<id>.json`, about 11,000 pairs a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fiftyone_ssa.files.images import EXTENSIONS
from fiftyone_ssa.layouts.layout import Files, check_folder, walk, wrong_layout


@dataclass(frozen=True)
class MaskedImage:
    """One image with its mask file (read it with `files.read_masks`)."""

    id: str
    """Its path in the data set, without ending, with `/` between parts."""
    image_path: Path
    masks_path: Path | None
    """None where it is missing."""


def images(root: str | Path) -> Iterator[MaskedImage]:
    """The images below `root` in folders that hold mask files, in order.

    Raises InputError, with what is there, if no image has one; tar files must be unpacked first.
    """
    folder, any_masks = check_folder(root), False
    for _, files in walk(folder):
        found = files.ending(*EXTENSIONS)
        pairs = [_pair(folder, path, files, has_twin=found.has_twin(path)) for path in found]
        if any(pair.masks_path for pair in pairs):
            any_masks = True
            yield from pairs
    if not any_masks:
        looked_for = f"images ({', '.join(EXTENSIONS)}) with <image name>.json beside them"
        raise wrong_layout(folder, looked_for, "; SA-1B's tar files must be unpacked first")


def _pair(root: Path, image_path: Path, files: Files, *, has_twin: bool) -> MaskedImage:
    masks = files.find(image_path.stem, ".json", as_written=has_twin)
    return MaskedImage(image_path.relative_to(root).with_suffix("").as_posix(), image_path, masks)
