"""An image's annotation as the rows of `rows.MASKS`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from fiftyone_ssa.naming.part_names import nested
from fiftyone_ssa.scale.rows import mask_schema
from fiftyone_ssa.types import Annotation, Floats, Ints


def mask_rows(annotation: Annotation, **of_all: str) -> pa.RecordBatch:
    """The masks of one image, sorted by `mask_id`; `of_all` are the columns that they share.

    `level` and `parent` follow from which mask lies in which (docs/parts.md).
    """
    masks, names = annotation.masks, annotation.labels
    count, ids = len(masks), _ids(masks.source_ids)
    found = nested(masks, names)
    proposals = annotation.proposals
    columns: dict[str, Any] = {name: [value] * count for name, value in of_all.items()}
    columns |= {name: masks.boxes_xywh[:, place] for place, name in enumerate("xywh")}
    columns |= {
        "mask_id": ids,
        "height": np.full(count, masks.size_hw[0]),
        "width": np.full(count, masks.size_hw[1]),
        "area": masks.areas_px,
        "rle": masks.rles,
        "label": names,
        "proposals": [list(each.names) for each in proposals],
        "proposal_scores": [list(map(float, each.scores)) for each in proposals],
        "confidence": _nullable(annotation.confidences),
        "margin": _nullable(_margins(annotation)),
        "source": annotation.label_sources or [None] * count,
        "caption": annotation.captions or [None] * count,
        "level": [found.level(index) for index in range(count)],
        "parent": [int(ids[parent]) if parent >= 0 else None for parent in found.parents],
    }
    embeddings = annotation.embeddings
    schema = mask_schema(None if embeddings is None else embeddings.shape[1])
    if embeddings is not None:
        columns["embedding"] = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), embeddings.shape[1])
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema).take(pa.array(np.argsort(ids, kind="stable")))


def _ids(source_ids: Sequence[Any]) -> Ints:
    """The source's ids where they are whole numbers and no two are equal, else each mask's place."""
    given = [each for each in source_ids if type(each) is int and abs(each) < 2**63]
    unique = len(set(given)) == len(source_ids)
    return np.array(given if unique else range(len(source_ids)), np.int64)


def _margins(annotation: Annotation) -> Floats:
    """How far each name was ahead of the next: of the votes, or of the proposals' scores; NaN where unknown."""
    if annotation.votes is not None:
        return annotation.votes.margins
    scores = [each.scores for each in annotation.proposals]
    return np.array([each[0] - each[1] if len(each) > 1 else np.nan for each in scores], np.float64)


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values, from_pandas=True)  # NaN as null
