"""`relabel`: another name for masks, typed or one of their proposals."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.curation import decisions
from fiftyone_ssa.curation.deciding import Decision
from fiftyone_ssa.curation.queue import names_of
from fiftyone_ssa.labels.shown import check_masks

from ._decide import Decide, Masks


class Relabel(Decide):
    """Name the selected masks, or all that the view shows."""

    job = "relabel"
    label = "SSA: name masks by hand"
    description = "Give the selected masks, or all that the view shows, another name"
    icon = "edit"
    asks = ("label", "proposal")

    def form(self, ctx: Any, inputs: types.Object, masks: Masks) -> None:
        """A name, or which proposal."""
        check_masks(masks.samples, masks.field)
        names = types.AutocompleteView()
        for name in names_of(masks.samples, masks.field):
            names.add_choice(name, label=name)
        inputs.str("label", label="Name", description="A known name, or a new one", view=names)
        inputs.int("proposal", label="Or proposal", description="1 takes the first of each mask's own proposals", min=1)

    def decide(self, ctx: Any, masks: Masks, dry_run: bool) -> Decision:
        """Name them."""
        return decisions.relabel(
            masks.samples,
            masks.field,
            label=ctx.params.get("label"),
            proposal=ctx.params.get("proposal"),
            **masks.ids,
            dry_run=dry_run,
        )
