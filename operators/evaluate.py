"""`evaluate`: mIoU of a Segmentation field, stored under a key and shown in the App's evaluation panel."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.labels import evaluation
from fiftyone_ssa.labels.eval_keys import check_eval_key

from .forms import choice, problem
from .job import Job, report

DEFAULTS: dict[str, Any] = {
    "pred_field": "ssa_semantic",
    "gt_field": "ground_truth",
    "eval_key": "ssa_eval",
    "only_annotated": False,
}


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
        params = {
            "pred_field": pred_field,
            "gt_field": gt_field,
            "eval_key": eval_key,
            "only_annotated": only_annotated,
        }
        return self.call(sample_collection, params, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """Both fields, which must have classes in common, and the key."""
        samples, params = ctx.target_view(), {**DEFAULTS, **ctx.params}
        fields = evaluation.segmentation_fields(samples)
        wrong = problem(lambda: evaluation.check_evaluable(samples, params["pred_field"], params["gt_field"]))
        for name, label in (("pred_field", "Prediction"), ("gt_field", "Ground truth")):
            default = DEFAULTS[name] if DEFAULTS[name] in fields else None
            about = wrong if name == "pred_field" else {}
            choice(inputs, name, fields, default=default, label=label, **about)
        inputs.str(
            "eval_key",
            default=DEFAULTS["eval_key"],
            label="Evaluation key",
            description="The name under which the App's evaluation panel shows it",
            **problem(lambda: check_eval_key(samples, params["eval_key"], params["pred_field"], params["gt_field"])),
        )
        inputs.bool(
            "only_annotated",
            default=False,
            label="Only annotated images",
            description="Leave images without a prediction out, instead of counting them as misses",
        )

    def run(self, ctx: Any) -> str:
        """Evaluate and store."""
        params = {**DEFAULTS, **ctx.params}
        results = evaluation.evaluate(
            ctx.target_view(),
            params["pred_field"],
            params["gt_field"],
            eval_key=params["eval_key"],
            only_annotated=params["only_annotated"],
            progress=report(ctx),
        )
        scores = results.scores
        message = (
            f"mIoU {100 * scores.mean_iou:.2f} %, mAcc {100 * scores.mean_accuracy:.2f} %, "
            f"aAcc {100 * scores.pixel_accuracy:.2f} % over {scores.images} images, stored as {params['eval_key']}"
        )
        return "; ".join(filter(None, [message, scores.not_compared, *scores.notes]))
