"""YOLO segmentation as Ultralytics trains on it: a line of text a mask, one polygon each.

`images/<split>/`, `labels/<split>/` and `dataset.yaml`. A line is the class, from 0, and x, y of each point in shares
of the image. Readers fill it with OpenCV's `fillPoly`; some round coordinates to pixels, some cut them, so that each
point lies a quarter of a pixel from where its pixel begins, which both take for that pixel. Holes are on seams
(`masks.polygons`); islands are joined by lines, as Ultralytics' own converter joins them, and lose those lines' pixels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError, said_by, shown
from fiftyone_ssa.exports.outlines import Places, crops
from fiftyone_ssa.exports.reading import ImportedImage, PictureFinder, Reader, below, failed
from fiftyone_ssa.exports.writing import ExportImage, ExportJob, Kept, Writer
from fiftyone_ssa.files.images import EXTENSIONS, image_size_hw
from fiftyone_ssa.files.regular import regular_size
from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.filling import fill_opencv
from fiftyone_ssa.masks.polygons import pixel_rings
from fiftyone_ssa.types import MaskSet

YAML_FILE = "dataset.yaml"
MOST_BYTES = 64_000_000
"""Of one image's labels."""
_INSIDE_PIXEL = 0.25
_LINE = re.compile(r"\s*\d+(\s+[-+.e\d]+){4}")
"""How a line of labels begins."""


class FormatWriter(Writer):
    """YOLO's folders."""

    labels = YAML_FILE
    returns = True
    needs_media = True

    def __init__(self, job: ExportJob) -> None:
        """Write by `job`."""
        super().__init__(job)
        self._places = Places(_without_images)
        self._class = {entry.name: place for place, entry in enumerate(job.classes)}

    def picture(self, split: str, name: str) -> str:
        """In a folder `images`, which readers replace by `labels`."""
        return "/".join(filter(None, ["images", split, self._places.of(split, name)]))

    def planned(self) -> Iterable[str]:
        """The file that says where everything is."""
        return (YAML_FILE,)

    def add(self, image: ExportImage) -> Kept:
        """Write the lines of one image."""
        lines, kept = [], []
        for name, (crop, corner) in zip(image.labels, crops(image.masks), strict=True):
            (ring,) = pixel_rings(crop, corner, one=True)
            shares = np.round((ring + _INSIDE_PIXEL) / image.size_hw[::-1], 6)
            lines.append(f"{self._class[name]}{' %.6f' * shares.size}\n" % tuple(shares.ravel().tolist()))
            kept.append(_filled(shares, image.size_hw))
        place = Path(self._places.of(image.split, image.name)).with_suffix(".txt").as_posix()
        self.write("/".join(filter(None, ["labels", image.split, place])), "".join(lines))
        return kept

    def finish(self) -> None:
        """Write the file that names splits and classes; training needs a `train` and a `val`."""
        parts = {split: f"images/{split}" for split in self.job.splits} or {"train": "images", "val": "images"}
        parts.setdefault("train", next(iter(parts.values())))
        parts.setdefault("val", parts["train"])
        lines = [f"# {self.job.title}", *(f"{split}: {folder}" for split, folder in parts.items())]
        lines += [f"nc: {len(self._class)}", "names:" if self._class else "names: {}"]
        lines += [f"  {number}: {json.dumps(name, ensure_ascii=False)}" for name, number in self._class.items()]
        self.write(YAML_FILE, "\n".join(lines) + "\n")


class FormatReader(Reader):
    """YOLO's folders of any source: polygons are filled as supervision fills them, boxes are rectangles."""

    def read(self, dataset_dir: Path, data_dir: Path | None = None) -> Iterator[ImportedImage]:
        """The images of a data set, one at a time."""
        file = _yaml_file(dataset_dir)
        content = _yaml(file)
        names = _names(file, content)
        folders: dict[Path, str] = {}
        for split, folder in _folders(file, content):
            folders[folder] = "" if folder in folders else split
        if not folders:
            raise InputError(f"{file} names no folder of images that is there: looked for train, val and the like")
        for folder, split in folders.items():
            for path in sorted(folder.rglob("*")):
                if path.suffix.lower() in EXTENSIONS and path.is_file():
                    yield _image(path, _labels_file(path), names, split)
            labels, finder = _labels_file(folder / "_").parent, PictureFinder()
            for path in sorted(labels.rglob("*.txt")) if labels != folder else ():
                place = folder / path.relative_to(labels).with_suffix("")
                if not finder.find(place.parent, place.name) and _holds_labels(path):
                    yield failed(place.with_name(place.name + EXTENSIONS[0]), f"{path} has no picture", split)


def _without_images(name: PurePosixPath) -> PurePosixPath:
    """A name none of whose folders is `images`, the last of which readers take for the one of all images."""
    return PurePosixPath(*(f"{part}_" if part == "images" else part for part in name.parts[:-1]), name.name)


def _filled(shares: npt.NDArray[Any], size_hw: tuple[int, int]) -> bytes:
    """The mask of a line, as supervision reads it: 32 bits, then rounded to pixels."""
    return fill_opencv([shares.astype(np.float32) * np.array(size_hw[::-1], np.float32)], size_hw)


def _yaml_file(dataset_dir: Path) -> Path:
    if dataset_dir.is_file():
        return dataset_dir
    for name in (YAML_FILE, "data.yaml"):
        if (dataset_dir / name).is_file():
            return dataset_dir / name
    found = sorted([*dataset_dir.glob("*.yaml"), *dataset_dir.glob("*.yml")])
    if len(found) != 1:
        raise InputError(f"{dataset_dir} holds no YOLO data set: looked for {YAML_FILE} and data.yaml; name the file")
    return found[0]


def _yaml(file: Path) -> Mapping[str, Any]:
    import yaml  # type: ignore[import-untyped]

    if regular_size(file) > MOST_BYTES:
        raise InputError(f"{file} is too large for a file of names")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{file} is not a YAML file: {said_by(error)}") from error
    if not isinstance(content, Mapping):
        raise InputError(f"{file} must hold names and folders of images, got {shown(content)}")
    return content


def _names(file: Path, content: Mapping[str, Any]) -> dict[int, str]:
    names = content.get("names")
    pairs = names.items() if isinstance(names, Mapping) else enumerate(names) if isinstance(names, list) else None
    if pairs is None:
        raise InputError(f"{file} must hold names, a list or {{number: name}}, got {shown(names)}")
    try:
        return {int(number): str(name) for number, name in pairs}
    except (TypeError, ValueError) as error:
        raise InputError(f"{file}: classes must be numbered, got {shown(names)}") from error


def _folders(file: Path, content: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Splits with the folders of images that are below the file's; others are on someone else's machine."""
    base = content.get("path")
    roots = [file.parent / base] if isinstance(base, str) and (file.parent / base).is_dir() else []
    for split, value in content.items():
        for name in [value] if isinstance(value, str) else value if isinstance(value, list) else ():
            if split in ("path", "names") or not isinstance(name, str):
                continue
            for root in (*roots, file.parent):
                try:
                    folder = below(root, name.removeprefix("../"))
                except InputError:
                    continue
                if folder.is_dir() and folder.resolve().is_relative_to(file.parent.resolve()):
                    yield str(split), folder
                    break


def _labels_file(path: Path) -> Path:
    """Where an image's labels are: in `labels` for the last `images` above it."""
    parts = list(path.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _holds_labels(path: Path) -> bool:
    """Whether a text begins as labels do; there may be lists of names or of files beside them."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return bool(_LINE.match(file.read(1000)))


def _image(path: Path, file: Path, names: Mapping[int, str], split: str) -> ImportedImage:
    try:
        size_hw = image_size_hw(path)
        found = _lines(file, names, size_hw) if file.is_file() else []
        masks = rle.mask_set(size_hw, [code for _, code, _ in found]) if found else MaskSet.empty(size_hw)
    except InputError as error:
        return failed(path, error, split)
    attributes = tuple({} if score is None else {"confidence": score} for _, _, score in found)
    return ImportedImage(path, masks, tuple(name for name, _, _ in found), attributes, split)


def _lines(file: Path, names: Mapping[int, str], size_hw: tuple[int, int]) -> list[tuple[str, bytes, float | None]]:
    if regular_size(file) > MOST_BYTES:
        raise InputError(f"{file} is too large: at most {MOST_BYTES:,} bytes of labels are read for an image")
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            values = np.array(words[1:], np.float64)
            which = float(words[0])
        except ValueError as error:
            raise InputError(f"{file}, line {number}: expected a class and numbers, got {shown(line)}") from error
        if len(values) < 4 or not np.isfinite(values).all() or np.abs(values).max() > 2 or which not in names:
            raise InputError(
                f"{file}, line {number}: expected a class of dataset.yaml and a box or a polygon in shares of the "
                f"image, got {shown(line)}"
            )
        score = float(values[-1]) if len(values) == 5 or (len(values) > 6 and len(values) % 2) else None
        values = values[: len(values) - (score is not None)]
        if len(values) == 4:
            x, y, w, h = values
            values = np.array([(a, b) for a in (x - w / 2, x + w / 2) for b in (y - h / 2, y + h / 2)])[[0, 1, 3, 2]]
        found.append((names[int(which)], _filled(values.reshape(-1, 2), size_hw), score))
    return found
