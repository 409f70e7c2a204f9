"""Name the masks of a FiftyOne dataset or view: read its samples, run a preset's pipeline, write labels."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.utils as fou

from fiftyone_ssa.errors import DeviceLostError, InputError, shown
from fiftyone_ssa.labels import embeddings, runs
from fiftyone_ssa.labels.appearance import try_to_prepare_app
from fiftyone_ssa.labels.brain import try_to_offer
from fiftyone_ssa.labels.calibration import calibration_of, fitted_weights
from fiftyone_ssa.labels.clean import default_folder, remove_leftovers
from fiftyone_ssa.labels.database import check_shows, check_whole_images, needs_database, refresh, root_dataset
from fiftyone_ssa.labels.documents import MAX_INLINE_BYTES
from fiftyone_ssa.labels.fields import check_field_types, check_label_field, check_source_fields
from fiftyone_ssa.labels.job_record import Cancelled
from fiftyone_ssa.labels.lease import Lease, hold
from fiftyone_ssa.labels.plan import Overwrite, Plan, check_content, check_overwrite, content, plan
from fiftyone_ssa.labels.source import Source, class_names
from fiftyone_ssa.labels.writer import LabelWriter
from fiftyone_ssa.masks.foreign import is_number
from fiftyone_ssa.models.factories import tell_whose_code
from fiftyone_ssa.naming.arguments import (
    LARGEST_WORKERS,
    check_batch_size,
    check_count,
    check_device,
    check_dtype,
    check_flag,
    check_path,
)
from fiftyone_ssa.naming.confidence import Calibrated, Calibration
from fiftyone_ssa.naming.run import Pipeline, Summary, Task, overlap, run
from fiftyone_ssa.naming.side_by_side import Recipe, run_side_by_side
from fiftyone_ssa.naming.stamp import Settings, settings_stamp
from fiftyone_ssa.naming.workers import Workers
from fiftyone_ssa.presets import Preset, load_preset
from fiftyone_ssa.types import Result

logger = logging.getLogger(__name__)


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
    overwrite: Overwrite = False,
    keep_branch: bool = False,
    keep_embeddings: bool = False,
    trust_remote_code: bool = False,
    workers: int = 1,
    mask_files_above: float = 4.0,
    progress: bool | Callable[[Any], None] | None = None,
) -> Summary:
    """Name every mask of a FiftyOne image dataset or view, and write labels (`labels.documents` says how).

    Fills `label_field`, `<label_field>_semantic`, `<label_field>_branch` with `keep_branch`, `<label_field>_preset`,
    `<label_field>_inputs` and, for images that fail, `<label_field>_error`. Samples are skipped that were done with
    the same settings, from inputs that are still the same, and whose labels and files are all there. At the end the
    App is set to show them well, where nobody set it (`prepare_app`).

    Args:
        samples: a dataset or view of images
        preset ("ssa-ade20k"): the name of a preset, a TOML file, or a Preset
        label_field ("ssa"): the Detections field to fill. One that holds results of other settings needs
            `overwrite`; one that holds Detections of someone else is refused, unless it is `masks_field`, too
        overrides (None): changes to the preset, `{"section.key": value}`
        masks_field (None): a Detections field to take masks from; by default SAM makes them or, where the preset
            says "existing", the SA-1B style JSON beside each image has them. If it is `label_field`, its masks are
            named in place: ids and all other attributes stay, and so does a label that is there (`class_name` then
            says what SSA calls the mask)
        semantic_field (None): a Segmentation field that stands in for the segmenter
        semantic_dir (None): the folder of class maps, by default one of this dataset's own in FiftyOne's default
            dataset folder. Every run gives its files new names; `clean` removes those that nothing points to
        device ("auto"): auto, cpu, cuda, cuda:N or mps
        dtype ("auto"): auto, float32, bfloat16 or float16
        batch_size (4): images at a time
        overwrite (False): True redoes finished samples, too, except for masks that people touched: those stay as
            they are, and new masks that overlap one (IoU of 0.5) give way. "everything" drops those as well. A run
            that was killed is gone on with where it was
        keep_branch (False): whether to keep the segmenter's own map, too
        keep_embeddings (False): whether to keep what CLIP saw in each mask (engine presets only), so that `find_like`,
            the App's "sort by similarity" and its Embeddings panel find masks that look alike
        trust_remote_code (False): whether to run code that comes with a Hugging Face model
        workers (1): processes of this machine that work side by side, each with models of its own: as many as there are
            GPUs, which they take in turn unless `device` names one. This process reads and writes; labels are the same
        mask_files_above (4.0): megabytes that the masks of one image may take in the database; where they take more,
            each goes to a PNG file of 1 bit beside the class maps. 0 for large datasets: documents then hold no pixels
        progress (None): FiftyOne's: True, False, None (its config) or a callback

    Returns the counts; `errors` are by file path. Raises InputError for a bad argument or preset, if the field must
    not be replaced or another run writes it, if the disk takes no labels, or if dataset or field disappear;
    MissingDependencyError if the database is not there; DeviceLostError if the GPU fails, what was done before is kept.
    """
    job = Job(
        samples,
        label_field=label_field,
        preset=preset,
        overrides=overrides,
        masks_field=masks_field,
        semantic_field=semantic_field,
        overwrite=overwrite,
        keep_branch=keep_branch,
        keep_embeddings=keep_embeddings,
    )
    models = _Models(
        job.preset,
        device,
        dtype,
        trust_remote_code,
        keep_branch=job.keeps_branch,
        keep_embeddings=job.keeps_embeddings,
    )
    check_batch_size(batch_size)
    check_count("workers", workers, most=LARGEST_WORKERS)
    inline_bytes = _inline_bytes(mask_files_above)
    folder = check_path("semantic_dir", semantic_dir).resolve() if semantic_dir is not None else None
    with hold(job.dataset, label_field) as lease:
        refresh(job.dataset)
        settings = job.settings()
        if not settings.known:  # a hub model that is not here yet: its revision is known when it is
            models.load()
            settings = job.settings()
        folder = folder or default_folder(job.dataset)
        try:
            summary = _run(job, models, settings, lease, folder, batch_size, workers, inline_bytes, progress)
        except (Cancelled, DeviceLostError):
            try_to_prepare_app(job.dataset, label_field)  # what is done stays, and is looked at
            raise
        try_to_prepare_app(job.dataset, label_field)
    return summary


class Job:
    """What is to be done with which settings, its arguments checked; nothing is loaded and nothing written."""

    def __init__(
        self,
        samples: Any,
        *,
        label_field: str,
        preset: str | Path | Preset,
        overrides: Mapping[str, Any] | None = None,
        masks_field: str | None = None,
        semantic_field: str | None = None,
        overwrite: Any = False,
        keep_branch: bool = False,
        keep_embeddings: bool = False,
    ) -> None:
        """Raises InputError for a bad preset or argument, or fields that are not there or of another type."""
        self.fields = check_label_field(label_field)
        self.preset = _choose(preset, overrides, masks_field, semantic_field)
        self.overwrite = check_overwrite(overwrite)
        check_samples(samples)
        self.dataset = root_dataset(samples)
        if self.preset.masks.concepts and masks_field == label_field:
            raise InputError(
                "masks.concepts adds masks, and a field that is named in place keeps its own; choose another "
                "label_field"
            )
        if self.preset.open_vocabulary.decision == "fused" and not self.preset.open_vocabulary.weights:
            fitted = fitted_weights(self.dataset, self.fields.label)
            self.preset = load_preset(self.preset, {"open_vocabulary.weights": fitted})
        check_source_fields(self.dataset, self.fields, masks_field, semantic_field)
        check_shows(samples, masks_field, semantic_field)
        check_field_types(self.dataset, self.fields.types(self.preset.pipeline, check_flag("keep_branch", keep_branch)))
        ssa = self.preset.pipeline == "ssa"
        self.maps = (*((self.fields.semantic,) if ssa else ()), *((self.fields.branch,) if keep_branch else ()))
        self.keeps_branch = keep_branch or (ssa and self.dataset.has_sample_field(self.fields.branch))
        self.needs_embeddings = embeddings.check_keep_embeddings(keep_embeddings, self.preset)
        self.keeps_embeddings = keep_embeddings or (not ssa and embeddings.are_kept(self.dataset, self.fields.label))
        targets = class_names(samples, semantic_field) if semantic_field is not None else {}
        existing = self.preset.masks.source == "existing"
        self.source = Source(
            samples,
            existing,
            masks_field,
            semantic_field,
            targets,
            reads_names=existing and self.preset.masks.names == "proposed",
            in_place=masks_field == label_field,
        )

    def settings(self) -> Settings:
        """All that the labels depend on besides the samples; reads the models' files, once in a process."""
        return settings_stamp(
            self.preset, masks_field=self.source.masks_field, semantic_field=self.source.semantic_field
        )

    def check_content(self, *, at_most: int | None = None) -> None:
        """Raise InputError if the label field holds what this job must not replace, `at_most` in so many samples."""
        found = content(self.dataset, self.fields, at_most)
        if not found.is_empty:
            check_content(found, self.dataset, self.fields, self.settings(), self.overwrite, self.source.masks_field)


class _Models:
    """A preset's models, loaded when they are needed: a dataset that is done needs none."""

    def __init__(
        self,
        preset: Preset,
        device: str,
        dtype: str,
        trust_remote_code: bool,
        *,
        keep_branch: bool,
        keep_embeddings: bool,
    ) -> None:
        self._preset = preset
        self._pipeline: Pipeline | None = None
        self._options: dict[str, Any] = {
            "device": check_device(device),
            "dtype": check_dtype(dtype),
            "trust_remote_code": check_flag("trust_remote_code", trust_remote_code),
            "keep_branch": keep_branch,
            "keep_embeddings": keep_embeddings,
        }

    def load(self) -> Pipeline:
        """The pipeline."""
        if self._pipeline is None:
            from fiftyone_ssa.naming.pipeline import build_pipeline  # loads torch

            tell_whose_code(self._preset, self._options["trust_remote_code"], logger.warning)
            self._pipeline = build_pipeline(self._preset, **self._options)
        return self._pipeline

    @contextmanager
    def runner(
        self, batch_size: int, workers: int, calibration: Calibration | None
    ) -> Iterator[Callable[[Iterator[Task]], Iterator[Result]]]:
        """What makes results of tasks: in this process, or in several that end with the context."""
        if workers == 1:
            pipeline = self.load()
            if calibration is not None:
                pipeline = Calibrated(pipeline, calibration)
            yield lambda tasks: run(tasks, pipeline, batch_size=batch_size)
            return
        if self._pipeline is None:
            tell_whose_code(self._preset, self._options["trust_remote_code"], logger.warning)
        self._pipeline = None  # each process has its own
        recipe = Recipe(self._preset, **self._options, calibration=calibration, batch_size=batch_size)
        with Workers(recipe, workers) as pool:
            yield lambda tasks: run_side_by_side(tasks, pool, batch_size=batch_size)


def _run(
    job: Job,
    models: _Models,
    settings: Settings,
    lease: Lease,
    folder: Path,
    batch_size: int,
    workers: int,
    inline_bytes: int,
    progress: Any,
) -> Summary:
    """Do what is not done yet, with the lease on the label field held."""
    dataset, fields = job.dataset, job.fields
    remove_leftovers(fields.label, runs.killed(dataset, fields.label))
    goes_on = runs.unfinished(dataset, fields.label, settings, job.overwrite)
    chosen = plan(
        dataset,
        fields,
        job.source,
        settings.fingerprint,
        job.maps,
        goes_on if job.overwrite else None,
        job.needs_embeddings,
    )
    summary = Summary(skipped=chosen.skipped, redone=chosen.redone)
    if not chosen.paths:
        runs.finish(goes_on)
        return summary
    job.check_content()
    calibration = calibration_of(dataset, fields.label, job.preset)
    with models.runner(batch_size, min(workers, len(chosen.paths)), calibration) as runner:
        class_filter = job.preset.open_vocabulary.class_filter if job.keeps_embeddings else ""
        token = runs.begin(dataset, fields.label, job.preset.name, settings, folder, job.overwrite, class_filter)
        writer = LabelWriter(
            dataset,
            fields,
            token,
            settings.fingerprint,
            folder,
            lease,
            job.source.taken,
            everything=job.overwrite == "everything",
            in_place=job.source.masks_field == fields.label,
            levels=job.preset.masks.levels == "written",
            inline_bytes=inline_bytes,
            from_before=chosen.from_before,
        )
        writer.declare(job.preset, job.keeps_branch, job.keeps_embeddings)
        started = time.perf_counter()
        _write_all(runner(job.source.tasks(chosen.paths)), writer, summary, len(chosen.paths), progress)
    runs.finish({token, *goes_on})
    summary.seconds = time.perf_counter() - started
    _count(summary, writer, chosen)
    summary.tell_bad_masks()
    if job.keeps_embeddings:
        try_to_offer(dataset, fields.label)
    return summary


def _inline_bytes(megabytes: Any) -> int:
    """`mask_files_above` in bytes. Raises InputError for what a document cannot hold."""
    most = MAX_INLINE_BYTES / 1e6
    if not is_number(megabytes) or not 0 <= megabytes <= most:
        raise InputError(f"mask_files_above must be a number of megabytes from 0 to {most:g}, got {shown(megabytes)}")
    return int(1e6 * megabytes)


def _write_all(results: Iterator[Result], writer: LabelWriter, summary: Summary, total: int, progress: Any) -> None:
    try:
        with (
            fou.ProgressBar(total=total, progress=progress) as bar,
            closing(overlap(results, writer.write)) as written,
        ):
            for result in bar(written):
                summary.add(result)
    except Exception:
        writer.check_there()  # a dataset that is gone makes FiftyOne say all kinds of things
        raise
    finally:
        writer.flush()


def _count(summary: Summary, writer: LabelWriter, chosen: Plan) -> None:
    """Correct what was counted when results came by what became of them, and name errors by file path."""
    unwritten = writer.deleted | writer.refused.keys()
    summary.done -= len(unwritten - summary.errors.keys())
    summary.masks -= writer.unwritten_masks
    summary.unlabelled -= writer.unwritten_unlabelled
    summary.kept, summary.deleted = writer.kept, len(writer.deleted)
    failed = {**summary.errors, **writer.refused}
    summary.errors = {
        chosen.paths[sample_id]: reason for sample_id, reason in failed.items() if sample_id not in writer.deleted
    }


def _choose(
    preset: str | Path | Preset,
    overrides: Mapping[str, Any] | None,
    masks_field: str | None,
    semantic_field: str | None,
) -> Preset:
    """The preset, with the fields that stand in for its models."""
    if not isinstance(overrides or {}, Mapping):
        raise InputError(f'overrides must be {{"section.key": value}}, got {shown(overrides)}')
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


def check_samples(samples: Any) -> None:
    """Raise InputError unless `samples` are images of a dataset, and there is one."""
    if not isinstance(samples, fo.core.collections.SampleCollection):
        raise InputError(f"samples must be a FiftyOne dataset or view, got {type(samples).__name__}; load one first")
    if getattr(samples, "deleted", False):
        raise InputError("this dataset was deleted; load another one")
    check_whole_images(samples, "annotate")
    if not samples.limit(1).count():
        raise InputError("there is no sample to annotate; add images to the dataset, or widen the view")
