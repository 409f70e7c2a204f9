"""Name the masks of a FiftyOne dataset or view: read its samples, run a preset's pipeline, write labels."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.utils as fou

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import read_image
from fiftyone_ssa.folders.image_folder import masks_beside
from fiftyone_ssa.folders.sa1b_json import read_masks
from fiftyone_ssa.labels.database import needs_database
from fiftyone_ssa.labels.documents import semantic_map
from fiftyone_ssa.labels.stored_masks import mask_set_from_detections, stored_values
from fiftyone_ssa.labels.writer import Fields, LabelWriter, check_fields, unfinished
from fiftyone_ssa.naming.run import Summary, Task, overlap, run
from fiftyone_ssa.presets import Preset, load_preset
from fiftyone_ssa.types import Inputs

READ_SAMPLES = 64
"""Samples whose labels are fetched with one query."""


@needs_database()
def annotate(
    samples: Any,
    preset: str | Path | Preset = "ssa-ade20k",
    *,
    label_field: str = "ssa",
    overrides: Mapping[str, Any] | None = None,
    masks_field: str | None = None,
    semantic_field: str | None = None,
    semantic_dir: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int = 4,
    overwrite: bool = False,
    keep_branch: bool = False,
    trust_remote_code: bool = False,
    progress: bool | Callable[[Any], None] | None = None,
) -> Summary:
    """Name every mask of a FiftyOne image dataset or view, and write labels (`labels.documents` says how).

    Masks are made by SAM or, where the preset says "existing", read from the SA-1B style JSON beside each image;
    `masks_field` (Detections) takes them from there instead. `semantic_field` (Segmentation) stands in for the
    segmenter. Fills `label_field`, `<label_field>_semantic` (PNG files below `semantic_dir`, by default a folder of
    this dataset's own in FiftyOne's default dataset folder), `<label_field>_branch` with `keep_branch`,
    `<label_field>_preset` and, for images that fail, `<label_field>_error`. Samples that were done with the same
    preset and fields are skipped unless `overwrite`. `overrides` are `{"section.key": value}`; `progress` is
    FiftyOne's: True, False, None (its config) or a callback. The summary's errors are by file path.
    Raises InputError for a bad argument or preset or if the disk takes no labels, MissingDependencyError if the
    database is not there.
    """
    fields = Fields(label_field)
    chosen = _choose(preset, overrides, masks_field, semantic_field)
    _check_samples(samples)
    dataset = samples._root_dataset
    _check_fields(dataset, fields, masks_field, semantic_field)
    check_fields(dataset, fields.types(chosen.pipeline, keep_branch))
    targets = _targets(dataset, semantic_field) if semantic_field is not None else {}
    source = _Source(samples, chosen.masks.source == "existing", masks_field, semantic_field, targets)
    stamp = "|".join(filter(None, (chosen.fingerprint, masks_field, semantic_field)))
    todo = samples if overwrite else unfinished(samples, fields, stamp, keep_branch)
    paths = dict(zip(*todo.values(["id", "filepath"]), strict=True))
    summary = Summary(skipped=len(samples) - len(paths))
    if not paths:
        return summary
    from fiftyone_ssa.naming.pipeline import build_pipeline  # loads torch

    pipeline = build_pipeline(
        chosen, device=device, dtype=dtype, trust_remote_code=trust_remote_code, keep_branch=keep_branch
    )
    folder = Path(semantic_dir).expanduser().resolve() if semantic_dir is not None else default_folder(dataset)
    writer = LabelWriter(dataset, fields, stamp, folder, todo)
    writer.declare(chosen.pipeline, keep_branch)
    results = run(source.tasks(paths), pipeline, batch_size=batch_size)
    started = time.perf_counter()
    try:
        with fou.ProgressBar(total=len(paths), progress=progress) as bar:
            for result in bar(overlap(results, writer.write)):
                summary.add(result)
    finally:
        writer.flush()
    summary.seconds = time.perf_counter() - started
    summary.done -= len(writer.refused)
    summary.errors = {paths[sample_id]: reason for sample_id, reason in {**summary.errors, **writer.refused}.items()}
    return summary


def default_folder(dataset: fo.Dataset) -> Path:
    """Where a dataset's class maps go if no one says otherwise: a folder no other dataset ever gets."""
    return Path(fo.config.default_dataset_dir) / "fiftyone-ssa" / f"{dataset.slug}-{dataset._doc.id}"


def _choose(
    preset: str | Path | Preset,
    overrides: Mapping[str, Any] | None,
    masks_field: str | None,
    semantic_field: str | None,
) -> Preset:
    """The preset, with the fields that stand in for its models."""
    given = dict(overrides or {})
    if masks_field is not None:
        given["masks.source"] = "existing"
    chosen = load_preset(preset, given)
    if semantic_field is not None:
        if chosen.pipeline != "ssa":
            raise InputError(f"semantic_field is for SSA presets; {chosen.name} is an engine preset, leave it out")
        chosen = load_preset(chosen, {"semantic.source": "field"})
    elif chosen.pipeline == "ssa" and chosen.semantic.source == "field":
        raise InputError('semantic.source is "field": pass semantic_field, the name of a Segmentation field')
    return chosen


def _check_samples(samples: Any) -> None:
    if not isinstance(samples, fo.core.collections.SampleCollection):
        raise InputError(f"samples must be a FiftyOne dataset or view, got {type(samples).__name__}; load one first")
    if samples._is_generated:
        raise InputError("annotate takes whole images, got a view of patches, clips or frames; pass the view before it")
    if not len(samples):
        raise InputError("there is no sample to annotate; add images to the dataset, or widen the view")
    if samples.media_type != "image":
        raise InputError(
            f"annotate takes images, got a {samples.media_type} dataset; "
            "choose one image slice with select_group_slices(), or frames with to_frames(sample_frames=True)"
        )


def _check_fields(dataset: fo.Dataset, fields: Fields, masks_field: str | None, semantic_field: str | None) -> None:
    if not isinstance(fields.label, str) or not re.fullmatch(r"[^\W\d_]\w*", fields.label):
        raise InputError(
            f"label_field must be a name of letters, digits and underscores that starts with a letter, "
            f"got {fields.label!r}; for example 'ssa'"
        )
    for argument, name, kind in (
        ("masks_field", masks_field, fo.Detections),
        ("semantic_field", semantic_field, fo.Segmentation),
    ):
        known = sorted(dataset.get_field_schema(embedded_doc_type=kind))
        if name is not None and name not in known:
            raise InputError(
                f"{argument} must be a {kind.__name__} field of {dataset.name!r}, got {name!r}; "
                f"it has {', '.join(known) or 'none'}"
            )
        if name is not None and name in (fields.label, fields.semantic, fields.branch):
            raise InputError(f"{argument} {name!r} would be overwritten while it is read; choose another label_field")


def _targets(dataset: fo.Dataset, semantic_field: str) -> Mapping[int, str]:
    targets: Mapping[int, str] = dataset.mask_targets.get(semantic_field) or dataset.default_mask_targets
    if not targets:
        raise InputError(
            f"{semantic_field!r} has no class names; set dataset.mask_targets[{semantic_field!r}] "
            "= {value: name, ...} and dataset.save()"
        )
    return targets


@dataclass(frozen=True)
class _Source:
    """What is read of each sample."""

    samples: Any
    existing_masks: bool
    masks_field: str | None
    semantic_field: str | None
    targets: Mapping[int, str]
    """Pixel value to class name of `semantic_field`."""

    def tasks(self, paths: Mapping[str, str]) -> Iterator[Task]:
        """One task per sample id and file path, in that order; labels are fetched a bounded number at a time."""
        remaining = iter(paths)
        while chunk := list(islice(remaining, READ_SAMPLES)):
            documents = self._documents(chunk)
            for sample_id in chunk:
                yield Task(sample_id, partial(self._read, paths[sample_id], documents.get(sample_id, {})))

    def _documents(self, sample_ids: list[str]) -> dict[str, dict[str, Any]]:
        """Sample id to its labels as the database holds them (a view may filter them), to be decoded by the readers."""
        wanted = [name for name in (self.masks_field, self.semantic_field) if name is not None]
        if not wanted:
            return {}
        view = self.samples.select(sample_ids).select_fields(wanted)
        return {str(document["_id"]): document for document in view._aggregate()}

    def _read(self, path: str, document: dict[str, Any]) -> Inputs:
        image = read_image(path)
        size_hw = (image.shape[0], image.shape[1])
        masks = semantic = None
        if self.masks_field is not None:
            label = document.get(self.masks_field)
            if label is None:
                raise InputError(f"{path} has no label in {self.masks_field!r}")
            masks = mask_set_from_detections(label, size_hw)
        elif self.existing_masks:
            masks = read_masks(masks_beside(Path(path)), size_hw)
        if self.semantic_field is not None:
            label = document.get(self.semantic_field)
            values = stored_values(label) if label is not None else None
            if values is None:
                raise InputError(f"{path} has no class map in {self.semantic_field!r}")
            semantic = semantic_map(values, self.targets)
        return Inputs(image, masks, semantic)
