"""COCO instances from any FiftyOne view: exact masks as compressed RLE, true areas, and every score kept."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, get_args

import fiftyone as fo

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import image_size_hw
from fiftyone_ssa.files.json_file import plain
from fiftyone_ssa.labels.database import needs_database
from fiftyone_ssa.labels.documents import mask_set_from_detections

Media = Literal["copy", "symlink", "none"]
LABELS_FILE = "labels.json"
MEDIA_FOLDER = "data"

# What a Detection calls otherwise in COCO, and what means nothing outside its dataset.
_NOT_EXTRA = frozenset(
    (
        "id",
        "label",
        "confidence",
        "bounding_box",
        "mask",
        "mask_path",
        "area",
        "attributes",
        "index",
        "instance",
        "tags",
    )
) | {"image_id", "category_id", "bbox", "segmentation", "iscrowd", "score", "keypoints"}


@dataclass
class CocoSummary:
    """What an export wrote, and what it left out."""

    labels_path: Path
    images_dir: Path
    """The folder that the images' `file_name` is relative to."""
    images: int = 0
    annotations: int = 0
    unlabelled: int = 0
    """Masks without a name, left out."""
    without_mask: int = 0
    """Detections with a box only, or with an empty mask, left out."""
    errors: dict[str, str] = field(default_factory=dict)
    """File path to reason, for every image left out."""

    def __str__(self) -> str:
        parts = [f"{self.annotations} masks of {self.images} images in {self.labels_path}"]
        parts += [f"{self.unlabelled} without a name left out"] if self.unlabelled else []
        parts += [f"{self.without_mask} detections without a mask left out"] if self.without_mask else []
        parts += [f"{len(self.errors)} images FAILED"] if self.errors else []
        return ", ".join(parts)


@needs_database()
def export_coco(
    samples: Any,
    out_dir: str | Path,
    *,
    label_field: str = "ssa",
    media: Media = "copy",
    rel_dir: str | Path | None = None,
    classes: Sequence[str] | None = None,
    progress: bool | Callable[..., Any] | None = None,
) -> CocoSummary:
    """Write `out_dir/labels.json` (COCO instances of a Detections field) and, by `media`, the images in `out_dir/data`.

    Images keep their folders below `rel_dir`, by default the folder that holds them all. Category ids do not depend on
    the view: first come `classes`, by default those of the mask targets of `<label_field>_semantic`, then the other
    labels of the dataset by name. Annotations are written one image at a time, and the file appears complete or not at
    all. An image that cannot be read is left out and named in the summary.
    Raises InputError if the field holds no Detections or `media` is unknown.
    """
    if media not in get_args(Media):
        raise InputError(f"media must be one of {', '.join(get_args(Media))}, got {media!r}")
    if label_field not in detections_fields(samples):
        known = ", ".join(detections_fields(samples)) or "none"
        raise InputError(f"{label_field!r} is no Detections field of {samples._root_dataset.name!r}; it has {known}")
    out = Path(out_dir).expanduser().resolve()
    root = Path(rel_dir).expanduser().resolve() if rel_dir is not None else _common_folder(samples)
    summary = CocoSummary(out / LABELS_FILE, root if media == "none" else out / MEDIA_FOLDER)
    categories = category_ids(samples, label_field, classes)
    out.mkdir(parents=True, exist_ok=True)
    with _CocoFile(summary.labels_path) as file:
        view = samples.select_fields([label_field])
        for sample in view.iter_samples(progress=progress):
            try:
                name = _relative(sample.filepath, root)
                size_hw = image_size_hw(sample.filepath)
                instances = _Instances(sample[label_field], size_hw)
                if media != "none":
                    _export_image(Path(sample.filepath), summary.images_dir / name, media)
            except (OSError, InputError) as error:
                summary.errors[sample.filepath] = str(error)
                continue
            summary.images += 1
            file.write_image({"id": summary.images, "file_name": name, "width": size_hw[1], "height": size_hw[0]})
            for annotation in instances.annotations(categories, summary):
                file.write_annotation(annotation)
        file.finish(
            {"description": f"{label_field} of {samples._root_dataset.name}"},
            [{"id": number, "name": name} for name, number in categories.items()],
        )
    return summary


def detections_fields(samples: Any) -> list[str]:
    """The names of a collection's Detections fields."""
    return list(samples.get_field_schema(embedded_doc_type=fo.Detections))


def category_ids(samples: Any, label_field: str, classes: Sequence[str] | None = None) -> dict[str, int]:
    """Class name to COCO category id, the same for every view of a dataset; see `export_coco`."""
    dataset = samples._root_dataset
    targets = dataset.mask_targets.get(f"{label_field}_semantic", {})
    numbers: dict[str, int] = {}
    for number, name in enumerate(classes, 1) if classes is not None else sorted(targets.items()):
        numbers.setdefault(name, number)
    others = [name for name in dataset.distinct(f"{label_field}.detections.label") if name not in numbers]
    first = max(numbers.values(), default=0) + 1
    return numbers | {name: number for number, name in enumerate(others, first)}


def _common_folder(samples: Any) -> Path:
    folders = {Path(path).parent for path in samples.values("filepath")}
    return Path(os.path.commonpath(folders)) if folders else Path.cwd()


def _relative(path: str, root: Path) -> str:
    try:
        return Path(path).relative_to(root).as_posix()
    except ValueError as error:
        raise InputError(f"{path} is not below rel_dir {root}; choose a folder above all images") from error


def _export_image(source: Path, target: Path, media: Media) -> None:
    if target.exists() and target.samefile(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if media == "symlink":
        target.symlink_to(source)
    else:
        shutil.copyfile(source, target)


class _Instances:
    """One image's detections, decoded before anything of the image is written."""

    def __init__(self, label: Any, size_hw: tuple[int, int]) -> None:
        detections = label.detections if label is not None else []
        named = [detection for detection in detections if detection.label is not None]
        self.detections = [detection for detection in named if detection.has_mask]
        self.masks = mask_set_from_detections(fo.Detections(detections=self.detections), size_hw)
        self.unlabelled = len(detections) - len(named)
        self.without_mask = len(named) - len(self.detections) + int((self.masks.areas_px == 0).sum())

    def annotations(self, categories: Mapping[str, int], summary: CocoSummary) -> Iterator[dict[str, Any]]:
        """COCO annotations of the image that `summary` counted last; counts them."""
        summary.unlabelled += self.unlabelled
        summary.without_mask += self.without_mask
        masks = self.masks
        for index in masks.areas_px.nonzero()[0]:
            summary.annotations += 1
            detection = self.detections[index]
            yield {
                "id": summary.annotations,
                "image_id": summary.images,
                "category_id": categories[detection.label],
                "bbox": masks.boxes_xywh[index].tolist(),
                "area": int(masks.areas_px[index]),
                "segmentation": {"size": list(masks.size_hw), "counts": masks.rles[index].decode()},
                "iscrowd": 0,
                **_extra(detection),
            }


def _extra(detection: Any) -> dict[str, Any]:
    """The detection's other values under their own names; its confidence is COCO's score."""
    values = {"score": detection.confidence}
    values |= {name: detection[name] for name in detection.field_names if name not in _NOT_EXTRA}
    return {name: plain(value) for name, value in values.items() if value is not None}


class _CocoFile:
    """A COCO file written as it comes: annotations to the file itself, images aside, renamed when it is finished."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.closing = contextlib.ExitStack()
        self.started = {"annotations": False, "images": False}

    def __enter__(self) -> _CocoFile:
        folder = self.path.parent
        self.part = Path(tempfile.mkdtemp(prefix=".coco-", dir=folder))
        self.closing.callback(shutil.rmtree, self.part, ignore_errors=True)
        self.annotations = self.closing.enter_context((self.part / LABELS_FILE).open("w", encoding="utf-8"))
        self.images = self.closing.enter_context((self.part / "images").open("w+", encoding="utf-8"))
        self.annotations.write('{"annotations": [')
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing.close()

    def write_image(self, image: Mapping[str, Any]) -> None:
        """Add one image."""
        self._item(self.images, "images", image)

    def write_annotation(self, annotation: Mapping[str, Any]) -> None:
        """Add one annotation."""
        self._item(self.annotations, "annotations", annotation)

    def finish(self, info: Mapping[str, Any], categories: list[dict[str, Any]]) -> None:
        """Complete the file and put it in its place."""
        self.images.seek(0)
        self.annotations.write('],\n"images": [')
        shutil.copyfileobj(self.images, self.annotations)
        rest = json.dumps({"info": info, "licenses": [], "categories": categories}, ensure_ascii=False)
        self.annotations.write("],\n" + rest[1:])
        self.annotations.flush()
        os.fsync(self.annotations.fileno())
        (self.part / LABELS_FILE).replace(self.path)

    def _item(self, file: IO[str], kind: str, item: Mapping[str, Any]) -> None:
        file.write((",\n" if self.started[kind] else "\n") + json.dumps(item, ensure_ascii=False, allow_nan=False))
        self.started[kind] = True
