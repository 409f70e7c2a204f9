"""mIoU as a metric that any of FiftyOne's segmentation evaluations can compute."""

from __future__ import annotations

import math
from typing import Any

import fiftyone.operators as foo

from fiftyone_ssa.labels.evaluation import scores_of


class MeanIoU(foo.EvaluationMetric):  # type: ignore[misc]  # FiftyOne has no types
    """Mean intersection over union over the classes that occur; `evaluate` stores the same number itself."""

    @property
    def config(self) -> foo.EvaluationMetricConfig:
        """A metric of segmentations, better where higher."""
        config = foo.EvaluationMetricConfig(
            name="miou",
            label="mIoU",
            description="Mean intersection over union over the classes that occur (mmsegmentation's)",
            eval_types=["segmentation"],
            aggregate_key="mIoU",
            lower_is_better=False,
            unlisted=True,
        )
        config.kwargs["lower_is_better"] = False  # where FiftyOne looks for it
        return config

    def compute(self, samples: Any, results: Any, **_: Any) -> float | None:
        """The mIoU of an evaluation's pixel confusion matrix."""
        value = scores_of(results).mean_iou
        return None if math.isnan(value) else value
