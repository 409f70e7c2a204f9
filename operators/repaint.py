"""`repaint`: class maps painted anew from the labels as people left them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import counted
from fiftyone_ssa.labels import repaint as library
from fiftyone_ssa.presets import load_preset, preset_names

from .forms import Form, by_sight, count, given, masks_fields, target_of
from .job import Job, Outcome, report

DEFAULTS: dict[str, Any] = {"label_field": "", "preset": "", "device": "auto"}


class Repaint(Job):
    """Paint the class maps of the target view."""

    job = "repaint"
    label = "SSA: repaint class maps"
    description = "Paint <field>_semantic anew from the labels as they stand, so that corrections reach mIoU"
    icon = "format_paint"
    patience = 20.0

    def __call__(
        self,
        sample_collection: Any,
        label_field: str = "ssa",
        *,
        preset: str | None = None,
        device: str = "auto",
        delegate: bool = False,
    ) -> Any:
        """Run it from Python, or queue it with `delegate`."""
        return self.call(sample_collection, {"label_field": label_field, "preset": preset, "device": device}, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """The labels, and what the maps begin with."""
        form = Form(inputs, ctx.params, DEFAULTS)
        params = form.values
        samples = form.masks(
            ctx,
            label="Labels",
            description="Rejected masks are not painted; a name that is no class yet becomes one",
            usual=_usual_field,
            check=lambda found: library.check_repaint(found, params["label_field"], needs_maps=not params["preset"]),
        )
        if samples is None:
            return
        form.choice(
            "preset",
            [name for name in preset_names() if load_preset(name).pipeline == "ssa"],
            label="Segmenter",
            description="The preset whose segmenter makes the maps to begin with; empty: <field>_branch, or the maps "
            "as they are",
        )
        if params["preset"] or params["device"] != DEFAULTS["device"]:
            form.device()
        if not form.wrong:
            form.note("amount", f"The class maps of {counted(count(samples), 'image')} will be painted.")

    def run(self, ctx: Any) -> Outcome:
        """Paint."""
        params, samples = given(ctx.params, DEFAULTS), target_of(ctx)
        done = library.repaint(
            samples,
            params["label_field"] or _usual_field(ctx, samples),
            preset=params["preset"] or None,
            device=params["device"],
            progress=report(ctx),
        )
        return Outcome(str(replace(done, errors={})), done.errors)


def _usual_field(ctx: Any, samples: Any) -> str:
    """The field that is filtered or shown among those with class maps, else any that is."""
    fields = by_sight(ctx, samples, masks_fields(samples))
    painted = [name for name in fields if samples.has_sample_field(f"{name}_semantic")]
    return (painted or fields)[0]
