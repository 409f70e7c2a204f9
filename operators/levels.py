"""`levels`: whether each mask is a whole, a part or a subpart, and of what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.labels import levels as library
from fiftyone_ssa.labels.database import check_whole_images
from fiftyone_ssa.labels.shown import detections_fields

from .forms import Form, by_sight, count, given, target_of
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
        samples = form.target(ctx)
        fields = detections_fields(samples)
        if form.refused(lambda: check_masks_of_images(samples, fields)):
            return
        form.values["label_field"] = form.values["label_field"] or by_sight(ctx, samples, fields)[0]
        form.choice("label_field", fields, label="Masks", description="Which lies in which says what is a part of what")
        if not form.wrong:
            form.note("amount", f"The masks of {counted(count(samples), 'image')} will be sorted.")

    def run(self, ctx: Any) -> Outcome:
        """Sort."""
        params, samples = given(ctx.params, DEFAULTS), target_of(ctx)
        field = params["label_field"] or by_sight(ctx, samples, detections_fields(samples))[0]
        done = library.levels(samples, field, progress=report(ctx))
        return Outcome(str(replace(done, errors={})), done.errors)


def check_masks_of_images(samples: Any, fields: Any) -> None:
    """Raise InputError where there is nothing to sort or resolve."""
    check_whole_images(samples, "this")
    if not fields:
        raise InputError("no field of this dataset holds masks; annotate first")
