"""SA-1B mask files in, the published `<stem>_semantic.json` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.json_file import plain, read_json
from fiftyone_ssa.masks import foreign, rle
from fiftyone_ssa.masks.records import mask_set_from_records, readable_records
from fiftyone_ssa.naming.part_names import nested
from fiftyone_ssa.types import Annotation, MaskSet, SemanticMap


def read_masks(path: str | Path, size_hw: tuple[int, int], *, with_names: bool = False) -> MaskSet:
    """The masks of a SA-1B style file, `{"annotations": [{"segmentation": ..., ...}]}`, for an image of `size_hw`.

    A segmentation is whatever `masks.foreign.mask_counts` reads. Every annotation's own keys are kept in `records`, and
    `with_names` its name and score are read (`masks.records`).
    Raises InputError, naming the file, if it is missing or damaged, has no annotations, or is of another image size.
    """
    return masks_of(read_json(path), str(path), size_hw, with_names=with_names)


def readable_masks(
    content: Mapping[str, Any], name: str, size_hw: tuple[int, int], *, with_names: bool = False
) -> tuple[MaskSet, tuple[str, ...]]:
    """As `masks_of`, but what is wrong with an annotation costs that one only, and is told behind the masks.

    Raises InputError as `masks_of` does where no annotation can be read.
    """
    try:
        return masks_of(content, name, size_hw, with_names=with_names), ()
    except InputError:
        if not isinstance(annotations := content.get("annotations"), list):
            raise
    try:
        good, bad = readable_records(annotations, size_hw)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    masks = masks_of({"annotations": good}, name, size_hw, with_names=with_names)
    return masks, tuple(f"{name}: {each}" for each in bad)


def masks_of(content: Mapping[str, Any], name: str, size_hw: tuple[int, int], *, with_names: bool = False) -> MaskSet:
    """The masks of such a file's content; `name` is what errors call it. Raises InputError as `read_masks` does."""
    annotations = content.get("annotations")
    if not isinstance(annotations, list):
        raise InputError(
            f'{name} has no "annotations" list; expected SA-1B form, got the keys {foreign.short(list(content))}'
        )
    try:
        return mask_set_from_records(annotations, size_hw, with_names=with_names)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def annotation_record(
    annotation: Annotation, image: Mapping[str, Any] | None = None, *, levels: bool = False
) -> dict[str, Any]:
    """What the published `<stem>_semantic.json` holds of one image, as plain JSON values without NaN.

    `{"annotations": [...], "classes": [...], "semantic_mask": {"<class id>": RLE}}` for SSA, annotations by descending
    area and the names of all classes in id order; `{"image": image, "annotations": [...]}` in the source's order for
    the engine, which has no class map. Each annotation is the source's own with `class_name` (null: no name),
    `class_proposals` (of SSA the winner alone, as published) and our scores added, and with `levels`
    where it stands among the others: its `level`, and the `id` of its `parent` and of the mask that it is
    `duplicate_of` (where ids are missing or not unique, their places in `annotations`, from 0).
    """
    masks, votes = annotation.masks, annotation.votes
    kept = None if votes is None else 1
    order = range(len(masks)) if annotation.semantic is None else masks.order_by_area()
    rows: list[dict[str, Any]] = []
    for i in map(int, order):
        row = _source_annotation(masks, i)
        row["class_name"] = annotation.labels[i]
        row["class_proposals"] = list(annotation.proposals[i].names[:kept])
        row["proposal_scores"] = list(annotation.proposals[i].scores[:kept])
        row["confidence"] = annotation.confidences[i]
        if votes is not None:
            row |= {"vote_share": votes.shares[i], "vote_margin": votes.margins[i], "vote_entropy": votes.entropies[i]}
            if votes.colourless is not None:
                row["colourless_share"] = votes.colourless[i]
            if votes.colourless_classes:
                classes = votes.colourless_classes[i]
                row |= {"colourless_classes": list(classes.names), "colourless_scores": list(classes.scores)}
        if annotation.captions:
            row["caption"] = annotation.captions[i]
        if annotation.label_sources:
            row["label_source"] = annotation.label_sources[i]
        if (name := masks.source_names[i]) is not None:
            score = masks.source_scores[i]
            row |= {"source_name": name} if _is_nan(score) else {"source_name": name, "source_score": score}
        rows.append(row)
    if levels:
        for row, told in zip(rows, _levels(annotation, list(map(int, order)), rows), strict=True):
            row |= {"level": None, "parent": None, "duplicate_of": None} | told
    record: dict[str, Any] = {} if image is None else {"image": dict(image)}
    record["annotations"] = rows
    if annotation.semantic is not None:
        record |= map_record(annotation.semantic)
    content: dict[str, Any] = plain(record)
    return content


def _levels(annotation: Annotation, order: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the records of masks in this order say of their levels."""
    ids = [row.get("id") for row in rows]
    if any(type(each) not in (int, str) for each in ids) or len(set(ids)) < len(ids):
        ids = list(range(len(rows)))
    found = nested(annotation.masks[list(order)], [annotation.labels[i] for i in order])
    return found.told(ids)


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
