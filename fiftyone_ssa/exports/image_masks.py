"""One image's detections, as the database holds them: those that are exported, decoded, and as COCO annotations."""

from __future__ import annotations

import base64
import datetime
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.json_file import plain
from fiftyone_ssa.labels.review import OPEN, is_rejected, state_of
from fiftyone_ssa.labels.stored_masks import read_array, read_masks
from fiftyone_ssa.masks.foreign import is_number
from fiftyone_ssa.types import MaskSet

Document = Mapping[str, Any]

NOT_VALUES = ("_id", "_cls", "bounding_box", "mask", "mask_path", "attributes", "instance")
"""Keys of a Detection that are the mask itself, or mean nothing outside its dataset."""
_TOLD_APART = frozenset((*NOT_VALUES, "label", "confidence", "tags", "index", "iscrowd", "area"))
"""Keys of a Detection that have their own place in COCO, or mean nothing outside its dataset."""
_COCO_KEYS = frozenset(
    ("id", "image_id", "category_id", "bbox", "segmentation", "area", "iscrowd", "score", "keypoints", "attributes")
)
"""Keys that COCO gives a meaning to; an attribute of such a name is written as `attribute_<name>`."""


@dataclass(frozen=True)
class Choice:
    """Which masks of an image are exported, and as what."""

    class_of: Callable[[str], str | None] = lambda name: name
    """The class that a mask's name is exported as; None where it is left out."""
    min_confidence: float = 0.0
    """Masks with a lower confidence are left out, and so are those without one where this is above 0."""
    min_area_px: int = 1
    unreviewed: bool = True
    """Whether masks that nobody reviewed are exported, too."""
    ours: bool = False
    """Whether SSA named masks of this field: another label than SSA's is then a person's correction."""


@dataclass
class Left:
    """Detections that are left out, counted by reason."""

    unlabelled: int = 0
    without_mask: int = 0
    rejected: int = 0
    other_class: int = 0
    below: int = 0
    """Below a threshold."""
    unreviewed: int = 0
    failed: list[str] = field(default_factory=list)
    """What is wrong with each mask that cannot be read."""


class ImageMasks:
    """The masks of one image that are exported, decoded, and the count of those left out."""

    def __init__(self, label: Any, size_hw: tuple[int, int], choice: Choice | None = None) -> None:
        """Read a Detections document; one that is damaged costs itself only."""
        self.left, self.choice, self.size_hw = Left(), choice or Choice(), size_hw
        chosen = list(self._chosen(label))
        read = read_masks([document for document, _ in chosen], size_hw)
        self.left.failed += [f"mask {chosen[at][0].get('_id')}: {error}" for at, error in read.problems.items()]
        kept = [chosen[place] for place in read.places]
        self._keep(read.masks, [document for document, _ in kept], [name for _, name in kept])

    @classmethod
    def of_records(cls, records: MaskSet, documents: Sequence[Document], choice: Choice | None = None) -> ImageMasks:
        """The chosen ones of masks that are decoded, with what is said of each."""
        chosen = cls(None, records.size_hw, choice)
        rows, kept, names = [], [], []
        for row, document in enumerate(documents):
            if (name := chosen._class(document)) is not None:
                rows.append(row)
                kept.append(document)
                names.append(name)
        chosen._keep(records[rows], kept, names)
        return chosen

    def annotations(self, categories: Mapping[str, int]) -> Iterator[dict[str, Any]]:
        """COCO annotations without `id` and `image_id`."""
        return coco_annotations(self.masks, self.labels, self.documents, categories)

    def _keep(self, masks: MaskSet, documents: Sequence[Document], names: Sequence[str]) -> None:
        """Take masks that are large enough."""
        large = masks.areas_px >= max(self.choice.min_area_px, 1)
        empty = int((masks.areas_px == 0).sum())
        self.left.without_mask += empty
        self.left.below += int((~large).sum()) - empty
        self.masks = masks if large.all() else masks[large]
        self.documents = tuple(document for document, kept in zip(documents, large, strict=True) if kept)
        """Of each mask its detection."""
        self.labels = tuple(name for name, kept in zip(names, large, strict=True) if kept)
        """Of each mask its class."""

    def _chosen(self, label: Any) -> Iterator[tuple[Document, str]]:
        detections = label.get("detections") if isinstance(label, Mapping) else None
        for document in detections if isinstance(detections, list) else ():
            if not isinstance(document, Mapping):
                self.left.failed.append(f"a detection is a {type(document).__name__}")
            elif (name := self._class(document)) is None:
                continue
            elif not document.get("mask") and not document.get("mask_path"):
                self.left.without_mask += 1
            else:
                yield document, name

    def _class(self, document: Document) -> str | None:
        """The class of a detection by what is said of it; None, and counted, where it is left out."""
        left, choice = self.left, self.choice
        label, confidence = document.get("label"), document.get("confidence")
        if is_rejected(document):
            left.rejected += 1
        elif label is None or not str(label).strip():
            left.unlabelled += 1
        elif (name := choice.class_of(str(label))) is None:
            left.other_class += 1
        elif choice.min_confidence > 0 and not _at_least(confidence, choice.min_confidence):
            left.below += 1
        elif not choice.unreviewed and state_of(document, ours=choice.ours) == OPEN:
            left.unreviewed += 1
        else:
            return name
        return None


def coco_annotations(
    masks: MaskSet, labels: Sequence[str], documents: Sequence[Document], categories: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    """COCO annotations of masks without `id` and `image_id`."""
    boxes, size = masks.boxes_xywh.tolist(), list(masks.size_hw)
    for index, (document, area_px) in enumerate(zip(documents, masks.areas_px.tolist(), strict=True)):
        yield {
            "category_id": categories[labels[index]],
            "bbox": boxes[index],
            "area": area_px,
            "segmentation": {"size": size, "counts": masks.rles[index].decode()},
            "iscrowd": is_crowd(document),
            **_extra(document, area_px),
        }


def is_crowd(document: Document) -> int:
    """COCO's `iscrowd` of a detection."""
    return int(_is_true(_attribute(document, "iscrowd")))


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


def _at_least(value: Any, least: float) -> bool:
    return _is_number(value) and bool(value >= least)


def _is_number(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)


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
