"""SA-1B as its tar files unpack: `sa_<id>.jpg` beside `sa_<id>.json`, about 11,000 pairs a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fiftyone_ssa.layouts.layout import check_folder, walk, wrong_layout

ENDINGS = (".jpg", ".jpeg", ".png")


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
    folder, found = check_folder(root), False
    for _, files in walk(folder):
        pairs = [
            MaskedImage(path.relative_to(folder).with_suffix("").as_posix(), path, files.get(f"{Path(name).stem}.json"))
            for name, path in files.items()
            if name.endswith(ENDINGS)
        ]
        if any(pair.masks_path for pair in pairs):
            found = True
            yield from pairs
    if not found:
        looked_for = f"images ({', '.join(ENDINGS)}) with <image name>.json beside them"
        raise wrong_layout(folder, looked_for, "; SA-1B's tar files must be unpacked first")
