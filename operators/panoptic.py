"""`panoptic`: overlapping masks resolved, one segment a pixel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import counted
from fiftyone_ssa.labels import panoptic as library
from fiftyone_ssa.layouts.ontology import Ontology
from fiftyone_ssa.masks.containment import LEVELS, WHOLE

from .form_values import absolute_path
from .forms import Form, count, given, source_of_masks, target_of
from .job import Job, Outcome, report

SEGMENTS = "_panoptic"
DEFAULTS: dict[str, Any] = {"label_field": "", "ontology": "", "level": WHOLE, "overwrite": False}


class Panoptic(Job):
    """Resolve the masks of the target view."""

    job = "panoptic"
    label = "SSA: make panoptic maps"
    description = "Resolve overlapping masks, so that every pixel has one segment: <field>_panoptic"
    icon = "layers"
    patience = 20.0
    paths = ("ontology",)

    def __call__(
        self,
        sample_collection: Any,
        label_field: str = "ssa",
        *,
        ontology: str | None = None,
        level: str = WHOLE,
        overwrite: bool = False,
        delegate: bool = False,
    ) -> Any:
        """Run it from Python, or queue it with `delegate`."""
        params = {"label_field": label_field, "ontology": ontology, "level": level, "overwrite": overwrite}
        return self.call(sample_collection, params, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """The masks, the classes, and how fine the segments are."""
        form = Form(inputs, ctx.params, DEFAULTS)
        samples = form.masks(ctx, usual=_usual_field)
        if samples is None:
            return
        form.file(
            "ontology",
            label="Ontology",
            description="The absolute path of a TOML file on the machine of the job; empty: every name is a class",
            check=Ontology.load,
        )
        form.choice("level", LEVELS, label="Segments", description="The finest masks that are segments of their own")
        form.switch(
            "overwrite",
            label="Also segments that people changed",
            description="Images whose segments were renamed, reviewed or redrawn stay as they are otherwise",
        )
        if not form.wrong:
            form.note("amount", f"Maps of {counted(count(samples), 'image')} will be made.")

    def run(self, ctx: Any) -> Outcome:
        """Resolve."""
        params, samples = given(ctx.params, DEFAULTS), target_of(ctx)
        done = library.panoptic(
            samples,
            params["label_field"] or _usual_field(ctx, samples),
            ontology=absolute_path("ontology", params["ontology"]) if params["ontology"] else None,
            level=params["level"],
            overwrite=params["overwrite"],
            progress=report(ctx),
        )
        return Outcome(str(replace(done, errors={})), done.errors)

    def new_field(self, ctx: Any) -> str:
        """The segments."""
        return f"{given(ctx.params, DEFAULTS)['label_field'] or _usual_field(ctx, target_of(ctx))}{SEGMENTS}"


def _usual_field(ctx: Any, samples: Any) -> str:
    """The field that one means: not the segments that were made of it."""
    return source_of_masks(ctx, samples, (SEGMENTS,))
