"""Which classes two Segmentation fields of a dataset are compared in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.comparison import Classes, Targeted, Targets
from fiftyone_ssa.labels.database import root_dataset
from fiftyone_ssa.layouts.class_names import first_names, match_names


def compared_classes(samples: Any, pred_field: str, gt_field: str, given: Targets | None) -> Classes:
    """The classes of two fields. Raises InputError if one has none, or no name is in both."""
    dataset = root_dataset(samples)
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"mask_targets must map stored values to names, got {type(given).__name__}")
    own, default = dataset.mask_targets, dataset.default_mask_targets
    truth_targets = given or own.get(gt_field) or default or own.get(pred_field)
    pred_targets = own.get(pred_field) or given or default or truth_targets
    truth, predicted = Targeted(gt_field, truth_targets or {}), Targeted(pred_field, pred_targets or {})
    if not truth.names or not predicted.names:
        raise InputError(
            f"there are no classes for {gt_field!r}: pass mask_targets={{1: 'name', ...}} or set "
            f"dataset.mask_targets[{gt_field!r}]"
        )
    match = match_names(predicted.names, truth.names)
    if match.none_in_common:
        raise InputError(
            f"{pred_field!r} ({first_names(predicted.names)}) and {gt_field!r} ({first_names(truth.names)}) "
            "have no class name in common; check their mask targets"
        )
    notes = match.sentences()
    if pred_field not in own and not given and not default:
        notes.append(f"{pred_field!r} has no mask targets of its own: its values are read as those of {gt_field!r}")
    for field, targeted in ((gt_field, truth), (pred_field, predicted)):
        if targeted.background is not None:
            notes.append(
                f"value 0 of {field!r} ({targeted.background!r}) is left out: FiftyOne takes it for background"
            )
    return Classes(truth, predicted, match.ids, tuple(notes))
