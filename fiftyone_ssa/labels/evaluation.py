"""mIoU of a FiftyOne view, as an evaluation backend: stored under a key, reloadable, shown in the App's panel."""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Callable
from typing import Any

import fiftyone as fo
import fiftyone.core.utils as fou
import fiftyone.utils.eval.segmentation as fous
import numpy as np

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.labels.compared_classes import compared_classes
from fiftyone_ssa.labels.comparing import SAMPLES, Numbers, compare
from fiftyone_ssa.labels.comparison import NONE, Tally, Targets
from fiftyone_ssa.labels.database import check_whole_images, documents, needs_database, root_dataset
from fiftyone_ssa.labels.eval_keys import FIELD_MARK, METHOD, check_eval_key, field_names, has_mark
from fiftyone_ssa.labels.painted import outdated_maps
from fiftyone_ssa.masks.miou import Scores
from fiftyone_ssa.naming.arguments import LARGEST_WORKERS, check_count, check_flag

logger = logging.getLogger(__name__)

METRIC_URI = "@fiftyone-ssa/ssa/miou"


@needs_database()
def evaluate(
    samples: Any,
    pred_field: str,
    gt_field: str = "ground_truth",
    *,
    eval_key: str | None = None,
    mask_targets: Targets | None = None,
    only_annotated: bool = False,
    workers: int = 1,
    progress: bool | Callable[..., Any] | None = None,
) -> SSAResults:
    """Evaluate one Segmentation field against another with mmsegmentation's mIoU; with `eval_key`, store it.

    Args:
        samples: a dataset or view
        pred_field: the Segmentation field to evaluate
        gt_field ("ground_truth"): the Segmentation field with the truth
        eval_key (None): the name to store the results under, with fields for each image's mIoU and accuracy
        mask_targets (None): the classes, stored value or "#rrggbb" to name, by default the dataset's for `gt_field`. A
            prediction field with targets of its own is matched by name. Value 0 (black) is ignored in the ground truth
            and is "no class" in a prediction
        only_annotated (False): whether to leave images without a prediction out; otherwise they are all misses
        workers (1): processes of this machine that compare side by side; the numbers are the same
        progress (None): FiftyOne's: True, False, None (its config) or a callback

    An unreadable or differently sized prediction counts as misses, and is named in the results and in a warning. What
    the numbers rest on (names taken for each other, values without a name ...) is told by `results.notes` and warnings.
    Raises InputError if a field is no Segmentation field, has no classes, or there is no ground truth, and if
    `eval_key` belongs to another evaluation or its fields to anybody else.
    """
    check_evaluable(samples, pred_field, gt_field, mask_targets)
    check_flag("only_annotated", only_annotated)
    check_count("workers", workers, most=LARGEST_WORKERS)
    if eval_key is not None:
        check_eval_key(samples, eval_key, pred_field, gt_field)
    results: SSAResults = samples.evaluate_segmentations(
        pred_field,
        gt_field=gt_field,
        eval_key=eval_key,
        mask_targets=dict(mask_targets) if mask_targets else None,
        method=SSAEvaluationConfig,
        only_annotated=only_annotated,
        workers=workers,
        progress=progress,
    )
    unusable = len(results.errors) - len(results.broken_ground_truth)
    missing = 0 if only_annotated else len(results.missing_predictions)
    if missing or unusable:
        logger.warning(
            "%d of %s without a prediction in %r, and %d could not be used; they count as misses",
            *(missing, counted(results.images, "image"), pred_field, unusable),
        )
    if results.broken_ground_truth:
        logger.warning(
            "the ground truth of %s cannot be read; left out", counted(len(results.broken_ground_truth), "image")
        )
    for note in results.notes:
        logger.warning("%s", note)
    return results


def check_evaluable(samples: Any, pred_field: str, gt_field: str, mask_targets: Targets | None = None) -> None:
    """Raise InputError where `evaluate` would: a field is no Segmentation, has no classes, or there is no truth."""
    if not isinstance(samples, fo.core.collections.SampleCollection):
        raise InputError(f"samples must be a FiftyOne dataset or view, got {type(samples).__name__}; load one first")
    check_whole_images(samples, "an evaluation", frames=True)
    known = segmentation_fields(samples)
    for field in (pred_field, gt_field):
        if field not in known:
            raise InputError(
                f"{field!r} is no Segmentation field of {root_dataset(samples).name!r}; "
                f"it has {', '.join(known) or 'none'}"
            )
    if pred_field == gt_field:
        raise InputError(f"the prediction and the ground truth are the same field, {gt_field!r}; choose two")
    compared_classes(samples, pred_field, gt_field, mask_targets)
    if not samples.exists(gt_field).limit(1).count():
        raise InputError(f"no image has ground truth in {gt_field!r}; load it first or choose another field")


def segmentation_fields(samples: Any) -> list[str]:
    """The names of a collection's Segmentation fields."""
    return list(samples.get_field_schema(embedded_doc_type=fo.Segmentation))


def scores_of(results: Any) -> Scores:
    """The scores of any segmentation evaluation, from its pixel confusion matrix; the missing class is no class."""
    real = np.asarray(results.classes) != results.missing
    matrix = np.asarray(results.pixel_confusion_matrix, np.int64)[real]
    return Scores(
        names=tuple(str(name) for name in np.asarray(results.classes)[real]),
        confusion=np.column_stack([matrix[:, real], matrix[:, ~real].sum(axis=1)]),
        images=getattr(results, "images", 0),
        missing_predictions=tuple(getattr(results, "missing_predictions", ())),
        missing_ground_truth=tuple(getattr(results, "missing_ground_truth", ())),
        errors=getattr(results, "errors", {}),
        broken_ground_truth=tuple(getattr(results, "broken_ground_truth", ())),
        only_annotated=getattr(results.config, "only_annotated", False),
        notes=tuple(getattr(results, "notes", ())),
    )


class SSAEvaluationConfig(fous.SegmentationEvaluationConfig):  # type: ignore[misc]
    """Pass it as `method` to `evaluate_segmentations`, or call `evaluate`."""

    def __init__(
        self,
        pred_field: str,
        gt_field: str,
        only_annotated: bool = False,
        fields_id: str | None = None,
        workers: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(pred_field, gt_field, **kwargs)
        self._workers = workers
        self.only_annotated = only_annotated
        self.fields_id = fields_id
        """What marks the sample fields of a run as its own; None for runs stored before there were marks."""

    @property
    def workers_now(self) -> int:
        """Processes that compare; nothing that is stored with the results."""
        return self._workers

    @property
    def method(self) -> str:
        """The name that `list_evaluations(method=...)` knows."""
        return METHOD


class SSAEvaluation(fous.SegmentationEvaluation):  # type: ignore[misc]
    """The backend: one confusion matrix over all images, and `<eval_key>_accuracy` and `<eval_key>_miou` of each."""

    def get_fields(self, samples: Any, eval_key: str, include_custom_metrics: bool = True) -> list[str]:
        """The sample fields that a run fills."""
        custom = self.get_custom_metric_fields(samples, eval_key) if include_custom_metrics else []
        return [*field_names(eval_key), *custom]

    def validate_run(self, samples: Any, key: str, overwrite: bool = True) -> None:
        """Raise InputError if the key cannot be used; nothing has been stored yet."""
        check_eval_key(samples, key, self.config.pred_field, self.config.gt_field)
        super().validate_run(samples, key, overwrite=overwrite)

    def register_run(self, samples: Any, key: str | None, overwrite: bool = True, cleanup: bool = True) -> None:
        """Store the run with a mark of its own, by which its fields are known whatever happens to names and keys."""
        self.config.fields_id = uuid.uuid4().hex
        super().register_run(samples, key, overwrite=overwrite, cleanup=cleanup)

    def register_samples(self, samples: Any, eval_key: str | None) -> None:
        """Declare the sample fields."""
        if eval_key is not None:
            for name in field_names(eval_key):
                samples._dataset.add_sample_field(name, fo.FloatField, info={FIELD_MARK: self.config.fields_id})

    def rename(self, samples: Any, eval_key: str, new_eval_key: str) -> None:
        """Give the run's own fields the new key's names, where nobody else has them."""
        names = dict(zip(field_names(eval_key), field_names(new_eval_key), strict=True))
        own = self._own_fields(samples, eval_key)
        taken = [names[name] for name in own if samples._dataset.has_field(names[name])]
        samples._dataset.rename_sample_fields({name: names[name] for name in own if names[name] not in taken})
        if taken:
            logger.warning("%s exists already; the evaluation's own field keeps its old name", " and ".join(taken))
        self.rename_custom_metrics(samples, eval_key, new_eval_key)
        samples._rename_sidebar_group(eval_key, new_eval_key)

    def cleanup(self, samples: Any, eval_key: str) -> None:
        """Delete the sample fields of a run, and no others."""
        samples._dataset.delete_sample_fields(self._own_fields(samples, eval_key), error_level=1)
        self.cleanup_custom_metrics(samples, eval_key)
        samples._delete_empty_sidebar_group(eval_key)

    def _own_fields(self, samples: Any, eval_key: str) -> list[str]:
        """The run's fields: those with its mark, under whatever name; of an unmarked run those of its names."""
        mark = self.config.fields_id
        schema = samples._dataset.get_field_schema(fo.FloatField)
        return [name for name in (schema if mark else field_names(eval_key)) if has_mark(schema.get(name), mark)]

    def evaluate_samples(
        self,
        samples: Any,
        eval_key: str | None = None,
        mask_targets: Targets | None = None,
        progress: Any = None,
    ) -> SSAResults:
        """Compare every image; see `evaluate`."""
        pred_field, gt_field = self.config.pred_field, self.config.gt_field
        classes = compared_classes(samples, pred_field, gt_field, mask_targets)
        tally = Tally(classes, only_annotated=self.config.only_annotated)
        of_each: dict[str, Numbers] = {}
        # as documents: FiftyOne makes no sample at all if one of its masks is damaged
        found = documents(samples.select_fields([gt_field, pred_field]))
        rows = ((str(row["_id"]), row.get(gt_field), row.get(pred_field)) for row in found)
        total = samples.count()
        workers = min(self.config.workers_now, -(-total // SAMPLES) or 1)
        with fou.ProgressBar(total=total, progress=progress) as bar:
            for sample_id, numbers in bar(compare(rows, tally, workers=workers)):
                if numbers is not None:
                    of_each[sample_id] = numbers
        if eval_key is not None:
            for place, name in enumerate(field_names(eval_key)):
                values = {sample_id: numbers[place] for sample_id, numbers in of_each.items()}
                samples._dataset.set_values(name, values, key_field="id")
        outdated = outdated_maps(root_dataset(samples), pred_field, tally.compared)
        results = self._results(tally, samples, eval_key, outdated)
        results.custom_metrics = _metrics_of(results.scores)
        return results

    def _results(self, tally: Tally, samples: Any, eval_key: str | None, outdated: list[str]) -> SSAResults:
        """FiftyOne's results object, with "no class" as its missing class."""
        count = len(tally.classes.names)
        return SSAResults(
            samples,
            self.config,
            eval_key,
            np.vstack([tally.confusion, np.zeros((1, count + 1), np.int64)]),
            [*tally.classes.names, NONE],
            matches=tally.matches,
            missing=NONE,
            backend=self,
            images=tally.images,
            missing_predictions=tally.missing_predictions,
            missing_ground_truth=tally.missing_ground_truth,
            broken_ground_truth=tally.broken_ground_truth,
            errors=tally.errors,
            outdated_maps=outdated,
            notes=[*_repaint_advice(self.config.pred_field, outdated), *tally.notes()],
        )


_OWN_ATTRIBUTES = (
    "images",
    "missing_predictions",
    "missing_ground_truth",
    "broken_ground_truth",
    "errors",
    "outdated_maps",
    "notes",
)


class SSAResults(fous.SegmentationResults):  # type: ignore[misc]
    """FiftyOne's results of a segmentation, whose `metrics()` hold mIoU, mAcc and each class's IoU, and `scores`."""

    def __init__(
        self,
        *args: Any,
        images: int = 0,
        missing_predictions: list[str] | None = None,
        missing_ground_truth: list[str] | None = None,
        broken_ground_truth: list[str] | None = None,
        errors: dict[str, str] | None = None,
        outdated_maps: list[str] | None = None,
        notes: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.images = images
        self.missing_predictions = missing_predictions or []
        self.missing_ground_truth = missing_ground_truth or []
        self.broken_ground_truth = broken_ground_truth or []
        self.errors = errors or {}
        self.outdated_maps = outdated_maps or []
        """Ids of samples whose labels changed after their class map was painted."""
        self.notes = notes or []

    @property
    def scores(self) -> Scores:
        """mmsegmentation's scores; images are named by their sample ids."""
        return scores_of(self)

    @classmethod
    def _from_dict(cls, d: dict[str, Any], samples: Any, config: Any, eval_key: str, **kwargs: Any) -> SSAResults:
        own = {key: d[key] for key in _OWN_ATTRIBUTES if key in d}
        results: SSAResults = super()._from_dict(d, samples, config, eval_key, **own, **kwargs)
        return results


def _metrics_of(scores: Scores) -> dict[str, dict[str, Any]]:
    """What the App's panel lists, in the form in which FiftyOne stores custom metrics."""
    values = {"mIoU": scores.mean_iou, "mAcc": scores.mean_accuracy}
    values |= {f"IoU {name}": value for name, value in zip(scores.names, scores.iou, strict=True)}
    return {
        METRIC_URI if key == "mIoU" else f"{METRIC_URI}#{key}": {
            "key": key,
            "value": float(value),
            "label": key,
            "lower_is_better": False,
        }
        for key, value in values.items()
        if not math.isnan(value)
    }


def _repaint_advice(pred_field: str, outdated: list[str]) -> list[str]:
    if not outdated:
        return []
    label_field = pred_field.removesuffix("_semantic")
    return [
        f"the labels of {counted(len(outdated), 'image')} in {label_field!r} changed after their class map was "
        f"painted; fiftyone_ssa.repaint(samples, {label_field!r}) paints them anew"
    ]
