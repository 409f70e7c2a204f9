"""Which images a folder holds: in natural order, with the names of one sub-folder in memory at a time."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path

from fiftyone_ssa.errors import InputError

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp"),
    *(".ppm", ".pgm", ".pnm", ".gif", ".jp2", ".avif"),
)
RESULT_ENDING = "_semantic.json"
OVERLAY_ENDING = "_overlay.jpg"


@dataclass(frozen=True)
class ImageFile:
    """One image of a folder."""

    id: str
    """Its path relative to the folder, with `/` between parts."""
    path: Path
    problem: str = ""
    """Why it cannot be done, where its name alone says so."""

    @property
    def masks_path(self) -> Path:
        """The SA-1B style mask file beside it."""
        return self.path.with_suffix(".json")


@dataclass(frozen=True)
class ImageFolder:
    """A folder of images, or a single one."""

    root: Path
    needs_masks: bool = False
    """Whether each image needs a mask file beside it; a sub-folder where none has one is left out."""
    results: Path | None = None
    """Where results go; below `root` it is not searched for images, and in `root` itself its pictures are left out."""
    left_out: dict[Path, str] = field(default_factory=dict, compare=False)
    """Folders that were not searched, with the reason; complete once all images were taken."""

    def __iter__(self) -> Iterator[ImageFile]:
        """The images, in natural order, sub-folders after the files beside them. Links to folders are not followed."""
        if self.root.is_dir():
            yield from self._walk(self.root)
        else:
            yield ImageFile(self.root.name, self.root)

    def image(self, image_id: str) -> ImageFile:
        """The image of that id."""
        return ImageFile(image_id, self.root / image_id if self.root.is_dir() else self.root)

    def check(self) -> None:
        """Raise InputError, saying what was looked for and what is there, if there is no image."""
        if not self.root.exists():
            raise InputError(f"{self.root} does not exist; name a folder of images or one image")
        if next(iter(self), None) is None:
            wanted = ", ".join(f"*{extension}" for extension in EXTENSIONS)
            beside = " with a mask file (<image name>.json) beside it" if self.needs_masks else ""
            raise InputError(f"no image{beside} in {self.root}: looked for {wanted} there and below, {self._there()}")

    def _there(self) -> str:
        names = (name for _, _, files in os.walk(self.root) for name in files)
        kinds = Counter(Path(name).suffix.lower() or "without extension" for name in islice(names, 100_000))
        return "found " + (", ".join(f"{count} {kind}" for kind, count in kinds.most_common(6)) or "no file at all")

    def _walk(self, folder: Path, prefix: str = "") -> Iterator[ImageFile]:
        images, folders = [], []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name[0] != ".":
                        if self._is_folder(entry):
                            folders.append(entry.name)
                        elif self._is_image(folder, entry.name):
                            images.append(entry.name)
        except OSError as error:
            yield ImageFile(prefix, folder, f"{folder} cannot be listed: {error.strerror}")
            return
        if images and self.needs_masks and not any((folder / name).with_suffix(".json").exists() for name in images):
            self.left_out[folder] = f"none of its {len(images)} images has a mask file (<image name>.json) beside it"
            images = []
        images.sort(key=_natural)
        for stem, same in groupby(images, _stem):
            names = list(same)
            yield from (ImageFile(prefix + name, folder / name, _problem(stem, len(names))) for name in names)
        for name in sorted(folders, key=_natural):
            if self.results is None or (folder / name).resolve() != self.results.resolve():
                yield from self._walk(folder / name, f"{prefix}{name}/")

    def _is_image(self, folder: Path, name: str) -> bool:
        if not name.lower().endswith(EXTENSIONS):
            return False
        return self.results is None or not name.endswith(OVERLAY_ENDING) or not folder.is_relative_to(self.results)

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        if entry.is_symlink() and entry.is_dir():
            self.left_out[Path(entry.path)] = "it is a link to a folder, name its target itself"
            return False
        return entry.is_dir()


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]  # noqa: PTH122 - many times faster than Path, for millions of names


def _natural(name: str) -> str:
    """Sorts img2 before img10, and names of one stem beside each other."""
    return re.sub(r"\d+", lambda number: number[0].zfill(20), _stem(name).lower()) + "\0" + name


def _problem(stem: str, same_stem: int) -> str:
    result = stem + RESULT_ENDING
    if same_stem > 1:
        return f"{same_stem} images called {stem}.* would all be written to {result}; rename or move them"
    if len(os.fsencode(result)) > 255:
        return f"its name is too long for a result called {result}; rename it"
    return ""
