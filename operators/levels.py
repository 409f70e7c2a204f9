"""`levels`: whether each mask is a whole, a part or a subpart, and of what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import counted
from fiftyone_ssa.labels import levels as library

from .forms import Form, count, field_of_masks, given, target_of
from .job import Job, Outcome, report

DEFAULTS: dict[str, Any] = {"label_field": ""}


class Levels(Job):
    """Sort the masks of the target view into wholes and parts."""

    job = "levels"
    label = "SSA: sort masks into wholes and parts"
    description = "Write level, parent and duplicate_of beside each mask's name: filter by them, show the parts of one"
    icon = "account_tree"
    patience = 20.0

    def __call__(self, sample_collection: Any, label_field: str = "ssa", *, delegate: bool = False) -> Any:
        """Run it from Python, or queue it with `delegate`."""
        return self.call(sample_collection, {"label_field": label_field}, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """The masks."""
        form = Form(inputs, ctx.params, DEFAULTS)
        samples = form.masks(ctx, description="Which lies in which says what is a part of what")
        if samples is not None and not form.wrong:
            form.note("amount", f"The masks of {counted(count(samples), 'image')} will be sorted.")

    def run(self, ctx: Any) -> Outcome:
        """Sort."""
        params, samples = given(ctx.params, DEFAULTS), target_of(ctx)
        done = library.levels(samples, params["label_field"] or field_of_masks(ctx, samples), progress=report(ctx))
        return Outcome(str(replace(done, errors={})), done.errors)
