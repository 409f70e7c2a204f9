"""`panoptic`: overlapping masks resolved, one segment a pixel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import counted
from fiftyone_ssa.labels import panoptic as library
from fiftyone_ssa.layouts.ontology import Ontology
from fiftyone_ssa.masks.containment import LEVELS, WHOLE

from .forms import Form, count, field_of_masks, given, target_of
from .job import Job, Outcome, report

DEFAULTS: dict[str, Any] = {"label_field": "", "ontology": "", "level": WHOLE, "overwrite": False}


class Panoptic(Job):
    """Resolve the masks of the target view."""

    job = "panoptic"
    label = "SSA: make panoptic maps"
    description = "Resolve overlapping masks, so that every pixel has one segment: <field>_panoptic"
    icon = "layers"
    patience = 20.0

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
        samples = form.masks(ctx)
        if samples is None:
            return
        file = form.values["ontology"]
        form.text(
            "ontology",
            label="Ontology",
            description="A TOML file on the machine that runs this; empty: every name is a class",
            check=(lambda: Ontology.load(Path(file))) if file else None,
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
            params["label_field"] or field_of_masks(ctx, samples),
            ontology=params["ontology"] or None,
            level=params["level"],
            overwrite=params["overwrite"],
            progress=report(ctx),
        )
        return Outcome(str(replace(done, errors={})), done.errors)
