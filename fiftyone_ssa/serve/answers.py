"""What a picture's annotation is answered as: the published JSON, or COCO."""

from __future__ import annotations

from typing import Any, Literal

from fiftyone_ssa.files.json_file import plain
from fiftyone_ssa.folders.sa1b_json import annotation_record
from fiftyone_ssa.types import Annotation

Format = Literal["ssa", "coco", "both"]
FORMATS: tuple[Format, ...] = ("ssa", "coco", "both")


def answer(annotation: Annotation, file_name: str, form: Format) -> dict[str, Any]:
    """The JSON of one picture; of `both`, `{"ssa": ..., "coco": ...}`."""
    if form == "both":
        return {"ssa": answer(annotation, file_name, "ssa"), "coco": answer(annotation, file_name, "coco")}
    return coco(annotation, file_name) if form == "coco" else ssa(annotation, file_name)


def ssa(annotation: Annotation, file_name: str) -> dict[str, Any]:
    """What `fiftyone-ssa annotate` writes of it, without its stamp: the engine's has an `image`, as published."""
    height, width = annotation.masks.size_hw
    image = {"width": width, "height": height, "file_name": file_name} if annotation.semantic is None else None
    return annotation_record(annotation, image)


def coco(annotation: Annotation, file_name: str) -> dict[str, Any]:
    """A COCO data set of one picture; masks that are empty or have no name are left out.

    Category ids are the classes' places in the segmenter's list from 1; of the engine, which has no list, those of the
    picture's own names in alphabetical order.
    """
    masks = annotation.masks
    height, width = masks.size_hw
    named = [i for i, label in enumerate(annotation.labels) if label is not None and masks.areas_px[i] > 0]
    names = annotation.semantic.names if annotation.semantic else sorted({str(annotation.labels[i]) for i in named})
    ids = {name: number for number, name in reversed(list(enumerate(names, 1)))}
    annotations = [
        {
            "id": number,
            "image_id": 1,
            "category_id": ids[str(annotation.labels[i])],
            "bbox": masks.boxes_xywh[i],
            "area": masks.areas_px[i],
            "segmentation": {"size": list(masks.size_hw), "counts": masks.rles[i].decode()},
            "iscrowd": 0,
            "score": annotation.confidences[i],
            "class_proposals": annotation.proposals[i].names,
            "proposal_scores": annotation.proposals[i].scores,
        }
        for number, i in enumerate(named, 1)
    ]
    content: dict[str, Any] = plain(
        {
            "images": [{"id": 1, "file_name": file_name, "width": width, "height": height}],
            "annotations": annotations,
            "categories": [{"id": number, "name": name} for number, name in enumerate(names, 1)],
        }
    )
    return content
