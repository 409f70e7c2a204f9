"""`relabel`: another name for masks, typed or one of their proposals."""

from __future__ import annotations

from typing import Any

from fiftyone_ssa.labels import decisions
from fiftyone_ssa.labels.deciding import Decision

from ._decide import Decide, Masks


class Relabel(Decide):
    """Name the selected masks, or all that the view shows."""

    job = "relabel"
    label = "SSA: rename masks"
    description = "Give the selected masks, or all that the view shows, another name"
    icon = "edit"

    def decide(self, ctx: Any, masks: Masks, dry_run: bool) -> Decision:
        """Name them."""
        return decisions.relabel(
            masks.samples,
            masks.field,
            ids=masks.ids,
            label=ctx.params.get("label"),
            proposal=ctx.params.get("proposal"),
            sample_ids=masks.sample_ids,
            dry_run=dry_run,
        )
