"""Masks with their names for other tools: any view or folder of results, in any format, streaming."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.utils as fou

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.exports.card_counts import CardCounts
from fiftyone_ssa.exports.categories import Given, Ids, assign
from fiftyone_ssa.exports.data_card import card_texts, data_card
from fiftyone_ssa.exports.export_arguments import check_media, check_samples, check_target, given_categories, held
from fiftyone_ssa.exports.export_run import ExportRun, ExportSummary
from fiftyone_ssa.exports.folder import ExportFolder, told
from fiftyone_ssa.exports.formats import format_of, writer_of
from fiftyone_ssa.exports.image_masks import Choice
from fiftyone_ssa.exports.loss import LOSS_FILE, LossReport
from fiftyone_ssa.exports.parquet_source import ParquetSource, is_parquet_labels
from fiftyone_ssa.exports.pictures import Names, check_sources
from fiftyone_ssa.exports.remembered import remembered_of
from fiftyone_ssa.exports.result_source import ResultSource
from fiftyone_ssa.exports.sources import DatasetSource, MapSource, Source
from fiftyone_ssa.exports.splits import Splits
from fiftyone_ssa.exports.writing import ExportClass, ExportJob, Media, Writer, check_options
from fiftyone_ssa.files.printable import in_utf8, is_utf8
from fiftyone_ssa.labels.database import needs_database
from fiftyone_ssa.layouts.ontology import Ontology
from fiftyone_ssa.masks.foreign import is_number
from fiftyone_ssa.naming.arguments import check_count, check_flag, check_path


@needs_database()
def export(
    samples: Any,
    export_dir: str | Path,
    *,
    format: str = "coco",
    label_field: str = "ssa",
    export_media: bool | Media | None = None,
    rel_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    classes: Sequence[str] | None = None,
    categories: str | Path | Mapping[str, int] | Sequence[Mapping[str, Any]] | None = None,
    ontology: Ontology | str | Path | None = None,
    splits: Mapping[str, float] | str | None = None,
    seed: int = 51,
    min_confidence: float = 0.0,
    min_area_px: int = 1,
    unreviewed: bool = True,
    fail_on_loss: bool | float = False,
    overwrite: bool = False,
    progress: bool | Callable[..., Any] | None = None,
    **options: Any,
) -> ExportSummary:
    """Write masks with their names in a format that other tools read, and say what the format could not hold.

    The folder is made whole or left as it was. Masks rejected in review are left out, and so is an image or a mask that
    cannot be read, which the summary names. `loss.json` in the folder is the loss report.

    Args:
        samples: an image dataset or view, exported as the view shows it; or the path of a folder of
            results, or of one that `annotate --format parquet` wrote
        export_dir: a new or empty folder, or one that holds an export of this format
        format ("coco"): one of `fiftyone_ssa.exports.formats.FORMATS`
        label_field ("ssa"): the Detections field, or one of class maps, each class of an image one mask
        export_media (None): what becomes of the images: True or "copy" (the default), "symlink", or False or "none" to
            leave them where they are
        rel_dir (None): the folder below which images keep their folders, by default the one that holds them all
        data_dir (None): of a folder of results the folder of its images, by default the same; of Parquet labels a
            folder for images that lie in tars or files of rows, by default they are there while they are copied only
        classes (None): the names to export, in the order of their ids, from 1; other masks are left out
        categories (None): ids that stay: a mapping of names to ids, COCO's list of categories, or the path of a JSON
            file of one of them, to which new names are added
        ontology (None): an `Ontology` or its file: it says what each name is exported as, ids, colours, and what is a
            thing; names that it does not know are left out
        splits (None): shares of the images by split, as `{"train": 0.8, "val": 0.2}`, or the name of a field of texts
            (or `tags`) that holds each image's split
        seed (51): another seed gives another draw of splits by share
        min_confidence (0.0): masks with a lower confidence are left out
        min_area_px (1): masks of fewer pixels are left out
        unreviewed (True): whether masks that nobody has reviewed are exported, too
        fail_on_loss (False): write nothing if a mask would be read back with other pixels, or, given a number, with an
            IoU below it
        overwrite (False): whether to replace an export that stands in the folder
        progress (None): FiftyOne's: True, False, None (its config) or a callback
        options: the format's own, by their names; docs/export.md lists them

    Returns:
        an ExportSummary; `summary.loss` is the LossReport

    Raises:
        InputError: if an argument is wrong, or the folder holds something else or cannot be written
        LossError: if `fail_on_loss` says so; its `report` says what was lost
        MissingDependencyError: if the database, or a package that the format needs, is not there
    """
    source = source_of(samples, label_field, data_dir)
    request = Request(
        format=format,
        media=check_media(export_media),
        rel_dir=rel_dir,
        classes=classes,
        categories=categories,
        ontology=loaded(ontology),
        only=ontology is not None or classes is not None,
        splits=splits_of(source, splits, seed),
        choice=Choice(
            min_confidence=least_confidence(min_confidence),
            min_area_px=check_count("min_area_px", min_area_px),
            unreviewed=check_flag("unreviewed", unreviewed),
            ours=source.ours,
        ),
        least_iou=_least_iou(fail_on_loss),
        overwrite=check_flag("overwrite", overwrite),
        options=options,
    )
    return run_export(source, export_dir, request, progress)


@dataclass(frozen=True)
class Request:
    """What is asked of an export, checked."""

    format: str = "coco"
    media: Media = "copy"
    rel_dir: Any = None
    classes: Any = None
    categories: Any = None
    ontology: Ontology | None = None
    only: bool = False
    """Whether masks of other classes than those are left out."""
    splits: Splits = field(default_factory=Splits)
    choice: Choice = field(default_factory=Choice)
    loss: bool = True
    """Whether the loss is reported."""
    least_iou: float = 0.0
    overwrite: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


def run_export(source: Source, export_dir: Any, request: Request, progress: Any = None) -> ExportSummary:
    """Export a source, checked before anything is done."""
    folder, run, given, ids = _prepared(source, export_dir, request)
    with folder, told(folder.root):
        digest = _write(source, run, progress)
        _finish(run, request, source, digest, given, ids)
    return run.summary


def _prepared(source: Source, export_dir: Any, request: Request) -> tuple[ExportFolder, ExportRun, Given, Ids]:
    """All that an export needs, with nothing written yet. Raises InputError if anything is wrong or in the way."""
    entry, writer_type = format_of(request.format), writer_of(request.format)
    if writer_type.needs_media and request.media == "none":
        raise InputError(f"{entry.label} needs the images in its folder; choose export_media 'copy' or 'symlink'")
    if request.media != "copy" and not source.lasting:
        raise InputError(
            f"images of {source.name} lie in tars or files of rows; copy them, or name with data_dir a folder for them"
        )
    folder = check_target(export_dir, entry.kind, source.label_field, request.media, request.overwrite)
    for place in map(str, (source.identity, folder.root)):
        if not is_utf8(place):
            raise InputError(f"{in_utf8(place)} is not UTF-8, which an export needs; rename that folder")
    paths = source.paths()
    check_sources(paths, folder.root)
    pictures = Names(paths, request.rel_dir, repeat=request.media == "none")
    given = _given(request, folder, source)
    ids = given.ids if request.only else assign(given.ids, source.targets(), source.names())
    job = ExportJob(
        folder=folder,
        classes=_classes(ids, given, request.ontology),
        splits=request.splits.names,
        media=request.media,
        images_root=pictures.root,
        title=f"{source.label_field} of {source.name}",
        source_id=source.identity,
        label_field=source.label_field,
        options=check_options(writer_type, request.options),
    )
    writer = writer_type(job)
    _check_free(writer, pictures)
    place = "" if job.splits else (writer.picture("", "x") or "x").removesuffix("x")
    images_dir = pictures.root if request.media == "none" else folder.root / place
    labels_path = folder.root if job.splits else folder.root / writer.labels
    summary = ExportSummary(labels_path, images_dir, splits=dict.fromkeys(job.splits, 0))
    summary.loss = LossReport(entry.name, label_field=source.label_field) if request.loss else None
    choice = _narrowed(request, ids)
    remembered = remembered_of(source, entry.name) if writer_type.returns else None
    run = ExportRun(
        writer, pictures, request.splits, choice, summary, source.masks, remembered, CardCounts(ours=source.ours)
    )
    return folder, run, given, ids


def _finish(run: ExportRun, request: Request, source: Source, digest: str | None, given: Given, ids: Ids) -> None:
    """Put what is staged into its place, unless too much was lost or the folder holds another export."""
    folder, loss = run.folder, run.summary.loss
    if folder.holds and not request.overwrite and (digest is None or digest != folder.record.about.get("digest")):
        raise InputError(held(folder))
    given.check_unchanged()
    if loss is not None:
        loss.check(request.least_iou)
        run.writer.write(LOSS_FILE, loss.to_text())
        card = data_card(source, request.format, run.summary, run.counts, request.choice, request.ontology)
        for name, text in card_texts(card).items():
            run.writer.write(name, text)
    given.extend(ids)
    folder.commit(
        {
            "dataset": source.name,
            "dataset_id": source.identity,
            "label_field": source.label_field,
            "export_media": request.media,
            "splits": list(request.splits.names),
            "images_root": str(run.names.root) if request.media == "none" else None,
            "images": run.summary.images,
            "annotations": run.summary.annotations,
            "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "digest": digest,
            "categories": ids,
        }
    )
    if run.remembered is not None:
        run.remembered.finish()


def source_of(samples: Any, label_field: str, data_dir: Any = None) -> Source:
    """What to export: a view, a folder of results, or of Parquet labels. Raises InputError if it is none of them."""
    if is_parquet_labels(samples):
        return ParquetSource(samples, data_dir)
    if isinstance(samples, str | Path):
        return ResultSource(samples, data_dir)
    if data_dir is not None:
        raise InputError("data_dir goes with a folder of results; a dataset knows where its images are")
    if check_samples(samples, label_field, maps=True) is fo.Segmentation:
        return MapSource(samples, label_field)
    return DatasetSource(samples, label_field)


def splits_of(source: Source, splits: Any, seed: Any) -> Splits:
    """The splits of an export. Raises InputError if they are neither shares nor a field."""
    if splits is None:
        return Splits()
    if isinstance(splits, Mapping):
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InputError(f"seed must be a whole number, got {shown(seed)}")
        return Splits.by_ratio(splits, source.paths(), seed)
    if not isinstance(splits, str):
        raise InputError(f"splits must be shares, as {{'train': 0.8, 'val': 0.2}}, or a field, got {shown(splits)}")
    return Splits.by_field(splits, source.split_values(splits))


def loaded(ontology: Any) -> Ontology | None:
    """An ontology, or what its file holds. Raises InputError if it is neither."""
    if ontology is None or isinstance(ontology, Ontology):
        return ontology
    return Ontology.load(check_path("ontology", ontology))


def _write(source: Source, run: ExportRun, progress: Any) -> str | None:
    expected, seen = len(run.names), 0
    with run.writer:
        with fou.ProgressBar(total=expected, progress=progress) as bar:
            for image in bar(source.images(run.splits.field)):
                seen += 1
                run.add(image)
        digest = run.writer.finish()
    run.summary.deleted = max(expected - seen, 0)
    if run.summary.deleted:
        source.check_alive()
    return digest


def _check_free(writer: Writer, pictures: Names) -> None:
    """Raise InputError if anything of someone else's is in the way: now rather than after an hour."""
    folder, known = writer.job.folder, writer.job.media != "none" and not writer.job.splits
    places = [writer.picture("", name) for name in pictures.planned()] if known else []
    for name in (*writer.planned(), *filter(None, places)):
        folder.check_free(name)


def _given(request: Request, folder: ExportFolder, source: Source) -> Given:
    ontology = request.ontology
    if ontology is None:
        return given_categories(request.classes, request.categories, folder, source)
    if request.classes is not None or request.categories is not None:
        raise InputError("the ontology gives names and ids; leave classes and categories out")
    ids = {entry.name: entry.id for entry in ontology.classes}
    if ontology.others:
        ids.setdefault(ontology.others, max(ids.values()) + 1)
    return Given(ids, {})


def _classes(ids: Ids, given: Given, ontology: Ontology | None) -> tuple[ExportClass, ...]:
    """The classes of an export, with what categories or an ontology say of them."""
    classes = []
    for name, number in ids.items():
        entry = given.entries.get(name, {})
        known = ontology.class_of(name) if ontology is not None else None
        thing = entry.get("isthing", 1)
        classes.append(
            ExportClass(
                name,
                number,
                is_thing=bool(thing) if known is None else known.is_thing,
                supercategory=entry.get("supercategory") if known is None else known.parent,
                colour=None if known is None else known.colour,
                entry=entry,
            )
        )
    return tuple(classes)


def _narrowed(request: Request, ids: Ids) -> Choice:
    """Which masks are exported, as which classes."""
    ontology = request.ontology
    if not request.only:
        return request.choice

    def class_of(name: str) -> str | None:
        if ontology is None:
            return name if name in ids else None
        found = ontology.class_of(name)
        return ontology.others if found is None else found.name

    return replace(request.choice, class_of=class_of)


def least_confidence(value: Any) -> float:
    """A confidence from 0 to 1. Raises InputError otherwise."""
    if not is_number(value) or not 0 <= value <= 1:
        raise InputError(f"min_confidence must be a number from 0 to 1, got {shown(value)}")
    return float(value)


def _least_iou(value: Any) -> float:
    if isinstance(value, bool):
        return 1.0 if value else 0.0
    if not is_number(value) or not 0 <= value <= 1:
        raise InputError(f"fail_on_loss must be True, False or the least IoU from 0 to 1, got {shown(value)}")
    return float(value)
