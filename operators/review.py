"""`review`: accept masks, reject them, reopen them, or undo the last decision."""

from __future__ import annotations

from typing import Any

from fiftyone_ssa.labels import decisions
from fiftyone_ssa.labels.deciding import Decision

from ._decide import Decide, Masks

ACTIONS = (*decisions.ACTIONS, "undo")


class Review(Decide):
    """Decide about the selected masks, or all that the view shows."""

    job = "review"
    label = "SSA: review masks"
    description = "Accept, reject or reopen the selected masks, or all that the view shows; undo the last decision"
    icon = "fact_check"

    def decide(self, ctx: Any, masks: Masks, dry_run: bool) -> Decision:
        """Decide."""
        action = ctx.params.get("action") or "accept"
        if action == "undo":
            return decisions.undo(masks.samples, masks.field, ctx.params.get("token") or None)
        return decisions.review(
            masks.samples,
            action,
            masks.field,
            ids=masks.ids,
            class_name=ctx.params.get("class_name") or None,
            min_margin=ctx.params.get("min_margin"),
            sample_ids=masks.sample_ids,
            dry_run=dry_run,
        )
