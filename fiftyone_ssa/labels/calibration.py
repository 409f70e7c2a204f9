"""Confidence that means how often a name is right: fitted where truth exists, kept with the dataset, used by runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import fiftyone as fo
import fiftyone.core.utils as fou
import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.files.images import image_size_hw
from fiftyone_ssa.labels.database import check_whole_images, dataset_id, needs_database, own_collection, root_dataset
from fiftyone_ssa.labels.documents import semantic_map
from fiftyone_ssa.labels.fields import check_label_field
from fiftyone_ssa.labels.source import class_names
from fiftyone_ssa.labels.stored_masks import mask_set_from_detections
from fiftyone_ssa.masks.overlaps import intersections
from fiftyone_ssa.naming.confidence import Calibration, auroc, calibration_error, fit, reasons
from fiftyone_ssa.naming.voting import count_classes
from fiftyone_ssa.types import Floats, MaskSet, Proposals

FEWEST = 50
"""Masks whose truth is known that a calibration needs."""
SAME = 0.5
"""IoU from which a mask shows what a true mask shows."""
Truth = Callable[[fo.Sample, MaskSet, list[str | None]], list[bool | None]]


@dataclass(frozen=True)
class Calibrated:
    """What a calibration was fitted on, and what it gains on images that it was not fitted on."""

    masks: int
    """Whose names are known to be right or wrong."""
    right: float
    """The share of them that is right."""
    error_before: float
    """Expected calibration error of the stored confidences, on all masks."""
    error_after: float
    """Of calibrated ones, every second image by what the others fitted."""
    auroc_before: float
    """How often a right name has more confidence than a wrong one."""
    auroc_after: float
    """The same as `error_after`."""
    errors: dict[str, str] = field(default_factory=dict)
    """Image path to reason, for every image that could not be judged."""

    def __str__(self) -> str:
        return (
            f"calibrated on {counted(self.masks, 'mask')}, {self.right:.1%} rightly named; calibration error "
            f"{self.error_before:.3f} -> {self.error_after:.3f}, AUROC {self.auroc_before:.3f} -> "
            f"{self.auroc_after:.3f} (on images it was not fitted on); later runs use it"
        )


@needs_database()
def calibrate(
    samples: Any,
    label_field: str = "ssa",
    gt_field: str = "ground_truth",
    *,
    progress: bool | Callable[[Any], None] | None = None,
) -> Calibrated:
    """Fit confidences to how often names are right, and keep that with the dataset for later runs on `label_field`.

    A mask's name is right if it is the name of what the truth shows there: of a Segmentation the class of most of its
    pixels, of Detections the true mask that it fits (IoU of 0.5). It is what SSA said (`class_name`) that is judged,
    whatever people made of it. Masks that fit none, and names that the truth never uses, say nothing. Nothing that is
    stored changes; `annotate(overwrite=True)` gives masks that nobody touched their new confidence.

    Args:
        samples: a dataset or view of images
        label_field ("ssa"): a Detections field that `annotate` filled
        gt_field ("ground_truth"): the truth, a Segmentation (with mask targets) or a Detections field
        progress (None): FiftyOne's: True, False, None (its config) or a callback

    Raises InputError for a bad field, or where fewer than 50 masks can be judged or all are right, or all wrong.
    """
    dataset = check_calibrate(samples, label_field, gt_field)
    judge = _judge_of(samples, gt_field)
    tables, verdicts, stored, halves, errors = [], [], [], [], {}
    chosen = samples.exists(label_field).exists(gt_field).select_fields([label_field, gt_field])
    votes = False
    with fou.ProgressBar(total=len(chosen), progress=progress) as bar:
        for place, sample in enumerate(bar(chosen.iter_samples())):
            try:
                detections = [d for d in sample[label_field].detections if d.get_attribute_value("class_name", None)]
                table, right, confidences = _judged(sample, detections, judge)
            except InputError as error:
                errors[sample.filepath] = str(error)
                continue
            votes |= any(d.get_attribute_value("vote_share", None) is not None for d in detections)
            tables.append(table)
            verdicts.append(right)
            stored.append(confidences)
            halves.append(np.full(len(right), place % 2))
    if sum(map(len, verdicts)) < FEWEST:
        raise InputError(
            f"a calibration needs {FEWEST} masks whose truth is known, {gt_field!r} tells that of "
            f"{sum(map(len, verdicts))} in {label_field!r}; annotate more images that have a truth"
            + (f" (of some it could not be read: {next(iter(errors.values()))})" if errors else "")
        )
    found, right, before, half = (np.concatenate(parts) for parts in (tables, verdicts, stored, halves))
    if right.all() or not right.any():
        raise InputError(
            f"all names of {label_field!r} are {'right' if right.all() else 'wrong'} by {gt_field!r}, which tells no "
            "confidence from another; check the truth, or take more images"
        )
    after = _held_out(found, right, half)
    calibration = fit(found, right)
    row = {"weights": list(calibration.weights), "pipeline": "ssa" if votes else "engine", "gt_field": gt_field}
    where = {"dataset": dataset_id(dataset), "field": label_field}
    own_collection("calibrations").update_one(where, {"$set": row}, upsert=True)
    return Calibrated(
        len(right),
        float(right.mean()),
        calibration_error(before, right),
        calibration_error(after, right),
        auroc(before, right),
        auroc(after, right),
        errors,
    )


def calibration_of(dataset: fo.Dataset, label_field: str, pipeline: str) -> Calibration | None:
    """What was fitted for a field of a dataset and a pipeline ("ssa" or "engine"); None if nothing was."""
    row = own_collection("calibrations").find_one({"dataset": dataset_id(dataset), "field": label_field})
    return Calibration(tuple(row["weights"])) if row and row["pipeline"] == pipeline else None


def check_calibrate(samples: Any, label_field: str, gt_field: str) -> fo.Dataset:
    """Raise InputError where `calibrate` would before it looks at a mask."""
    check_label_field(label_field)
    dataset = root_dataset(samples)
    check_whole_images(samples, "calibrate")
    kinds = {"label_field": (label_field, (fo.Detections,)), "gt_field": (gt_field, (fo.Segmentation, fo.Detections))}
    for what, (name, legal) in kinds.items():
        known = sorted(f for kind in legal for f in dataset.get_field_schema(embedded_doc_type=kind))
        if name not in known:
            wanted = " or ".join(kind.__name__ for kind in legal)
            raise InputError(
                f"{what} must be a {wanted} field of {dataset.name!r}, got {name!r}; "
                f"it has {', '.join(known) or 'none'}"
            )
    if label_field == gt_field:
        raise InputError(f"label_field and gt_field are both {gt_field!r}; name the field that holds the truth")
    if not dataset.has_sample_field(f"{label_field}.detections.class_name"):
        raise InputError(f"{label_field!r} was not filled by annotate: no class_name is there; annotate it first")
    if gt_field in dataset.get_field_schema(embedded_doc_type=fo.Segmentation):
        class_names(samples, gt_field)
    return dataset


def _held_out(found: Floats, right: npt.NDArray[np.bool_], half: npt.NDArray[np.int64]) -> Floats:
    """Each half's confidences by what the other half fits; where there is one only, by its own."""
    after = np.zeros(len(right))
    for side in (0, 1):
        others = half != side
        after[half == side] = fit(found[others], right[others])(found[half == side]) if others.any() else 0.0
    return after if half.any() and not half.all() else fit(found, right)(found)


def _judged(
    sample: fo.Sample, detections: list[fo.Detection], judge: Truth
) -> tuple[Floats, npt.NDArray[np.bool_], Floats]:
    """Reasons, whether right, and the stored confidence of the masks of an image whose truth is known."""
    masks = mask_set_from_detections(fo.Detections(detections=detections), image_size_hw(sample.filepath))
    names = [detection.class_name for detection in detections]
    sources = [detection.get_attribute_value("label_source", None) for detection in detections]
    table = reasons(masks, names, [_proposals(detection) for detection in detections], sources)
    verdicts = judge(sample, masks, names)
    known = np.array([verdict is not None for verdict in verdicts], np.bool_)
    stored = np.array([detection.confidence or 0.0 for detection in detections], np.float64)
    return table[known], np.array([v for v in verdicts if v is not None], np.bool_), stored[known]


def _proposals(detection: fo.Detection) -> Proposals:
    names = detection.get_attribute_value("class_proposals", None) or ()
    scores = detection.get_attribute_value("proposal_scores", None) or ()
    count = min(len(names), len(scores))
    return Proposals(tuple(names[:count]), tuple(scores[:count]))


def _judge_of(samples: Any, gt_field: str) -> Truth:
    dataset = root_dataset(samples)
    if gt_field in dataset.get_field_schema(embedded_doc_type=fo.Segmentation):
        targets = class_names(samples, gt_field)
        known = frozenset(targets.values())

        def by_pixels(sample: fo.Sample, masks: MaskSet, names: list[str | None]) -> list[bool | None]:
            truth = semantic_map(sample[gt_field].get_mask(), targets)
            if truth.size_hw != masks.size_hw:
                raise InputError(f"{gt_field!r} is {truth.size_hw} (height, width) but the image is {masks.size_hw}")
            rows = zip(names, count_classes(masks, truth), strict=True)
            return [truth.names[row.argmax()] == name if name in known and row.any() else None for name, row in rows]

        return by_pixels
    known = frozenset(samples.distinct(f"{gt_field}.detections.label"))

    def by_masks(sample: fo.Sample, masks: MaskSet, names: list[str | None]) -> list[bool | None]:
        true = mask_set_from_detections(sample[gt_field], masks.size_hw)
        labels = [detection.label for detection in sample[gt_field].detections]
        return list(_fitting(masks, true, names, labels, known))

    return by_masks


def _fitting(
    masks: MaskSet, true: MaskSet, names: list[str | None], labels: list[str], known: frozenset[str]
) -> Iterator[bool | None]:
    shared = intersections(MaskSet.merge([masks, true]))
    areas, count = np.diag(shared), len(masks)
    ious = shared[:count, count:] / np.maximum(areas[:count, None] + areas[count:] - shared[:count, count:], 1)
    for name, row in zip(names, ious, strict=True):
        best = row.max(initial=0.0)
        # a thing with one visible part is both: every true mask that fits as well counts
        yield any(labels[i] == name for i in np.flatnonzero(row >= best)) if best >= SAME and name in known else None
