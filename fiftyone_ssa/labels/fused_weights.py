"""What the fused decision's weights are fitted on: masks of a dataset whose truth is known, looked at again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.utils as fou
import numpy as np

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.files.images import read_image
from fiftyone_ssa.labels.stored_masks import readable_masks
from fiftyone_ssa.labels.truth import Truth
from fiftyone_ssa.naming.fusing_fit import Case
from fiftyone_ssa.presets import Preset, load_preset
from fiftyone_ssa.types import Inputs


def check_fused(preset: str | Path | Preset, overrides: Mapping[str, Any] | None = None) -> Preset:
    """A preset whose decision has weights, to be asked about masks that are there. Raises InputError for others."""
    chosen = load_preset(preset, {**(overrides or {}), "masks.source": "existing"})
    if chosen.pipeline != "engine" or chosen.open_vocabulary.decision != "fused":
        raise InputError(
            f"only a fused decision has weights to fit, preset {shown(chosen.name)} has none; give an engine preset "
            'with open_vocabulary.decision = "fused", or none'
        )
    return chosen


def trace_cases(samples: Any, label_field: str, truth: Truth, preset: Preset, device: str, progress: Any) -> list[Case]:
    """What the preset's models say of every name for every mask of `label_field` whose truth is known.

    Images that cannot be read or judged are left out, as `calibrate` tells of them already.
    """
    from fiftyone_ssa.naming.pipeline import build_pipeline  # loads torch

    engine: Any = build_pipeline(preset, device=device)
    cases: list[Case] = []
    with fou.ProgressBar(total=len(samples), progress=progress) as bar:
        for place, sample in enumerate(bar(samples.iter_samples())):
            try:
                cases += _cases(sample, label_field, truth, engine, place % 2)
            except InputError:
                continue
    return cases


def _cases(sample: fo.Sample, label_field: str, truth: Truth, engine: Any, half: int) -> list[Case]:
    image = read_image(sample.filepath)
    detections = [d for d in sample[label_field].detections if d.get_attribute_value("class_name", None)]
    masks = readable_masks(fo.Detections(detections=detections), image.shape[:2]).masks
    right = truth.of(sample, masks)
    engine.fusion.traced = []
    engine([Inputs(image, masks)])
    found = []
    for traced in engine.fusion.traced:
        called = [truth.called(name) for name in traced.names]
        known = [name is not None for name in called]
        for candidate in traced.group:
            names = right[candidate.index]
            # a truth that knows no wheels would teach to call them cars
            if names and truth.called(candidate.label) is not None:
                flags = np.array([name in names for name in called], np.bool_)
                found.append(Case(candidate.terms[known], flags[known], half))
    return found
