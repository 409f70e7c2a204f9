"""One image's detections, as the database holds them, as COCO annotations."""

from __future__ import annotations

import base64
import datetime
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.json_file import plain
from fiftyone_ssa.labels.review import is_rejected
from fiftyone_ssa.labels.stored_masks import mask_counts, read_array
from fiftyone_ssa.masks import rle
from fiftyone_ssa.types import MaskSet

Document = Mapping[str, Any]

_TOLD_APART = frozenset(
    (
        *("_id", "_cls", "label", "bounding_box", "mask", "mask_path"),
        *("confidence", "attributes", "tags", "index", "instance", "iscrowd", "area"),
    )
)
"""Keys of a Detection that have their own place in COCO, or mean nothing outside its dataset."""
_COCO_KEYS = frozenset(
    ("id", "image_id", "category_id", "bbox", "segmentation", "area", "iscrowd", "score", "keypoints", "attributes")
)
"""Keys that COCO gives a meaning to; an attribute of such a name is written as `attribute_<name>`."""


@dataclass
class Left:
    """Detections that are left out, counted by reason."""

    unlabelled: int = 0
    without_mask: int = 0
    rejected: int = 0
    failed: list[str] = field(default_factory=list)
    """What is wrong with each mask that cannot be read."""


class ImageMasks:
    """The detections of one image that can be exported, decoded, and the count of those left out."""

    def __init__(self, label: Any, size_hw: tuple[int, int]) -> None:
        """Read a Detections document; one that is damaged costs itself only."""
        self.left = Left()
        self.documents: list[Document] = []
        self.masks: list[MaskSet] = []
        """One mask each."""
        self.size_hw = size_hw
        for document in self._chosen(label):
            try:
                mask = rle.mask_set(size_hw, [mask_counts(document, size_hw)])
            except InputError as error:
                self.left.failed.append(f"mask {document.get('_id')}: {error}")
                continue
            if mask.areas_px[0] == 0:
                self.left.without_mask += 1
                continue
            self.documents.append(document)
            self.masks.append(mask)

    def annotations(self, categories: Mapping[str, int]) -> Iterator[dict[str, Any]]:
        """COCO annotations without `id` and `image_id`."""
        for document, masks in zip(self.documents, self.masks, strict=True):
            area_px = int(masks.areas_px[0])
            yield {
                "category_id": categories[str(document["label"])],
                "bbox": masks.boxes_xywh[0].tolist(),
                "area": area_px,
                "segmentation": {"size": list(self.size_hw), "counts": masks.rles[0].decode()},
                "iscrowd": int(_is_true(_attribute(document, "iscrowd"))),
                **_extra(document, area_px),
            }

    def _chosen(self, label: Any) -> Iterator[Document]:
        detections = label.get("detections") if isinstance(label, Mapping) else None
        for document in detections if isinstance(detections, list) else ():
            if not isinstance(document, Mapping):
                self.left.failed.append(f"a detection is a {type(document).__name__}")
            elif is_rejected(document):
                self.left.rejected += 1
            elif document.get("label") is None or not str(document["label"]).strip():
                self.left.unlabelled += 1
            elif not document.get("mask") and not document.get("mask_path"):
                self.left.without_mask += 1
            else:
                yield document


def _extra(document: Document, area_px: int) -> dict[str, Any]:
    """The detection's other values under their own names; its confidence is COCO's score."""
    values = {name: value for name, value in document.items() if name not in _TOLD_APART and not name.startswith("_")}
    attributes = document.get("attributes")
    if isinstance(attributes, Mapping):  # FiftyOne's older form: {name: {"_cls": "CategoricalAttribute", "value": ...}}
        for name, attribute in attributes.items():
            values.setdefault(name, attribute.get("value") if isinstance(attribute, Mapping) else attribute)
        values.pop("iscrowd", None)
    if document.get("area") != area_px:
        values["area"] = document.get("area")
    values["tags"] = document.get("tags") or None
    values["index"] = document.get("index")
    instance = document.get("instance")
    values["instance_id"] = instance.get("_id") if isinstance(instance, Mapping) else None
    extra = {f"attribute_{name}" if name in _COCO_KEYS else name: value for name, value in values.items()}
    confidence = document.get("confidence")
    extra["score"] = confidence if _is_number(confidence) else None
    return {name: json_value(value) for name, value in extra.items() if value is not None}


def _attribute(document: Document, name: str) -> Any:
    if name in document:
        return document[name]
    attributes = document.get("attributes")
    attribute = attributes.get(name) if isinstance(attributes, Mapping) else None
    return attribute.get("value") if isinstance(attribute, Mapping) else attribute


def _is_true(value: Any) -> bool:
    return value.strip().lower() in ("1", "1.0", "true", "yes") if isinstance(value, str) else bool(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def json_value(value: Any) -> Any:
    """A value as MongoDB holds it in JSON's own types: times as ISO 8601, arrays as lists, other bytes as base64."""
    return plain(_stored(value))


def _stored(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _stored(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_stored(entry) for entry in value]
    if isinstance(value, datetime.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=datetime.UTC)).isoformat()
    if not isinstance(value, bytes):
        return value
    try:
        return read_array(value)
    except InputError:
        return base64.b64encode(value).decode()
