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
from fiftyone_ssa.files.images import EXTENSIONS, UNDECODED, undecoded_note

RESULT_ENDING = "_semantic.json"
OVERLAY_ENDING = "_overlay.jpg"


def masks_beside(image_path: Path) -> Path:
    """`<stem>.json` beside an image, its ending in capitals where it is so written; it need not be there."""
    paths = [image_path.with_suffix(ending) for ending in (".json", ".JSON", ".Json")]
    return next((path for path in paths if os.path.lexists(path)), paths[0])


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
        """The SA-1B style mask file beside it; see `masks_beside`."""
        return masks_beside(self.path)


@dataclass(frozen=True)
class ImageFolder:
    """A folder of images, or a single one."""

    root: Path
    needs_masks: bool = False
    """Whether each image needs a mask file beside it; a sub-folder where none has one is left out."""
    results: Path | None = None
    """Where results go; below `root` it is not searched for images, and in `root` itself its pictures are left out."""
    hidden: bool = False
    """Whether files and folders whose names begin with a dot count, too."""
    left_out: dict[Path, str] = field(default_factory=dict, compare=False)
    """Folders that were not searched, with the reason; complete once all images were taken."""
    undecoded: dict[Path, Counter[str]] = field(default_factory=dict, compare=False)
    """Folder to how many pictures of which ending nothing here decodes; complete once all images were taken."""

    def __iter__(self) -> Iterator[ImageFile]:
        """The images, in natural order, sub-folders after the files beside them.

        A link to a folder is followed unless it leads to images that are found anyway.
        """
        if self.root.is_dir():
            yield from self._walk(self.root, "", {self.root.resolve()})
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

    def notes(self) -> list[str]:
        """What was left out, for the closing sentence; complete once all images were taken."""
        kinds: Counter[str] = Counter()
        for found in self.undecoded.values():
            kinds.update(found)
        notes = [undecoded_note(kinds)] if kinds else []
        return notes + ([f"{len(self.left_out)} folders left out"] if self.left_out else [])

    def _there(self) -> str:
        names = (name for _, _, files in os.walk(self.root) for name in files)
        kinds = Counter(Path(name).suffix.lower() or "without extension" for name in islice(names, 100_000))
        return "found " + (", ".join(f"{count} {kind}" for kind, count in kinds.most_common(6)) or "no file at all")

    def _walk(self, folder: Path, prefix: str, entered: set[Path]) -> Iterator[ImageFile]:
        """The images in a folder and below; `entered` holds the real paths of the root and of folders linked to."""
        try:
            found = self._listed(folder)
        except OSError as error:
            yield ImageFile(prefix, folder, f"{folder} cannot be listed: {error.strerror}")
            return
        images = found.images
        if images and self.needs_masks and not any(_stem(name) in found.mask_stems for name in images):
            self.left_out[folder] = f"none of its {len(images)} images has a mask file (<image name>.json) beside it"
            images = []
        for stem, same in groupby(sorted(images, key=_natural), _stem):
            names = list(same)
            yield from (ImageFile(prefix + name, folder / name, _problem(stem, len(names))) for name in names)
        for name in sorted(found.folders, key=_natural):
            path = folder / name
            if self.results is not None and path.resolve() == self.results.resolve():
                continue
            if path.is_symlink() and (reason := found_elsewhere(path.resolve(), entered)):
                self.left_out[path] = reason
            else:
                yield from self._walk(path, f"{prefix}{name}/", entered)

    def _listed(self, folder: Path) -> _Listing:
        listing, undecoded = _Listing(), Counter[str]()
        with os.scandir(folder) as entries:
            for entry in entries:
                name, ending = entry.name, os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - see _stem
                if name[0] == "." and not self.hidden:
                    continue
                if _is_folder(entry):
                    listing.folders.append(name)
                elif self._is_image(folder, name):
                    listing.images.append(name)
                elif ending == ".json":
                    listing.mask_stems.add(_stem(name))
                elif ending in UNDECODED:
                    undecoded[ending] += 1
        if undecoded:
            self.undecoded[folder] = undecoded
        return listing

    def _is_image(self, folder: Path, name: str) -> bool:
        if not name.lower().endswith(EXTENSIONS):
            return False
        return self.results is None or not name.endswith(OVERLAY_ENDING) or not folder.is_relative_to(self.results)


@dataclass
class _Listing:
    """One folder's visible names."""

    images: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    mask_stems: set[str] = field(default_factory=set)
    """Names of its JSON files without their endings."""


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def found_elsewhere(target: Path, entered: set[Path]) -> str:
    """Why a link to `target` is not followed, or "" where it is, and then counts as entered."""
    for known in entered:
        if known.is_relative_to(target):
            return f"it is a link to a folder that holds {known}"
        if target.is_relative_to(known):
            return f"it is a link into {known}, whose images are found anyway"
    entered.add(target)
    return ""


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
