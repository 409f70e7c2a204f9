"""SA-1B mask files in, the published `<stem>_semantic.json` out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.json_file import plain, read_json
from fiftyone_ssa.masks import foreign, rle
from fiftyone_ssa.types import COLUMNS, Annotation, MaskSet, SemanticMap


def read_masks(path: str | Path, size_hw: tuple[int, int]) -> MaskSet:
    """The masks of a SA-1B style file, `{"annotations": [{"segmentation": ..., ...}]}`, for an image of `size_hw`.

    A segmentation is whatever `masks.foreign.mask_counts` reads. Every annotation's own keys are kept in `records`.
    Raises InputError, naming the file, if it is missing or damaged, has no annotations, or is of another image size.
    """
    content = read_json(path)
    annotations = content.get("annotations")
    if not isinstance(annotations, list):
        raise InputError(
            f'{path} has no "annotations" list; expected SA-1B form, got the keys {foreign.short(list(content))}'
        )
    try:
        return _mask_set(annotations, size_hw)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


_NUMBERS = {
    "bbox": "source_boxes_xywh",
    "predicted_iou": "predicted_iou",
    "stability_score": "stability_score",
    "point_coords": "points_xy",
    "crop_box": "crop_boxes_xywh",
}
"""Keys of an annotation that hold numbers, and the MaskSet's columns for them; of `point_coords` the first point."""


def _mask_set(annotations: Sequence[Any], size_hw: tuple[int, int]) -> MaskSet:
    codes = []
    columns: dict[str, list[list[float]]] = {key: [] for key in _NUMBERS}
    for index, annotation in enumerate(annotations):
        try:
            if not isinstance(annotation, dict):
                raise InputError(f"it must be an object, got {foreign.short(annotation)}")
            codes.append(foreign.mask_counts(annotation.get("segmentation"), size_hw))
            for key, column in columns.items():
                column.append(_numbers(annotation, key))
        except InputError as error:
            raise InputError(f"annotation {index}: {error}") from error
    boxes = np.array(columns["bbox"], np.float64).reshape(-1, 4)
    found = rle.mask_set(
        size_hw,
        codes,
        predicted_iou=np.ravel(columns["predicted_iou"]),
        stability_score=np.ravel(columns["stability_score"]),
        points_xy=columns["point_coords"],
        crop_boxes_xywh=columns["crop_box"],
        source_ids=[annotation.get("id") for annotation in annotations],
        records=[{key: value for key, value in row.items() if key != "segmentation"} for row in annotations],
    )
    return dataclasses.replace(found, source_boxes_xywh=np.where(np.isnan(boxes), found.source_boxes_xywh, boxes))


def _numbers(annotation: Mapping[str, Any], key: str) -> list[float]:
    """The numbers under `key`, NaN where it is absent, null or empty."""
    value, width = annotation.get(key), COLUMNS[_NUMBERS[key]].width
    if value is None or value == []:
        return [math.nan] * width
    if width == 4:
        return foreign.box(value, key)
    return foreign.numbers(value[0] if key == "point_coords" and isinstance(value, list) else value, width, key)


def annotation_record(annotation: Annotation, image: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the published `<stem>_semantic.json` holds of one image, as plain JSON values without NaN.

    `{"annotations": [...], "classes": [...], "semantic_mask": {"<class id>": RLE}}` for SSA, annotations by descending
    area and the names of all classes in id order; `{"image": image, "annotations": [...]}` in the source's order for
    the engine, which has no class map. Each annotation is the source's own with `class_name` (null: no name),
    `class_proposals` (of SSA the winner alone, as published) and our scores added.
    """
    masks, votes = annotation.masks, annotation.votes
    kept = None if votes is None else 1
    order = range(len(masks)) if annotation.semantic is None else masks.order_by_area()
    rows = []
    for i in map(int, order):
        row = _source_annotation(masks, i)
        row["class_name"] = annotation.labels[i]
        row["class_proposals"] = list(annotation.proposals[i].names[:kept])
        row["proposal_scores"] = list(annotation.proposals[i].scores[:kept])
        row["confidence"] = annotation.confidences[i]
        if votes is not None:
            row |= {"vote_share": votes.shares[i], "vote_margin": votes.margins[i], "vote_entropy": votes.entropies[i]}
        if annotation.captions:
            row["caption"] = annotation.captions[i]
        if annotation.label_sources:
            row["label_source"] = annotation.label_sources[i]
        rows.append(row)
    record: dict[str, Any] = {} if image is None else {"image": dict(image)}
    record["annotations"] = rows
    if annotation.semantic is not None:
        record |= map_record(annotation.semantic)
    content: dict[str, Any] = plain(record)
    return content


def map_record(semantic: SemanticMap) -> dict[str, Any]:
    """`{"classes": [name, ...], "semantic_mask": {"<class id>": RLE}}`: ids never travel without their names.

    Ignored pixels are in none of the codes.
    """
    codes = {
        str(class_id): {"size": list(semantic.size_hw), "counts": counts.decode()}
        for class_id, counts in rle.class_rles(semantic.ids, semantic.ignore_id)
    }
    return {"classes": list(semantic.names), "semantic_mask": codes}


def _source_annotation(masks: MaskSet, i: int) -> dict[str, Any]:
    """Mask i as its source had it; one that SAM just made gets the keys of SA-1B."""
    segmentation = {"size": list(masks.size_hw), "counts": masks.rles[i].decode()}
    if masks.records[i]:
        return {**masks.records[i], "segmentation": segmentation}
    made = {
        "bbox": masks.source_boxes_xywh[i],
        "area": masks.areas_px[i],
        "segmentation": segmentation,
        "predicted_iou": masks.predicted_iou[i],
        "point_coords": masks.points_xy[i : i + 1],
        "crop_box": masks.crop_boxes_xywh[i],
        "id": masks.source_ids[i],
        "stability_score": masks.stability_score[i],
    }
    unknown = [key for key, value in made.items() if value is None or _is_nan(value)]
    return {key: value for key, value in made.items() if key not in unknown}


def _is_nan(value: Any) -> bool:
    return isinstance(value, float | np.ndarray) and bool(np.isnan(value).any())
