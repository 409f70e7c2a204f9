"""Paint class maps anew from the labels as they stand, so that what people corrected reaches the maps and the mIoU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.utils as fou

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.files.images import read_image
from fiftyone_ssa.labels.appearance import try_to_prepare_app
from fiftyone_ssa.labels.database import check_shows, check_whole_images, needs_database, refresh, root_dataset
from fiftyone_ssa.labels.edited import mark_edited
from fiftyone_ssa.labels.fields import Fields, check_field_types, check_label_field
from fiftyone_ssa.labels.lease import hold
from fiftyone_ssa.labels.painter import Painter, Repainted
from fiftyone_ssa.naming.arguments import check_batch_size, check_device, check_dtype
from fiftyone_ssa.naming.run import Pipeline, Task, run
from fiftyone_ssa.presets import Preset, load_preset
from fiftyone_ssa.types import Inputs, MaskSet, SemanticMap


@needs_database()
def repaint(
    samples: Any,
    label_field: str = "ssa",
    *,
    preset: str | Path | Preset | None = None,
    overrides: Mapping[str, Any] | None = None,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int = 4,
    trust_remote_code: bool = False,
    progress: bool | Callable[[Any], None] | None = None,
) -> Repainted:
    """Paint `<label_field>_semantic` anew from the labels of `label_field` as they stand now.

    Each map begins with the segmenter's own (`<label_field>_branch`, kept by `keep_branch`, or computed here with
    `preset`), or else with what it shows now; on it every mask is painted in the class that its `label` names, large
    ones first. Rejected masks and those without a label are not painted. A label that is no class yet becomes one, at
    the end of the field's mask targets, so that other maps stay right; one that differs from a class in case, spaces or
    dashes only is that class. Maps that show their labels already are left alone, those of `auto` too: what is
    painted here has one class a mask, whatever the vote was. Files get new names, as in every run.

    Args:
        samples: a dataset, a view, or a dataset's name
        label_field ("ssa"): a Detections field
        preset (None): an SSA preset whose segmenter makes every map to begin with, which is then kept as
            `<label_field>_branch`; needed where there is no class map yet
        overrides (None): changes to the preset, `{"section.key": value}`
        device ("auto"): auto, cpu, cuda, cuda:N or mps, for the preset
        dtype ("auto"): auto, float32, bfloat16 or float16, for the preset
        batch_size (4): images at a time, for the preset
        trust_remote_code (False): whether to run code that comes with a Hugging Face model
        progress (None): FiftyOne's: True, False, None (its config) or a callback

    Returns the counts; `errors` are by file path. Raises InputError for a bad argument, or while another run writes
    the field.
    """
    if overrides and preset is None:
        raise InputError("overrides change a preset, and none is named; add preset=")
    device, dtype, batch_size = check_device(device), check_dtype(dtype), check_batch_size(batch_size)
    samples = collection(samples, "repaint")
    fields = check_repaint(samples, label_field, needs_maps=preset is None)
    chosen = _segmenter_of(preset, overrides) if preset is not None else None
    dataset = root_dataset(samples)
    with hold(dataset, label_field) as lease:
        refresh(dataset)
        paths = dict(zip(*samples.exists(label_field).values(["id", "filepath"]), strict=True))
        mark_edited(samples.exists(label_field), label_field)
        painter = Painter(dataset, fields, lease)
        painter.declare(with_branch=chosen is not None)
        maps: Iterator[tuple[str, SemanticMap | str | None]] = ((sample_id, None) for sample_id in paths)
        if chosen is not None and paths:
            from fiftyone_ssa.naming.pipeline import build_pipeline  # loads torch

            pipeline = build_pipeline(
                chosen, device=device, dtype=dtype, trust_remote_code=trust_remote_code, keep_branch=True
            )
            maps = _branch_maps(paths, pipeline, batch_size)
        with fou.ProgressBar(total=len(paths), progress=progress) as bar:
            for sample_id, branch in bar(maps):
                painter.paint(sample_id, paths[sample_id], branch)
        painter.finish()
        try_to_prepare_app(dataset, label_field)  # classes that people named have a colour in the maps, too
    return painter.done


def check_repaint(samples: Any, label_field: str, *, needs_maps: bool = True) -> Fields:
    """Raise InputError where `repaint` would: no such labels, or no class map to begin with and no preset."""
    dataset, fields = root_dataset(samples), check_label_field(label_field)
    known = sorted(dataset.get_field_schema(embedded_doc_type=fo.Detections))
    if label_field not in known:
        raise InputError(
            f"label_field must be a Detections field of {dataset.name!r}, got {label_field!r}; "
            f"it has {', '.join(known) or 'none'}"
        )
    check_shows(samples, label_field)
    check_field_types(dataset, {fields.semantic: fo.Segmentation, fields.branch: fo.Segmentation})
    if needs_maps and not dataset.has_sample_field(fields.semantic) and not dataset.has_sample_field(fields.branch):
        raise InputError(
            f"{label_field!r} has no class maps to begin with ({fields.semantic!r} is not there); "
            "pass preset=, whose segmenter makes them"
        )
    return fields


def collection(samples: Any, doing: str) -> Any:
    """A dataset or view, or the dataset of a name. Raises InputError where there is none, or no whole images."""
    if isinstance(samples, fo.core.collections.SampleCollection):
        check_whole_images(samples, doing)
        return samples
    if not isinstance(samples, str) or not fo.dataset_exists(samples):
        near = ", ".join(fo.list_datasets()[:5]) or "none"
        raise InputError(f"there is no dataset {shown(samples)} to {doing}; name one that is there: {near}")
    return fo.load_dataset(samples)


def _segmenter_of(preset: str | Path | Preset, overrides: Mapping[str, Any] | None) -> Preset:
    """A preset of which only the segmenter works."""
    given = {**(overrides or {}), "masks.source": "existing"}
    chosen = load_preset(preset, given)
    if chosen.pipeline != "ssa" or chosen.semantic.source == "field":
        raise InputError(f"{chosen.name} has no segmenter that makes class maps; pass an SSA preset with one")
    return load_preset(chosen, {"semantic.vote": "hard"})


def _branch_maps(
    paths: Mapping[str, str], pipeline: Pipeline, batch_size: int
) -> Iterator[tuple[str, SemanticMap | str]]:
    """Each sample id with the segmenter's own map of its image, or why there is none."""
    tasks = (Task(sample_id, partial(_without_masks, path)) for sample_id, path in paths.items())
    for result in run(tasks, pipeline, batch_size=batch_size):
        branch = result.annotation.branch if result.annotation is not None else None
        yield result.id, branch if branch is not None else result.error or "the segmenter made no map"


def _without_masks(path: str) -> Inputs:
    image = read_image(path)
    return Inputs(image, MaskSet.empty((image.shape[0], image.shape[1])))
