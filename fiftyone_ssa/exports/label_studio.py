"""Label Studio: tasks with masks as brush regions and proposals beside them, and what people made of them.

`tasks.json` (and `tasks-2.json` ... of many), which Label Studio imports; `config.xml`, the labelling interface of the
project; images in `data/`. Masks are predictions, so that whoever submits a task says that it is right. A region's id
is the label's, which Label Studio keeps; its proposals are the region's note. What comes back is the project's export
as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import quoteattr

import numpy as np

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.exports.outlines import (
    ReturnedImage,
    confidence_of,
    crops,
    label_id,
    points_of,
    proposals_text,
    text_or_none,
    when,
)
from fiftyone_ssa.exports.reading import ImportedImage, Reader, failed, images_folder
from fiftyone_ssa.exports.writing import ExportImage, ExportJob, Writer
from fiftyone_ssa.exports.xml_text import check_xml
from fiftyone_ssa.files.json_file import read_json_value
from fiftyone_ssa.masks import brush_rle, rle
from fiftyone_ssa.masks.filling import fill_pillow
from fiftyone_ssa.masks.foreign import is_number
from fiftyone_ssa.types import MaskSet

TASKS_FILE, CONFIG_FILE = "tasks.json", "config.xml"
MOST_CHARACTERS = 64_000_000
"""Of one file of tasks, but for its last task: Label Studio takes uploads up to 250 MB."""
LOCAL_FILES = "/data/local-files/?d="
"""How Label Studio serves files below its LOCAL_FILES_DOCUMENT_ROOT."""
RESULTS = ("predictions", "annotations")
_PERCENT = 100.0


class FormatWriter(Writer):
    """`tasks.json` and `config.xml`."""

    options = MappingProxyType({"results": "predictions", "url": LOCAL_FILES})
    keeps = frozenset({"confidence"})
    returns = True
    labels = TASKS_FILE

    def __init__(self, job: ExportJob) -> None:
        """Write by `job`. Raises InputError for an option that cannot be."""
        super().__init__(job)
        self._results, self._url = job.options.get("results", RESULTS[0]), job.options.get("url", LOCAL_FILES)
        if self._results not in RESULTS:
            raise InputError(f"results must be one of {', '.join(RESULTS)}, got {shown(self._results)}")
        if not isinstance(self._url, str):
            raise InputError(f"url must be what comes before an image's path, got {shown(self._url)}")
        self._file: IO[str]
        self._files = self._written = 0

    def __enter__(self) -> Writer:
        """Begin the tasks."""
        self._begin()
        self.write(CONFIG_FILE, config(self.job.classes))
        return self

    def planned(self) -> Iterable[str]:
        """The tasks and the interface."""
        return (TASKS_FILE, CONFIG_FILE)

    def add(self, image: ExportImage) -> None:
        """Write one task."""
        name = str(image.source).lstrip("/") if self.job.media == "none" else self.picture(image.split, image.name)
        result = [
            _region(image, row, brush_rle.encode(*placed, image.size_hw))
            for row, placed in enumerate(crops(image.masks))
        ]
        data = {"image": self._url + quote(name or "", safe="/"), "name": image.name, "sample_id": image.sample_id}
        answer: dict[str, Any] = {"result": result}
        answer |= {"model_version": self.job.title} if self._results == "predictions" else {}
        task = {"data": data | ({"split": image.split} if image.split else {}), self._results: [answer]}
        if self._written > MOST_CHARACTERS:
            self._file.write("\n]\n")
            self._begin()
        text = json.dumps(task, ensure_ascii=False, separators=(",", ":"))
        self._file.write((",\n" if self._written else "\n") + text)
        self._written += len(text)

    def finish(self) -> None:
        """Complete the tasks."""
        self._file.write("\n]\n")

    def _begin(self) -> None:
        """Begin a file of tasks: `tasks.json`, then `tasks-2.json` and so on."""
        self._files, self._written = self._files + 1, 0
        self._file = self.open(TASKS_FILE if self._files == 1 else f"tasks-{self._files}.json")
        self._file.write("[")


class FormatReader(Reader):
    """A project's export as JSON, or tasks with predictions."""

    def read(self, dataset_dir: Path, data_dir: Path | None = None) -> Iterator[ImportedImage]:
        """The images of a data set, one at a time."""
        files = [dataset_dir] if dataset_dir.is_file() else sorted(dataset_dir.glob("*.json"))
        found = False
        for file in files:
            tasks = read_json_value(file)
            if not isinstance(tasks, list) or not all(isinstance(task, Mapping) and "data" in task for task in tasks):
                if dataset_dir.is_file():
                    raise InputError(
                        f"{file} is no export of Label Studio as JSON: it must hold a list of tasks; export the "
                        "project as JSON (JSON-MIN has lost what a mask was)"
                    )
                continue
            found = True
            for task in tasks:
                yield _read(task, file.parent, data_dir)
        if not found:
            raise InputError(f"{dataset_dir} holds no tasks of Label Studio: looked for JSON files; name the file")


def config(classes: Sequence[Any]) -> str:
    """The labelling interface for classes: brushes for masks, polygons for those who like them better."""
    lines = []
    for entry in classes:
        colour = f" background={quoteattr(entry.colour)}" if entry.colour else ""
        lines.append(f"    <Label value={quoteattr(check_xml('the class', entry.name))}{colour}/>")
    labels = "\n".join(lines)
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true" zoomControl="true"/>\n'
        f'  <BrushLabels name="label" toName="image">\n{labels}\n  </BrushLabels>\n'
        f'  <PolygonLabels name="polygon" toName="image">\n{labels}\n  </PolygonLabels>\n</View>\n'
    )


def _region(image: ExportImage, row: int, code: list[int]) -> dict[str, Any]:
    height, width = image.size_hw
    document, value = image.documents[row], {"format": "rle", "rle": code, "brushlabels": [image.labels[row]]}
    region: dict[str, Any] = {
        "id": label_id(document) or f"{image.number}-{row}",
        "type": "brushlabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": value,
    }
    confidence, note = confidence_of(document), proposals_text(document)
    region |= {} if confidence is None else {"score": confidence}
    return region | ({"meta": {"text": [note]}} if note else {})


def _read(task: Mapping[str, Any], folder: Path, data_dir: Path | None) -> ImportedImage:
    data = task["data"] if isinstance(task["data"], Mapping) else {}
    path, name = _picture(data, folder, data_dir)
    split = text_or_none(data, "split") or ""
    try:
        answer, corrected = _answer(task)
        regions = [entry for entry in answer.get("result") or () if isinstance(entry, Mapping)]
        found = [(entry, code) for entry in regions if (code := _code(entry)) is not None]
        size_hw = _size(found[0][0]) if found else (1, 1)
        if any(_size(entry) != size_hw for entry, _ in found):
            raise InputError(f"task {task.get('id')}: its regions are of images of different sizes")
        masks = rle.mask_set(size_hw, [code for _, code in found]) if found else MaskSet.empty(size_hw)
    except InputError as error:
        return failed(path, error, split)
    return ReturnedImage(
        path,
        masks,
        tuple(_label(entry) for entry, _ in found),
        tuple(_attributes(entry) for entry, _ in found),
        split,
        sample_id=text_or_none(data, "sample_id") or "",
        name=name,
        by=_person(answer.get("completed_by")) if corrected else "",
        at=when(answer.get("updated_at") or answer.get("created_at")),
        corrected=corrected,
    )


def _picture(data: Mapping[str, Any], folder: Path, data_dir: Path | None) -> tuple[Path, str]:
    """The image of a task: by its name below the images' folder, else by the end of its address."""
    address = urlsplit(str(data.get("image", "")))
    asked = parse_qs(address.query).get("d")
    end = unquote(asked[0] if asked else address.path).rsplit("/", 1)[-1] or "unnamed"
    name = text_or_none(data, "name") or end
    split = text_or_none(data, "split") or ""
    pure = Path(name)
    safe = end if pure.is_absolute() or ".." in pure.parts else name
    root = images_folder(folder, data_dir, f"{split}/data" if split else "data", "images")
    return root / safe, name


def _answer(task: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """What holds for a task: the latest annotation that was handed in, else the last prediction; and which it is."""
    for key, corrected in (("annotations", True), ("completions", True), ("predictions", False)):
        entries = task.get(key)
        answers = [
            entry
            for entry in (entries if isinstance(entries, list) else ())
            if isinstance(entry, Mapping) and not entry.get("was_cancelled") and isinstance(entry.get("result"), list)
        ]
        if answers:
            latest = max(answers, key=lambda entry: str(entry.get("updated_at") or entry.get("created_at") or ""))
            return latest, corrected
    return {}, False


def _code(entry: Mapping[str, Any]) -> bytes | None:
    """The mask of a region; None of one without area (a relation, a choice of the whole image)."""
    value, kind = entry.get("value"), str(entry.get("type", "")).lower()
    if not isinstance(value, Mapping):
        return None
    if kind in ("brushlabels", "brush") or value.get("format") == "rle":
        return brush_rle.decode(value.get("rle") or (), _size(entry))
    if kind not in ("polygonlabels", "polygon", "rectanglelabels", "rectangle"):
        return None
    height, width = size_hw = _size(entry)
    if kind.startswith("polygon"):
        shares = points_of(value.get("points"), (100, 100))
    else:
        sides = [value.get(key) for key in ("x", "y", "width", "height")]
        if not all(map(is_number, sides)) or value.get("rotation"):
            raise InputError(f"a rectangle must have x, y, width, height and no rotation, got {shown(value)}")
        x, y, w, h = map(float, sides)  # type: ignore[arg-type]
        shares = points_of([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], (100, 100))
    points = np.array(shares).reshape(-1, 2) * (width / _PERCENT, height / _PERCENT)
    return fill_pillow([np.minimum(points, (width - 1, height - 1))], size_hw)


def _size(entry: Mapping[str, Any]) -> tuple[int, int]:
    size = (entry.get("original_height"), entry.get("original_width"))
    if not all(type(side) is int and 0 < side < 1 << 20 for side in size) or size[0] * size[1] > 1 << 30:  # type: ignore[operator]
        raise InputError(f"a region must have original_height and original_width, got {shown(size)}")
    return size  # type: ignore[return-value]


def _label(entry: Mapping[str, Any]) -> str | None:
    value: Mapping[str, Any] = entry["value"]
    for key in ("brushlabels", "polygonlabels", "rectanglelabels", "labels"):
        names = value.get(key)
        if isinstance(names, list) and names and isinstance(names[0], str):
            return names[0]
    return None


def _attributes(entry: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {"label_id": text_or_none(entry, "id")} if text_or_none(entry, "id") else {}
    return values | ({"confidence": float(entry["score"])} if is_number(entry.get("score")) else {})


def _person(value: Any) -> str:
    """Who handed something in: a mail address where the export has one, else the number."""
    if isinstance(value, Mapping):
        return str(value.get("email") or value.get("username") or value.get("id") or "")
    return "" if value is None else f"user {value}"
