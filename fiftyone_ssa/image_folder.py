"""Which images a folder holds: walked one sub-folder at a time, in natural order, so that a million cost no memory."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
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

    def _walk(self, folder: Path) -> Iterator[ImageFile]:
        try:
            with os.scandir(folder) as entries:
                visible = [(entry.name, self._is_folder(entry)) for entry in entries if entry.name[0] != "."]
        except OSError as error:
            yield ImageFile(f"{self._id(folder)}/", folder, f"{folder} cannot be listed: {error.strerror}")
            return
        visible.sort(key=lambda entry: _natural(entry[0]))
        names = {name for name, is_folder in visible if not is_folder}
        images = [name for name, is_folder in visible if not is_folder and self._is_image(folder, name)]
        if images and self.needs_masks and not any(f"{Path(name).stem}.json" in names for name in images):
            self.left_out[folder] = f"none of its {len(images)} images has a mask file (<image name>.json) beside it"
            images = []
        stems = Counter(Path(name).stem for name in images)
        for name in images:
            path = folder / name
            yield ImageFile(self._id(path), path, _problem(path, stems[path.stem]))
        for name, is_folder in visible:
            if is_folder and (self.results is None or (folder / name).resolve() != self.results.resolve()):
                yield from self._walk(folder / name)

    def _is_image(self, folder: Path, name: str) -> bool:
        ours = name.endswith(OVERLAY_ENDING) and self.results is not None and folder.is_relative_to(self.results)
        return name.lower().endswith(EXTENSIONS) and not ours

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        if entry.is_symlink() and entry.is_dir():
            self.left_out[Path(entry.path)] = "it is a link to a folder, name its target itself"
            return False
        return entry.is_dir()

    def _id(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _problem(path: Path, same_stem: int) -> str:
    result = path.stem + RESULT_ENDING
    if same_stem > 1:
        return f"{same_stem} images called {path.stem}.* would all be written to {result}; rename or move them"
    if len(os.fsencode(result)) > 255:
        return f"its name is too long for a result called {result}; rename it"
    return ""


def _natural(name: str) -> tuple[list[str | int], str]:
    """Sorts img2 before img10."""
    parts = re.split(r"(\d+)", name.lower())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name
