"""`repaint`: class maps painted anew from the labels as people left them."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.exports.coco_arguments import detections_fields
from fiftyone_ssa.labels import repaint as library
from fiftyone_ssa.presets import load_preset, preset_names

from .forms import choice, problem
from .job import Job, Outcome, report

DEFAULTS: dict[str, Any] = {"label_field": "ssa", "preset": None, "device": "auto"}


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
        samples, params = ctx.target_view(), {**DEFAULTS, **ctx.params}
        fields, needs_maps = detections_fields(samples), not params["preset"]
        choice(
            inputs,
            "label_field",
            fields,
            default=DEFAULTS["label_field"] if DEFAULTS["label_field"] in fields else None,
            label="Labels",
            description="Rejected masks are not painted; a name that is no class yet becomes one",
            **problem(lambda: library.check_repaint(samples, params["label_field"], needs_maps=needs_maps)),
        )
        choice(
            inputs,
            "preset",
            [name for name in preset_names() if load_preset(name).pipeline == "ssa"],
            label="Segmenter",
            description="The preset whose segmenter makes the maps to begin with; empty: <field>_branch, or the maps "
            "as they are",
        )
        if params["preset"]:
            inputs.str("device", default=DEFAULTS["device"], label="Device", description="auto, cpu, cuda or cuda:N")

    def run(self, ctx: Any) -> Outcome:
        """Paint."""
        params = {**DEFAULTS, **ctx.params}
        done = library.repaint(
            ctx.target_view(),
            params["label_field"],
            preset=params["preset"] or None,
            device=params["device"],
            progress=report(ctx),
        )
        return Outcome(str(done), done.errors)
