"""Whether a class map still shows the labels that it was painted from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import fiftyone as fo
from bson import ObjectId

from fiftyone_ssa.labels.database import Document, samples_of
from fiftyone_ssa.labels.fields import Fields
from fiftyone_ssa.labels.review import paintable, painted_digest

READ_SAMPLES = 64


def painted_now(label: Document | None) -> str:
    """What `painted_from` of a map would be that is painted from a Detections label as it stands."""
    return painted_digest(paintable((label or {}).get("detections") or ()))


def outdated_maps(dataset: fo.Dataset, map_field: str, sample_ids: Sequence[str]) -> list[str]:
    """The ids of samples whose labels changed after their map in `map_field` was painted, as far as that is known."""
    label_field = map_field.removesuffix("_semantic")
    fields = Fields(label_field)
    if map_field != fields.semantic or label_field not in dataset.get_field_schema(embedded_doc_type=fo.Detections):
        return []
    shown = {label_field: 1, f"{map_field}.painted_from": 1}
    outdated, remaining = [], iter(sample_ids)
    while chunk := list(islice(remaining, READ_SAMPLES)):
        where = {"_id": {"$in": list(map(ObjectId, chunk))}, f"{map_field}.painted_from": {"$type": "string"}}
        for document in samples_of(dataset).find(where, shown):
            if painted_now(document.get(label_field)) != document[map_field]["painted_from"]:
                outdated.append(str(document["_id"]))
    return outdated
