"""Confidence that means how often a name is right: fitted where truth exists, kept with the dataset, used by runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any, Literal

import fiftyone as fo
import fiftyone.core.utils as fou
import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.files.images import image_size_hw
from fiftyone_ssa.labels.database import (
    check_shows,
    check_whole_images,
    dataset_id,
    needs_database,
    own_collection,
    root_dataset,
)
from fiftyone_ssa.labels.fields import check_label_field
from fiftyone_ssa.labels.fused_weights import check_fused, trace_cases
from fiftyone_ssa.labels.source import class_names
from fiftyone_ssa.labels.stored_masks import COLOURLESS, readable_masks, stored_proposals
from fiftyone_ssa.labels.truth import Truth, truth_of
from fiftyone_ssa.layouts.class_names import first_names
from fiftyone_ssa.masks.foreign import number_or_nan
from fiftyone_ssa.naming.class_confidence import Classes
from fiftyone_ssa.naming.confidence import (
    REASONS,
    Calibration,
    JudgedMask,
    Named,
    auroc,
    auroc_noise,
    calibration_error,
    complete,
    fit,
    named_masks,
    right_of,
)
from fiftyone_ssa.naming.fusing import weights_text
from fiftyone_ssa.naming.fusing_fit import Fitted, fit_weights
from fiftyone_ssa.presets import Preset
from fiftyone_ssa.types import Floats, Proposals

logger = logging.getLogger(__name__)

FEWEST = 50
"""Masks whose truth is known that a calibration needs."""
Flags = npt.NDArray[np.bool_]


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
    """Of calibrated ones, every second image by what the others fitted; of one image alone by what itself fitted."""
    auroc_before: float
    """How often a right name has more confidence than a wrong one."""
    auroc_after: float
    """The same as `error_after`."""
    fused: Fitted | None = None
    """The weights of the fused decision, where they were asked for."""
    errors: dict[str, str] = field(default_factory=dict)
    """Image path to reason, for every image that could not be judged."""
    held_out: bool = True
    """Whether there were other images to fit on."""

    def __str__(self) -> str:
        where = "images it was not fitted on" if self.held_out else "the one image it was fitted on"
        text = (
            f"calibrated on {counted(self.masks, 'mask')}, {self.right:.1%} rightly named; calibration error "
            f"{self.error_before:.3f} -> {self.error_after:.3f}, AUROC {self.auroc_before:.3f} -> "
            f"{self.auroc_after:.3f} (on {where}); later runs use it"
        )
        if self.fused is None:
            return text
        gain = f"{self.fused.before:.1%} -> {self.fused.after:.1%} of {counted(self.fused.masks, 'mask')} rightly named"
        if self.fused.better:
            return f"{text}. Fused weights fitted: {gain} on images they were not fitted on; annotate with overwrite"
        return f"{text}. Fused weights stay as fixed: fitted ones would gain nothing ({gain})"


@needs_database()
def calibrate(
    samples: Any,
    label_field: str = "ssa",
    gt_field: str = "ground_truth",
    *,
    preset: str | Path | Preset | None = None,
    overrides: Mapping[str, Any] | None = None,
    device: str = "auto",
    progress: bool | Callable[[Any], None] | None = None,
) -> Calibrated:
    """Fit confidences to how often names are right, and keep that with the dataset for later runs on `label_field`.

    A mask's name is right if it is the name of what the truth shows there: of a Segmentation the class of most of its
    pixels, of Detections the true mask that it fits (IoU of 0.5). It is what SSA said (`class_name`) that is judged,
    whatever people made of it, and case, dashes and synonyms make no difference. Masks that fit none, and names that
    the truth never uses, say nothing. Nothing that is stored changes; `annotate(overwrite=True)` gives masks that
    nobody touched their new confidence. A clone of the dataset, or a field of another name, begins without a
    calibration.

    With an engine `preset` of `decision = "fused"` the decision's weights are fitted, too: its models look at these
    masks again, and where fitted weights name more of them rightly, on images that they were not fitted on, later runs
    with fused presets use them. Where they do not, the fixed ones stay.

    Args:
        samples: a dataset or view of images
        label_field ("ssa"): a Detections field that `annotate` filled
        gt_field ("ground_truth"): the truth, a Segmentation (with mask targets) or a Detections field
        preset (None): the name of an engine preset, a TOML file, or a Preset; None: weights are left alone
        overrides (None): changes to the preset, `{"section.key": value}`
        device ("auto"): of the preset's models: auto, cpu, cuda or cuda:N
        progress (None): FiftyOne's: True, False, None (its config) or a callback

    Raises InputError for a bad field or preset, or where fewer than 50 masks can be judged, all are right, or wrong, or
    what was fitted is worse on images that it was not fitted on, by error and AUROC, or by AUROC alone and more than
    noise (two standard errors); what was kept before stays then.
    """
    dataset = check_calibrate(samples, label_field, gt_field)
    fused = check_fused(preset, overrides) if preset is not None else None
    chosen = samples.exists(label_field).exists(gt_field).select_fields([label_field, gt_field])
    truth = truth_of(samples, gt_field)
    judged, pipeline, errors = _judge_all(chosen, label_field, truth, progress)
    right, before = right_of(judged), np.array([mask.confidence for mask in judged])
    if not judged:
        _check_names(samples.distinct(f"{label_field}.detections.class_name"), truth, label_field, gt_field)
    _check_judged(right, label_field, gt_field, errors)
    judged = complete(judged)
    half = np.array([mask.image % 2 for mask in judged])
    after = _held_out(judged, half, pipeline)
    errors_of = calibration_error(before, right), calibration_error(after, right)
    aurocs = auroc(before, right), auroc(after, right)
    images = np.array([mask.image for mask in judged])
    _check_gain(errors_of, aurocs, auroc_noise(before, after, right, images))
    calibration = fit(judged, pipeline)
    row: dict[str, Any] = {
        "weights": list(calibration.weights),
        "names": list(calibration.names.items()),
        "classes": calibration.classes.row() if calibration.classes is not None else None,
        "mix": list(calibration.mix),
        "pipeline": pipeline,
        "gt_field": gt_field,
    }
    fitted = None
    if fused is not None:
        fitted = fit_weights(trace_cases(chosen, label_field, truth, fused, device, progress))
        row["fusing"] = weights_text(fitted.weights) if fitted.better else []
    where = {"dataset": dataset_id(dataset), "field": label_field}
    own_collection("calibrations").update_one(where, {"$set": row}, upsert=True)
    return Calibrated(
        len(right),
        float(right.mean()),
        *errors_of,
        *aurocs,
        fitted,
        errors,
        held_out=len(set(half.tolist())) > 1,
    )


def calibration_of(dataset: fo.Dataset, label_field: str, preset: Preset) -> Calibration | None:
    """What was fitted for a field of a dataset, if it holds for runs of a preset; None otherwise, and the log says why.

    It does not where it is of the other pipeline, or of runs whose segmenter looked without colours and these do not.
    """
    row = own_collection("calibrations").find_one({"dataset": dataset_id(dataset), "field": label_field})
    if not row or row["pipeline"] != preset.pipeline:
        return None
    weights = list(row["weights"])
    if len(weights) == len(REASONS):  # of before SSA's `check`
        weights.append(0.0)
    if len(weights) != len(REASONS) + 1:
        logger.warning("the calibration of %r is of an earlier version, and not used; calibrate again", label_field)
        return None
    calibration = Calibration(tuple(weights), dict(row["names"]))
    if row.get("classes"):
        constant, of_reasons, of_classes = row["mix"]
        mix = constant, of_reasons, of_classes
        calibration = replace(calibration, classes=Classes.of_row(row["classes"]), mix=mix)
    if calibration.needs_check and not preset.is_checked:
        logger.warning(
            'the calibration of %r was fitted on runs with semantic.check = "colourless", and is not used; '
            "set that, or calibrate again",
            label_field,
        )
        return None
    return calibration


def fitted_weights(dataset: fo.Dataset, label_field: str) -> list[str]:
    """`open_vocabulary.weights` as fitted for a field of a dataset; empty where the fixed ones hold."""
    row = own_collection("calibrations").find_one({"dataset": dataset_id(dataset), "field": label_field})
    return list((row or {}).get("fusing", ()))


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
    check_shows(samples, label_field, gt_field)
    if label_field == gt_field:
        raise InputError(f"{gt_field!r} cannot be its own truth; name another field, that holds the truth")
    if not dataset.has_sample_field(f"{label_field}.detections.class_name"):
        raise InputError(f"{label_field!r} was not filled by annotate: no class_name is there; annotate it first")
    if gt_field in dataset.get_field_schema(embedded_doc_type=fo.Segmentation):
        class_names(samples, gt_field)
    return dataset


def _judge_all(
    chosen: Any, label_field: str, truth: Truth, progress: Any
) -> tuple[list[JudgedMask], Literal["ssa", "engine"], dict[str, str]]:
    """The masks whose truth is known, which pipeline named them, and what is wrong with images by their path."""
    judged: list[JudgedMask] = []
    voted, errors = False, {}
    with fou.ProgressBar(total=len(chosen), progress=progress) as bar:
        for image, sample in enumerate(bar(chosen.iter_samples())):
            detections = [d for d in sample[label_field].detections if d.get_attribute_value("class_name", None)]
            try:
                judged += _judge(sample, detections, truth, image)
            except InputError as error:
                errors[sample.filepath] = str(error)
                continue
            voted |= any(d.get_attribute_value("vote_share", None) is not None for d in detections)
    return judged, "ssa" if voted else "engine", errors


def _judge(sample: fo.Sample, detections: list[fo.Detection], truth: Truth, image: int) -> list[JudgedMask]:
    read = readable_masks(fo.Detections(detections=detections), image_size_hw(sample.filepath))
    masks, detections = read.masks, [detections[place] for place in read.places]

    def every(name: str) -> list[Any]:
        return [detection.get_attribute_value(name, None) for detection in detections]

    similarities = np.array([number_or_nan(value) for value in every("name_similarity")], np.float64)
    proposals, grey = [_shares(d) for d in detections], [_shares(d, *COLOURLESS) for d in detections]
    colourless = np.array([number_or_nan(value) for value in every("colourless_share")], np.float64)
    names, sources = every("class_name"), every("label_source")
    said = named_masks(Named(masks, names, proposals, sources, similarities, colourless, grey))
    own_word = {truth.called(name): name for mask in said for proposed in mask.look for name in proposed.names}
    judged = []
    for mask, name, stored, true in zip(said, names, every("confidence"), truth.of(sample, masks), strict=True):
        right = truth.judge(true, name)
        if right is not None:
            known_as = name if right else own_word.get(min(true), min(true))
            judged.append(JudgedMask(mask, _share(stored), right, known_as, image))
    return judged


def _check_names(names: list[str], truth: Truth, label_field: str, gt_field: str) -> None:
    """Raises InputError where the truth has none of the names."""
    if names and truth.names and not any(map(truth.called, names)):
        true = first_names(sorted(truth.names))
        raise InputError(
            f"{label_field!r} ({first_names(names)}) and {gt_field!r} ({true}) have no name in common, so nothing is "
            "known to be right; give a truth with these names"
        )


def _check_judged(right: Flags, label_field: str, gt_field: str, errors: Mapping[str, str]) -> None:
    if len(right) < FEWEST:
        raise InputError(
            f"a calibration needs {FEWEST} masks whose truth is known, {gt_field!r} tells that of "
            f"{len(right)} in {label_field!r}; annotate more images that have a truth"
            + (f" (of some it could not be read: {next(iter(errors.values()))})" if errors else "")
        )
    if right.all() or not right.any():
        raise InputError(
            f"all names of {label_field!r} are {'right' if right.all() else 'wrong'} by {gt_field!r}, which tells no "
            "confidence from another; check the truth, or take more images"
        )


def _check_gain(error: tuple[float, float], area: tuple[float, float], noise: float) -> None:
    """Raises InputError where error and AUROC, before and after, both become worse, or AUROC by more than `noise`."""
    if area[1] < area[0] and (error[1] > error[0] or area[0] - area[1] > noise):
        what = "is worse" if error[1] > error[0] else "tells right names from wrong ones worse"
        raise InputError(
            f"a calibration {what} on images that it was not fitted on (error {error[0]:.3f} -> {error[1]:.3f}, "
            f"AUROC {area[0]:.3f} -> {area[1]:.3f}), so nothing is kept; take more images"
        )


def _held_out(judged: list[JudgedMask], half: npt.NDArray[np.int64], pipeline: str) -> Floats:
    """Each half's confidences by what the other half fits; where there is one only, by its own."""
    after = np.zeros(len(judged))
    for side in np.unique(half):
        mine = half == side
        others = mine if mine.all() else ~mine
        fitted = fit(list(compress(judged, others)), pipeline)
        after[mine] = fitted([mask.said for mask in compress(judged, mine)])
    return after


def _shares(detection: fo.Detection, *names: str) -> Proposals:
    found = stored_proposals(detection, *names, scored=True)
    return Proposals(found.names, tuple(map(_share, found.scores)))


def _share(stored: Any) -> float:
    """A stored number in [0, 1]; 0 for what is none."""
    return float(np.clip(np.nan_to_num(number_or_nan(stored)), 0.0, 1.0))
