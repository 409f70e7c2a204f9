"""Label Studio's ML-backend protocol: a project's labelling configuration and tasks in, predictions out.

A mask whose name is one of the project's labels becomes a region: brush, polygon or rectangle, whichever tag the
configuration has. An engine is offered those labels as its vocabulary.
"""

from __future__ import annotations

import math
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.masks import brush_rle, rle
from fiftyone_ssa.masks.polygons import edge_rings
from fiftyone_ssa.types import Annotation, MaskSet

TAGS = {"BrushLabels": "brushlabels", "PolygonLabels": "polygonlabels", "RectangleLabels": "rectanglelabels"}
"""Tags whose regions we make, the most exact first."""
LONGEST_CONFIG = 200_000
EXPECTED = 'expected one like <View><Image name="image" value="$image"/><BrushLabels name="label" toName="image">...'


@dataclass(frozen=True)
class Config:
    """What a project asks for."""

    kind: str
    """`brushlabels`, `polygonlabels` or `rectanglelabels`."""
    from_name: str
    to_name: str
    key: str
    """Under which a task's data has the picture."""
    labels: Mapping[str, str]
    """The project's labels by their lower-case form and that of their aliases."""

    @property
    def names(self) -> tuple[str, ...]:
        """The labels, each once."""
        return tuple(dict.fromkeys(self.labels.values()))


def read_config(text: Any) -> Config:
    """A labelling configuration. Raises InputError if it is none, or has no picture or no tag of `TAGS`."""
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"there is no labelling configuration; {EXPECTED}")
    if len(text) > LONGEST_CONFIG or "<!" in text.replace("<!--", ""):
        raise InputError("the labelling configuration is too long, or declares entities, which are not read")
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise InputError(f"the labelling configuration is no XML: {error}; {EXPECTED}") from error
    images = {tag.get("name"): tag.get("value", "").lstrip("$") for tag in root.iter("Image")}
    for name, kind in TAGS.items():
        for tag in root.iter(name):
            from_name, to_name = tag.get("name"), tag.get("toName")
            if from_name and to_name and images.get(to_name):
                return Config(kind, from_name, to_name, images[to_name], _labels(tag))
    raise InputError(f"the labelling configuration has no Image with {', '.join(TAGS)}; {EXPECTED}")


def _labels(tag: ET.Element) -> dict[str, str]:
    labels: dict[str, str] = {}
    for label in tag.iter("Label"):
        value = (label.get("value") or "").strip()
        for name in (value, label.get("alias") or "", *(label.get("hint") or "").split(",")):
            if value and name.strip():
                labels.setdefault(" ".join(name.split()).lower(), value)
    return labels


def prediction(annotation: Annotation, config: Config, version: str) -> dict[str, Any]:
    """One task's prediction: a region for each mask whose name the project knows, as sure as its name on average."""
    regions = []
    for i in map(int, annotation.masks.order_by_area()):
        label = config.labels.get(str(annotation.labels[i] or "").lower())
        if label is not None and annotation.masks.areas_px[i] > 0:
            regions += [
                _region(annotation, i, config, label, shape) for shape in _shapes(annotation.masks, i, config.kind)
            ]
    scores = [region["score"] for region in regions]
    return {"result": regions, "score": sum(scores) / len(scores) if scores else 0.0, "model_version": version}


def failed(reason: str, version: str) -> dict[str, Any]:
    """The prediction of a task that could not be done: no regions, and why."""
    return {"result": [], "score": 0.0, "model_version": version, "error": reason}


def _region(annotation: Annotation, i: int, config: Config, label: str, shape: dict[str, Any]) -> dict[str, Any]:
    height, width = annotation.masks.size_hw
    confidence = float(annotation.confidences[i])
    proposals = annotation.proposals[i]
    said = ", ".join(f"{name} {score:.2f}" for name, score in zip(proposals.names, proposals.scores, strict=True))
    return {
        "id": uuid.uuid4().hex[:10],
        "type": config.kind,
        "from_name": config.from_name,
        "to_name": config.to_name,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {**shape, config.kind: [label]},
        "score": 0.0 if math.isnan(confidence) else confidence,
        "meta": {"text": [said]},
    }


def _shapes(masks: MaskSet, i: int, kind: str) -> list[dict[str, Any]]:
    """A mask as values of regions: one, but of polygons, which hold no islands and no holes, one for each island."""
    height, width = masks.size_hw
    crop, corner_xy = rle.box_crop(masks.rles[i], masks.size_hw)
    if kind == "brushlabels":
        return [{"format": "rle", "rle": brush_rle.encode(crop, corner_xy, masks.size_hw)}]
    x, y, w, h = (int(value) for value in masks.boxes_xywh[i])
    if kind == "rectanglelabels":
        box = {"x": x / width, "y": y / height, "width": w / width, "height": h / height}
        return [{name: 100 * share for name, share in box.items()} | {"rotation": 0}]
    return [
        {"points": (100 * ring.corners_xy / (width, height)).tolist(), "closed": True}
        for ring in edge_rings(crop, corner_xy)
        if not ring.is_hole
    ]


def task_picture(task: Any, key: str) -> str:
    """Where a task's picture is. Raises InputError if it says nowhere."""
    data = task.get("data") if isinstance(task, Mapping) else None
    found = data.get(key) if isinstance(data, Mapping) else None
    if not isinstance(found, str) or not found:
        raise InputError(f"a task must have its picture's address under data.{key}, got {shown(task)}")
    return found
