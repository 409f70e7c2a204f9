"""`calibrate`: confidences that mean how often a name is right, fitted to the truth and used by later runs."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import counted
from fiftyone_ssa.exports.export_arguments import detections_fields
from fiftyone_ssa.labels import calibration, fused_weights
from fiftyone_ssa.labels.evaluation import segmentation_fields

from .evaluate import TRUTH
from .form_values import absolute_path
from .forms import Form, by_sight, check_masks_of_images, count, given, source_of_masks, target_of
from .job import Job, Outcome, from_here, report

DEFAULTS: dict[str, Any] = {"label_field": "", "gt_field": "", "preset": ""}
"""Empty: the field that is shown, the one that is called after the truth, and weights that stay as they are."""


class Calibrate(Job):
    """Fit the confidences of a field to its truth."""

    job = "calibrate"
    label = "SSA: calibrate confidences"
    description = "Fit confidences to how often names are right by the ground truth; later runs use it"
    icon = "speed"
    patience = 20.0
    if_cancelled = "nothing was stored"

    def __call__(
        self,
        sample_collection: Any,
        label_field: str = "ssa",
        gt_field: str = "ground_truth",
        preset: str = "",
        *,
        delegate: bool = False,
    ) -> Any:
        """Run it from Python, or queue it with `delegate`."""
        own = from_here(preset) if preset.endswith(".toml") else preset
        params = {"label_field": label_field, "gt_field": gt_field, "preset": own}
        return self.call(sample_collection, params, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """The labels and their truth."""
        form = Form(inputs, ctx.params, DEFAULTS)
        samples, params = form.target(ctx), form.values
        if form.refused(lambda: check_masks_of_images(samples)):
            return
        params |= _guessed(ctx, samples, params)

        def check() -> None:
            calibration.check_calibrate(samples, params["label_field"], params["gt_field"])

        form.choice(
            "label_field",
            detections_fields(samples),
            label="Labels",
            description="Nothing stored changes: SSA: name masks, with 'Redo images that are done', gives masks "
            "their new confidence",
        )
        form.choice("gt_field", _truths(samples), label="Ground truth", check=None if form.wrong else check)
        form.text(
            "preset",
            label="Fused preset",
            description="Its models look at these masks again, and its decision's weights are fitted, too. "
            "Empty: confidences only",
            check=lambda: _check_preset(params["preset"]) if params["preset"] else None,
        )
        if not form.wrong:
            form.note("amount", f"The names in {counted(count(samples), 'image')} will be compared with the truth.")

    def run(self, ctx: Any) -> Outcome:
        """Fit and store."""
        samples = target_of(ctx)
        check_masks_of_images(samples)
        params = given(ctx.params, DEFAULTS)
        params |= _guessed(ctx, samples, params)
        done = calibration.calibrate(
            samples,
            params["label_field"],
            params["gt_field"],
            preset=params["preset"] or None,
            progress=report(ctx),
        )
        return Outcome(str(done), done.errors)


def _check_preset(preset: str) -> None:
    fused_weights.check_fused(absolute_path("the preset's file", preset) if preset.endswith(".toml") else preset)


def _truths(samples: Any) -> list[str]:
    """Fields that may hold the truth, class maps first."""
    return [*segmentation_fields(samples), *detections_fields(samples)]


def _guessed(ctx: Any, samples: Any, params: dict[str, Any]) -> dict[str, str]:
    """The fields that are given; else the labels that are shown, and what is called after the truth."""
    truths = _truths(samples)
    truth = params["gt_field"] or next((name for name in truths if TRUTH.search(name.lower())), truths[0])
    shown = by_sight(ctx, samples, detections_fields(samples))
    made_of = source_of_masks(ctx, samples, ("_panoptic", "_classes"))  # no run uses the confidences of such
    shown = [made_of, *(name for name in shown if name != made_of)]
    ours = [name for name in shown if samples.has_field(f"{name}.detections.class_name")]
    return {"label_field": params["label_field"] or next((f for f in ours if f != truth), shown[0]), "gt_field": truth}
