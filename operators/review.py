"""`review`: accept masks, reject them, reopen them, or undo the last decision."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.curation import decisions
from fiftyone_ssa.curation.deciding import Decision
from fiftyone_ssa.curation.queue import names_of
from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.labels.shown import check_masks

from ._decide import Decide, Masks
from .forms import Card, Form, given

ACTIONS = (*decisions.ACTIONS, "undo")
ABOUT = {
    "accept": "The name is right; later runs keep it. Of a whole view, only open masks are accepted",
    "reject": "The mask is wrong: it is painted nowhere and exported nowhere",
    "reopen": "Take a review back: the name that SSA gave, to be reviewed again",
    "undo": "Take the last decision back, whatever is selected",
}
DEFAULTS: dict[str, Any] = {"action": "accept", "class_name": None, "min_margin": None}


class Review(Decide):
    """Decide about the selected masks, or all that the view shows."""

    job = "review"
    label = "SSA: review masks"
    description = "Accept, reject or reopen the selected masks, or all that the view shows; undo the last decision"
    icon = "fact_check"

    def form(self, ctx: Any, inputs: types.Object, masks: Masks) -> None:
        """What to do, and with which class and margin."""
        check_masks(masks.samples, masks.field)
        form = Form(inputs, ctx.params, DEFAULTS)
        form.choice("action", [Card(name, name, ABOUT[name]) for name in ACTIONS], label="Action", cards=True)
        if form.values["action"] != "undo":
            names = types.AutocompleteView()
            for name in names_of(masks.samples, masks.field):
                names.add_choice(name, label=name)
            inputs.str("class_name", label="Only of class", description="Empty: all", view=names)
            inputs.float(
                "min_margin",
                label="Only above margin",
                description="How far a name was ahead of the next one, from 0 to 1; empty: all",
            )

    def decide(self, ctx: Any, masks: Masks, dry_run: bool) -> Decision:
        """Decide."""
        params = given(ctx.params, DEFAULTS)
        action = params["action"]
        if action not in ACTIONS:
            raise InputError(f"action must be one of {', '.join(ACTIONS)}, got {shown(action)}")
        if action == "undo":
            return decisions.undo(masks.samples, masks.field, ctx.params.get("token") or None, dry_run=dry_run)
        return decisions.review(
            masks.samples,
            action,
            masks.field,
            class_name=params["class_name"],
            min_margin=params["min_margin"],
            **masks.ids,
            dry_run=dry_run,
        )
