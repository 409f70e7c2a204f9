"""SA-1B mask files in, the published `<stem>_semantic.json` out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.json_file import plain, read_json
from fiftyone_ssa.masks import rle
from fiftyone_ssa.types import Annotation, MaskSet, SemanticMap


def read_masks(path: str | Path, size_hw: tuple[int, int]) -> MaskSet:
    """The masks of a SA-1B style file, `{"annotations": [{"segmentation": ..., ...}]}`, for an image of `size_hw`.

    A segmentation is a COCO RLE, compressed or not, or polygons. Every annotation's own keys are kept in `records`.
    Raises InputError, naming the file, if it is missing or damaged, has no annotations, or is of another image size.
    """
    content = read_json(path)
    annotations = content.get("annotations")
    if not isinstance(annotations, list):
        raise InputError(f'{path} has no "annotations" list; expected SA-1B form, got the keys {sorted(content)}')
    try:
        return _mask_set(annotations, size_hw)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _mask_set(annotations: Sequence[Any], size_hw: tuple[int, int]) -> MaskSet:
    codes = [_counts(annotation, index, size_hw) for index, annotation in enumerate(annotations)]

    def column(key: str, width: int) -> npt.NDArray[np.float64]:
        rows = [_numbers(annotation, index, key, width) for index, annotation in enumerate(annotations)]
        return np.array(rows, np.float64).reshape((len(rows),) if width == 1 else (len(rows), width))

    found = rle.mask_set(
        size_hw,
        codes,
        predicted_iou=column("predicted_iou", 1),
        stability_score=column("stability_score", 1),
        points_xy=column("point_coords", 2),
        crop_boxes_xywh=column("crop_box", 4),
        source_ids=[annotation.get("id") for annotation in annotations],
        records=[{key: value for key, value in row.items() if key != "segmentation"} for row in annotations],
    )
    boxes = column("bbox", 4)
    return dataclasses.replace(found, source_boxes_xywh=np.where(np.isnan(boxes), found.source_boxes_xywh, boxes))


def _counts(annotation: Any, index: int, size_hw: tuple[int, int]) -> bytes | str:
    segmentation = annotation.get("segmentation") if isinstance(annotation, dict) else None
    if isinstance(segmentation, list):
        return _polygon_counts(segmentation, index, size_hw)
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise InputError(f'annotation {index} has no "segmentation" with "size" and "counts"')
    size, counts = segmentation["size"], segmentation["counts"]
    if size != list(size_hw):
        raise InputError(
            f"annotation {index} is a mask of size {size} but the image is {list(size_hw)} (height, width); "
            "the mask file is not of this image"
        )
    if isinstance(counts, str):
        return counts
    if not isinstance(counts, list) or not all(type(run) is int and 0 <= run <= math.prod(size_hw) for run in counts):
        raise InputError(f"annotation {index}: counts must be a string or a list of run lengths from 0 to the pixels")
    return rle.counts_from_runs(np.array(counts, np.int64))


def _polygon_counts(polygons: list[Any], index: int, size_hw: tuple[int, int]) -> bytes:
    from pycocotools import mask as coco

    numbers = [n for ring in polygons for n in (ring if isinstance(ring, list) else [None])]
    if not numbers or not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
        raise InputError(f"annotation {index}: polygons must be lists of finite numbers [x1, y1, x2, y2, ...]")
    if any(len(ring) < 6 or len(ring) % 2 for ring in polygons):
        raise InputError(f"annotation {index}: a polygon needs at least three points, as [x1, y1, x2, y2, ...]")
    counts: bytes = coco.merge(coco.frPyObjects(polygons, *size_hw))["counts"]
    return counts


def _numbers(annotation: Mapping[str, Any], index: int, key: str, width: int) -> list[float]:
    """`width` numbers under `key`, NaN where it is absent or null; of `point_coords` the first point."""
    value = annotation.get(key)
    if value is None or value == []:
        return [math.nan] * width
    if key == "point_coords" and isinstance(value, list):
        value = value[0]
    values = value if isinstance(value, list) else [value]
    if len(values) != width or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise InputError(f"annotation {index}: {key} must be {width} number(s), got {value!r}")
    return [float(v) for v in values]


def annotation_record(annotation: Annotation, image: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the published `<stem>_semantic.json` holds of one image, as plain JSON values without NaN.

    `{"annotations": [...], "classes": [...], "semantic_mask": {"<class id>": RLE}}` for SSA, annotations by descending
    area and the names of all classes in id order; `{"image": image, "annotations": [...]}` in the source's order for
    the engine, which has no class map. Each annotation is the source's own with `class_name` (null: no name),
    `class_proposals` and our scores added.
    """
    masks, votes = annotation.masks, annotation.votes
    order = range(len(masks)) if annotation.semantic is None else masks.order_by_area()
    rows = []
    for i in map(int, order):
        row = _source_annotation(masks, i)
        row["class_name"] = annotation.labels[i]
        row["class_proposals"] = list(annotation.proposals[i].names)
        row["proposal_scores"] = list(annotation.proposals[i].scores)
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
