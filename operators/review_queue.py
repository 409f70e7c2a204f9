"""`review_queue`: the masks to review, in order, for the panel."""

from __future__ import annotations

import dataclasses
from typing import Any

from fiftyone_ssa.curation import queue as library
from fiftyone_ssa.labels.shown import detections_fields

from ._decide import Answer, field_of, opened

DEFAULTS: dict[str, Any] = {
    "label_field": None,
    "order": "doubt",
    "states": ["open"],
    "class_name": None,
    "sample_ids": None,
    "limit": library.LIMIT,
}


class ReviewQueue(Answer):
    """List the masks of the view that are to be reviewed."""

    job = "review_queue"
    label = "SSA: masks to review"

    def execute(self, ctx: Any) -> dict[str, Any]:
        """The queue; `ids` are triples of sample id, mask id and doubt."""
        params = {**DEFAULTS, **{name: value for name, value in ctx.params.items() if name in DEFAULTS}}
        samples = opened(ctx)
        if not detections_fields(samples):
            return {"label_field": None, "fields": [], "total": 0, "open": 0, "reviewed": 0, "ids": [], "names": []}
        params["label_field"] = field_of(ctx, samples)
        found = dataclasses.asdict(library.review_queue(samples, **params))
        found["ids"] = found.pop("rows")
        return found
