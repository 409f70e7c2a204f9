"""COCO instances from any FiftyOne view: exact masks as compressed RLE, true areas, and every value kept."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.utils as fou
from pymongo.errors import CursorNotFound

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.exports.categories import Ids, assign
from fiftyone_ssa.exports.coco_arguments import (
    CATEGORIES_FILE,
    LABELS_FILE,
    MEDIA_FOLDER,
    Media,
    check_media,
    check_samples,
    check_target,
    given_categories,
    held,
)
from fiftyone_ssa.exports.coco_file import CocoFile
from fiftyone_ssa.exports.coco_masks import ImageMasks
from fiftyone_ssa.exports.folder import ExportFolder, FolderError, told
from fiftyone_ssa.exports.pictures import Names, check_sources, stage_picture
from fiftyone_ssa.files.images import image_size_hw
from fiftyone_ssa.labels.database import dataset_id, documents, needs_database, root_dataset, shown_dataset
from fiftyone_ssa.naming.arguments import check_flag, renamed


@dataclass
class CocoSummary:
    """What an export wrote, and what it left out."""

    labels_path: Path
    images_dir: Path
    """The folder that the images' `file_name` is relative to."""
    images: int = 0
    annotations: int = 0
    unlabelled: int = 0
    """Masks without a name, left out."""
    without_mask: int = 0
    """Detections with a box only, or with an empty mask, left out."""
    rejected: int = 0
    """Masks that a person rejected in review, left out."""
    failed_masks: int = 0
    """Masks that cannot be read, left out."""
    deleted: int = 0
    """Samples that were deleted from the dataset while the export ran."""
    mask_errors: dict[str, str] = field(default_factory=dict)
    """File path to what is wrong with the first of its masks that cannot be read."""
    errors: dict[str, str] = field(default_factory=dict)
    """File path to reason, for every image left out."""

    def __str__(self) -> str:
        parts = [f"{counted(self.annotations, 'mask')} of {counted(self.images, 'image')} in {self.labels_path}"]
        parts += [f"{self.unlabelled} without a name left out"] if self.unlabelled else []
        parts += [f"{counted(self.without_mask, 'detection')} without a mask left out"] if self.without_mask else []
        parts += [f"{counted(self.rejected, 'rejected mask')} left out"] if self.rejected else []
        parts += [f"{counted(self.deleted, 'sample')} deleted meanwhile"] if self.deleted else []
        if self.failed_masks:
            parts.append(f"{counted(self.failed_masks, 'mask')} FAILED ({_first(self.mask_errors)})")
        parts += [f"{counted(len(self.errors), 'image')} FAILED ({_first(self.errors)})"] if self.errors else []
        return ", ".join(parts)


@needs_database()
def export_coco(
    samples: Any,
    export_dir: str | Path | None = None,
    *,
    label_field: str = "ssa",
    export_media: bool | Media | None = None,
    rel_dir: str | Path | None = None,
    classes: Sequence[str] | None = None,
    categories: str | Path | Mapping[str, int] | Sequence[Mapping[str, Any]] | None = None,
    overwrite: bool = False,
    progress: bool | Callable[..., Any] | None = None,
    out_dir: str | Path | None = None,
    media: Media | None = None,
) -> CocoSummary:
    """Write a Detections field as COCO instances: `labels.json`, `categories.json` and the images in `data/`.

    The folder is made whole or left as it was: files appear in their places when all are written. An image or a mask
    that cannot be read is left out and named in the summary; masks that are rejected in review are left out, too.

    Args:
        samples: an image dataset or view; filtered, mapped and selected fields are exported as the view shows them
        export_dir: a new or empty folder, or one that holds an export of this function and, where someone added them,
            files of other names, which stay as they are
        label_field ("ssa"): the Detections field
        export_media (None): what becomes of the images: True or "copy" (the default), "symlink", or False or "none" to
            leave them where they are
        rel_dir (None): the folder below which images keep their folders, by default the one that holds them all
        classes (None): names in the order of their ids, from 1
        categories (None): ids that stay: a mapping of names to ids, COCO's list of categories, or the path of a JSON
            file of one of them. New names follow at the end, and are added to the file; one that is missing is written,
            and one that is a whole COCO file is only read. By default the ids are those of the last export to this
            folder from this field, else those of the mask targets of `<label_field>_semantic`, then the dataset's other
            labels by name: they are the same for every view
        overwrite (False): whether to replace an export that stands in the folder. Without it, only an export of the
            same masks may turn links into copies, or copies into links
        progress (None): FiftyOne's: True, False, None (its config) or a callback
        out_dir (None): the former name of `export_dir`
        media (None): the former name of `export_media`

    Returns:
        a CocoSummary

    Raises:
        InputError: if an argument is wrong, or the folder holds something else or cannot be written
        MissingDependencyError: if the database is not there
    """
    export_dir = renamed("out_dir", out_dir, "export_dir", export_dir)
    kind = check_media(renamed("media", media, "export_media", export_media))
    check_samples(samples, label_field)
    folder = check_target(export_dir, label_field, kind, check_flag("overwrite", overwrite))
    paths = samples.values("filepath")
    check_sources(paths, folder.root)
    names = Names(paths, rel_dir, repeat=kind == "none")
    given = given_categories(classes, categories, folder, samples, label_field)
    ids = category_ids(samples, label_field, given.ids)
    entries = [{**given.entries.get(name, {}), "id": number, "name": name} for name, number in ids.items()]
    images_dir = names.root if kind == "none" else folder.root / MEDIA_FOLDER
    export = _Export(label_field, kind, ids, names, folder, CocoSummary(folder.root / LABELS_FILE, images_dir))
    export.check_free()
    with folder, told(folder.root):
        digest = export.write(samples, entries, progress)
        if folder.holds and not overwrite and digest != folder.record.about.get("digest"):
            raise InputError(held(folder))
        given.check_unchanged()
        given.extend(ids)
        folder.commit(_about(samples, export, digest))
    return export.summary


@dataclass
class _Export:
    """One export while it runs."""

    label_field: str
    media: Media
    ids: Ids
    names: Names
    folder: ExportFolder
    summary: CocoSummary

    def check_free(self) -> None:
        """Raise InputError if anything of someone else's is in the way: now rather than after an hour."""
        pictures = self.names.planned() if self.media != "none" else ()
        for name in (CATEGORIES_FILE, LABELS_FILE, *(f"{MEDIA_FOLDER}/{name}" for name in pictures)):
            self.folder.check_free(name)

    def write(self, samples: Any, entries: Sequence[Mapping[str, Any]], progress: Any) -> str:
        """Stage all files, and return the digest of the labels. `entries` are COCO's categories."""
        with self.folder.stage(CATEGORIES_FILE) as path:
            path.write_text(json.dumps(entries, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        expected, seen = len(samples.values("id")), 0
        with self.folder.stage(LABELS_FILE) as path, CocoFile(path) as file:
            with fou.ProgressBar(total=expected, progress=progress) as bar:
                for document in bar(_documents(samples, self.label_field)):
                    seen += 1
                    self._add(document, file)
            digest = file.finish({"description": f"{self.label_field} of {root_dataset(samples).name}"}, entries)
        self.summary.deleted = max(expected - seen, 0)
        name = root_dataset(samples).name
        if self.summary.deleted and not fo.dataset_exists(name):
            raise InputError(f"the dataset {name!r} was deleted while it was exported; nothing was written")
        return digest

    def _add(self, document: Mapping[str, Any], file: CocoFile) -> None:
        """Write an image and its annotations, or what is wrong with it."""
        path, summary = document["filepath"], self.summary
        try:
            name = self.names.name(path)
            size_hw = image_size_hw(path)
            masks = ImageMasks(document.get(self.label_field), size_hw)
            if self.media != "none":
                stage_picture(self.folder, path, f"{MEDIA_FOLDER}/{name}", self.media)
        except FolderError:
            raise
        except InputError as error:
            summary.errors[path] = str(error)
            return
        summary.images += 1
        file.write_image({"id": summary.images, "file_name": name, "width": size_hw[1], "height": size_hw[0]})
        for annotation in masks.annotations(self.ids):
            summary.annotations += 1
            file.write_annotation({"id": summary.annotations, "image_id": summary.images, **annotation})
        left = masks.left
        summary.unlabelled += left.unlabelled
        summary.without_mask += left.without_mask
        summary.rejected += left.rejected
        summary.failed_masks += len(left.failed)
        if left.failed:
            summary.mask_errors.setdefault(path, left.failed[0])


def category_ids(samples: Any, label_field: str, known: Ids | None = None) -> Ids:
    """Class name to COCO category id, the same for every view of a dataset but for names that the view alone has."""
    targets = root_dataset(samples).mask_targets.get(f"{label_field}_semantic", {})
    whole = _names(shown_dataset(samples), label_field, all_slices=True)
    return assign(known or {}, targets, [*sorted(whole), *sorted(_names(samples, label_field))])


def _about(samples: Any, export: _Export, digest: str) -> dict[str, Any]:
    """What the marker says of an export."""
    dataset = root_dataset(samples)
    return {
        "dataset": dataset.name,
        "dataset_id": str(dataset_id(dataset)),
        "label_field": export.label_field,
        "export_media": export.media,
        "images": export.summary.images,
        "annotations": export.summary.annotations,
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "digest": digest,
        "categories": export.ids,
    }


def _documents(samples: Any, label_field: str) -> Iterator[dict[str, Any]]:
    """Samples as the database holds them, through the view: FiftyOne's own objects fail as a whole for one bad box."""
    view, done = samples.select_fields([label_field]), 0
    while True:
        try:
            for document in documents(view.skip(done) if done else view):
                done += 1
                yield document
        except CursorNotFound:  # the server forgets a query after ten minutes without a question
            continue
        return


def _names(samples: Any, label_field: str, *, all_slices: bool = False) -> set[str]:
    """The class names of a field, as the view shows them."""
    masks = f"${label_field}.detections"
    found = documents(samples, [{"$unwind": masks}, {"$group": {"_id": f"{masks}.label"}}], all_slices=all_slices)
    return {name for document in found if document["_id"] is not None and (name := str(document["_id"])).strip()}


def _first(errors: Mapping[str, str]) -> str:
    return next((f"{path}: {reason}" for path, reason in errors.items()), "")
