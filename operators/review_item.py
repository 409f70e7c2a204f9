"""`review_item`: what there is to see of a few masks, for the panel."""

from __future__ import annotations

from typing import Any

from fiftyone_ssa.curation.queue import review_items

from ._decide import Answer, field_of, opened_dataset


class ReviewItem(Answer):
    """Show a few masks."""

    job = "review_item"
    label = "SSA: a mask to review"

    def execute(self, ctx: Any) -> dict[str, Any]:
        """The masks that are still there, in order."""
        samples = opened_dataset(ctx)
        return {"items": review_items(samples, field_of(ctx, samples), ctx.params.get("items") or [])}
