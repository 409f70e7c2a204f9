"""Detections as records of the published JSON and back: SA-1B's annotations with our names and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fiftyone_ssa.exports.image_masks import NOT_VALUES, Document, json_value
from fiftyone_ssa.labels.stored_masks import COLOURLESS, mask_columns, stored_proposals
from fiftyone_ssa.masks.foreign import number_or_nan
from fiftyone_ssa.masks.records import mask_set_from_records
from fiftyone_ssa.types import Annotation, MaskSet, Votes

_SAME = (
    *("confidence", "class_proposals", "proposal_scores", "vote_share", "vote_margin", "vote_entropy"),
    *("colourless_share", "colourless_classes", "colourless_scores"),
    *("caption", "label_source", "source_name", "source_score"),
    *("predicted_iou", "stability_score", "crop_box"),
)
"""Keys that a record and a detection have in common."""
_KEYS = ("segmentation", "bbox", "area", "id", "point_coords", "class_name")
_HELD = frozenset((*_SAME, "sa1b_id", "point", "source_box", "label", "class_name", "area", *NOT_VALUES))
"""Keys of a detection that a record holds under a name of its own, or that mean nothing outside its dataset."""


def record_documents(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What records say of their masks, by the names of detections' attributes."""
    documents = []
    for index, record in enumerate(records):
        document = {key: value for key, value in record.items() if key not in _KEYS and value is not None}
        name, points, identity = record.get("class_name"), record.get("point_coords"), record.get("id")
        document |= {"_id": identity if identity is not None else index, "label": name, "class_name": name}
        if type(identity) is int:
            document["sa1b_id"] = identity
        if isinstance(points, list) and points:
            document["point"] = points[0]
        if isinstance(record.get("bbox"), list):
            document["source_box"] = record["bbox"]
        documents.append(document)
    return documents


def extra_values(document: Document) -> dict[str, Any]:
    """A detection's values that no key of SA-1B's or ours holds, as JSON."""
    return {key: json_value(value) for key, value in document.items() if key not in _HELD and value not in (None, [])}


def read_records(records: Sequence[Any], size_hw: tuple[int, int]) -> tuple[MaskSet, list[dict[str, Any]]]:
    """The masks of records and what is said of each. Raises InputError, with its index, if one is damaged."""
    masks = mask_set_from_records(records, size_hw)
    return masks, record_documents(masks.records)


def annotation_of(masks: MaskSet, labels: Sequence[str], documents: Sequence[Document]) -> Annotation:
    """Detections as the annotation that they were made of, as far as they keep it."""
    proposals = tuple(map(stored_proposals, documents))
    votes = None
    if any("vote_share" in document for document in documents):
        shares, margins, entropies = (_column(documents, f"vote_{what}") for what in ("share", "margin", "entropy"))
        colourless = _column(documents, "colourless_share")
        checked = None if np.isnan(colourless).all() else colourless
        classes = tuple(stored_proposals(document, *COLOURLESS) for document in documents)
        classes = classes if any(some.names for some in classes) else ()
        votes = Votes(np.full(len(masks), -1), shares, margins, entropies, checked, classes)
    captions, sources = (_texts(documents, name) for name in ("caption", "label_source"))
    return Annotation(
        masks=replace(masks, **mask_columns(masks, documents)),
        labels=tuple(labels),
        confidences=_column(documents, "confidence"),
        proposals=proposals,
        votes=votes,
        captions=captions,  # type: ignore[arg-type]  # None where a mask has none, and null in JSON
        label_sources=sources,
    )


def _column(documents: Sequence[Document], name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([number_or_nan(document.get(name)) for document in documents], np.float64)


def _texts(documents: Sequence[Document], name: str) -> tuple[str | None, ...]:
    values = tuple(document.get(name) for document in documents)
    return values if any(values) else ()
