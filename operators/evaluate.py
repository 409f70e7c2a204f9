"""`evaluate`: mIoU of a Segmentation field, stored under a key and shown in the App's evaluation panel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.labels import evaluation
from fiftyone_ssa.labels.database import check_whole_images
from fiftyone_ssa.labels.eval_keys import check_eval_key
from fiftyone_ssa.naming.arguments import LARGEST_WORKERS

from .forms import Form, by_sight, count, given, target_of
from .job import Job, Outcome, report

DEFAULTS: dict[str, Any] = {
    "pred_field": "",
    "gt_field": "",
    "eval_key": "ssa_eval",
    "only_annotated": False,
    "workers": 1,
}
"""Empty: the field that is shown, and the one that is called after the truth."""
TRUTH = re.compile(r"truth|ground|(^|_)gt(_|$)|annotation")


class Evaluate(Job):
    """Compare two Segmentation fields."""

    job = "evaluate"
    label = "SSA: evaluate a class map (mIoU)"
    description = "mIoU and IoU of every class against the ground truth; a missing prediction counts as a miss"
    icon = "leaderboard"
    named_by = ("pred_field", "ssa_semantic")
    patience = 20.0
    if_cancelled = "nothing was stored"

    def __call__(
        self,
        sample_collection: Any,
        pred_field: str,
        gt_field: str = "ground_truth",
        *,
        eval_key: str = "ssa_eval",
        only_annotated: bool = False,
        delegate: bool = False,
    ) -> Any:
        """Run it from Python, or queue it with `delegate`."""
        fields = {"pred_field": pred_field, "gt_field": gt_field}
        params = {**fields, "eval_key": eval_key, "only_annotated": only_annotated}
        return self.call(sample_collection, params, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """Both fields, which must have classes in common, and the key."""
        form = Form(inputs, ctx.params, DEFAULTS)
        samples, params = form.target(ctx), form.values
        fields = evaluation.segmentation_fields(samples)
        if form.refused(lambda: _check_samples(samples, fields)):
            return
        params |= _guessed(by_sight(ctx, samples, fields), params)

        def check() -> None:
            evaluation.check_evaluable(samples, params["pred_field"], params["gt_field"])

        form.choice("gt_field", fields, label="Ground truth")
        form.choice("pred_field", fields, label="Prediction", check=None if form.wrong else check)
        form.text(
            "eval_key",
            label="Evaluation key",
            description="The name under which the App's evaluation panel shows it",
            check=lambda: check_eval_key(samples, params["eval_key"], params["pred_field"], params["gt_field"]),
        )
        form.switch(
            "only_annotated",
            label="Only annotated images",
            description="Leave images without a prediction out, instead of counting them as misses",
        )
        form.number(
            "workers", label="Processes side by side", description="The numbers are the same", high=LARGEST_WORKERS
        )
        if not form.wrong:
            form.note("amount", f"{counted(count(samples), 'image')} will be compared.")

    def run(self, ctx: Any) -> Outcome:
        """Evaluate and store."""
        params, samples = given(ctx.params, DEFAULTS), target_of(ctx)
        params |= _guessed(by_sight(ctx, samples, evaluation.segmentation_fields(samples)), params)
        results = evaluation.evaluate(
            samples,
            params["pred_field"],
            params["gt_field"],
            eval_key=params["eval_key"],
            only_annotated=params["only_annotated"],
            workers=int(params["workers"]),
            progress=report(ctx),
        )
        scores = results.scores
        message = (
            f"mIoU {100 * scores.mean_iou:.2f} %, mAcc {100 * scores.mean_accuracy:.2f} %, "
            f"aAcc {100 * scores.pixel_accuracy:.2f} % over {counted(scores.images, 'image')}, "
            f"stored as {params['eval_key']}"
        )
        paths = zip(*samples.select(list(results.errors)).values(["id", "filepath"]), strict=True)
        errors = {path: results.errors[sample_id] for sample_id, path in paths}
        return Outcome("; ".join(filter(None, [message, scores.not_compared, *scores.notes])), errors)


def _check_samples(samples: Any, fields: Sequence[str]) -> None:
    """Raise InputError where there is nothing to compare."""
    check_whole_images(samples, "an evaluation", frames=True)
    if len(fields) < 2:
        known = f"only {fields[0]!r}" if fields else "none"
        raise InputError(f"an evaluation compares two Segmentation fields, this dataset has {known}; annotate first")


def _guessed(fields: Sequence[str], params: Mapping[str, Any]) -> dict[str, str]:
    """The prediction and the truth where they are not given: by their names, and by what one sees."""
    truths = [name for name in fields if TRUTH.search(name) and name != params["pred_field"]]
    truth = params["gt_field"] or next(iter(truths), "")
    painted = [name for name in fields if name.endswith("_semantic")]
    others = [name for name in (*painted, *fields) if name not in (truth, params["pred_field"])]
    prediction = params["pred_field"] or next(iter(others), "")
    return {"pred_field": prediction, "gt_field": truth or next((n for n in reversed(fields) if n != prediction), "")}
