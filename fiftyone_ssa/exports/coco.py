"""COCO instances from any FiftyOne view: exact masks as compressed RLE, true areas, and every value kept."""

from __future__ import annotations

import dataclasses
import datetime
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import fiftyone as fo
import fiftyone.core.utils as fou
from pymongo.errors import CursorNotFound

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.categories import Given, Ids, assign, read_categories, read_classes
from fiftyone_ssa.exports.coco_file import CocoFile
from fiftyone_ssa.exports.coco_masks import ImageMasks
from fiftyone_ssa.exports.folder import ExportFolder, FolderError, check_folder, told
from fiftyone_ssa.exports.pictures import Names, check_sources, stage_picture
from fiftyone_ssa.files.images import image_size_hw
from fiftyone_ssa.labels.database import needs_database
from fiftyone_ssa.naming.arguments import check_flag, shown

Media = Literal["copy", "symlink", "none"]
KIND = "COCO export"
LABELS_FILE = "labels.json"
CATEGORIES_FILE = "categories.json"
MEDIA_FOLDER = "data"


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
        parts = [f"{self.annotations} masks of {self.images} images in {self.labels_path}"]
        parts += [f"{self.unlabelled} without a name left out"] if self.unlabelled else []
        parts += [f"{self.without_mask} detections without a mask left out"] if self.without_mask else []
        parts += [f"{self.rejected} rejected masks left out"] if self.rejected else []
        parts += [f"{self.deleted} samples were deleted meanwhile"] if self.deleted else []
        parts += [f"{self.failed_masks} masks FAILED ({_first(self.mask_errors)})"] if self.failed_masks else []
        parts += [f"{len(self.errors)} images FAILED ({_first(self.errors)})"] if self.errors else []
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
        export_media (True): what becomes of the images: True or "copy", "symlink", or False or "none" to leave them
            where they are
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
    export_dir = _renamed("out_dir", out_dir, "export_dir", export_dir)
    kind = check_media(_renamed("media", media, "export_media", export_media))
    check_samples(samples, label_field)
    if classes is not None and categories is not None:
        raise InputError("classes and categories both give ids; leave one out")
    folder = check_target(export_dir, label_field, kind, check_flag("overwrite", overwrite))
    root = folder.root
    paths = samples.values("filepath")
    check_sources(paths, root)
    names = Names(paths, rel_dir, repeat=kind == "none")
    given = _given(classes, categories, folder, samples, label_field)
    ids = category_ids(samples, label_field, given.ids)
    entries = [{**given.entries.get(name, {}), "id": number, "name": name} for name, number in ids.items()]
    summary = CocoSummary(root / LABELS_FILE, names.root if kind == "none" else root / MEDIA_FOLDER)
    fixed = (CATEGORIES_FILE, LABELS_FILE)
    for name in (*fixed, *(f"{MEDIA_FOLDER}/{name}" for name in (names.planned() if kind != "none" else ()))):
        folder.check_free(name)  # told now rather than after an hour; `commit` looks again
    with folder, told(root):
        with folder.stage(CATEGORIES_FILE) as path:
            path.write_text(json.dumps(entries, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        with folder.stage(LABELS_FILE) as path, CocoFile(path) as file:
            export = _Export(label_field, kind, ids, names, folder, file, summary)
            with fou.ProgressBar(total=len(paths), progress=progress) as bar:
                for document in bar(_documents(samples, label_field)):
                    export.add(document)
            summary.deleted = max(len(paths) - export.seen, 0)
            digest = file.finish({"description": f"{label_field} of {samples._root_dataset.name}"}, entries)
        _check_still_there(samples, summary)
        if folder.holds and not overwrite and digest != folder.record.about.get("digest"):
            raise InputError(_held(folder))
        given.check_unchanged()
        given.extend(ids)
        folder.commit(_about(samples, label_field, kind, digest, ids, summary))
    return summary


@dataclass
class _Export:
    """One export while it runs."""

    label_field: str
    media: str
    ids: Ids
    names: Names
    folder: ExportFolder
    file: CocoFile
    summary: CocoSummary
    seen: int = 0

    def add(self, document: Mapping[str, Any]) -> None:
        """Write an image and its annotations, or what is wrong with it."""
        self.seen += 1
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
        self.file.write_image({"id": summary.images, "file_name": name, "width": size_hw[1], "height": size_hw[0]})
        for annotation in masks.annotations(self.ids):
            summary.annotations += 1
            self.file.write_annotation({"id": summary.annotations, "image_id": summary.images, **annotation})
        left = masks.left
        summary.unlabelled += left.unlabelled
        summary.without_mask += left.without_mask
        summary.rejected += left.rejected
        summary.failed_masks += len(left.failed)
        if left.failed:
            summary.mask_errors.setdefault(path, left.failed[0])


def detections_fields(samples: Any) -> list[str]:
    """The names of a collection's Detections fields."""
    return list(samples.get_field_schema(embedded_doc_type=fo.Detections))


def is_filtered(samples: Any, label_field: str) -> bool:
    """Whether a view shows some of the field's labels only."""
    return any(path.split(".")[0] == label_field for path in samples.view()._get_filtered_fields() or ())


def category_ids(samples: Any, label_field: str, known: Ids | None = None) -> Ids:
    """Class name to COCO category id, the same for every view of a dataset but for names that the view alone has."""
    targets = samples._root_dataset.mask_targets.get(f"{label_field}_semantic", {})
    whole = _names(samples._dataset, label_field, manual_group_select=True)
    return assign(known or {}, targets, [*sorted(whole), *sorted(_names(samples, label_field))])


def check_media(value: Any) -> Media:
    """`export_media` as FiftyOne users say it. Raises InputError if it is none that leaves the images alone."""
    for media, words in (("copy", (None, True, "copy")), ("symlink", ("symlink",)), ("none", (False, "none"))):
        if any(value is word or (isinstance(word, str) and value == word) for word in words):
            return media  # type: ignore[return-value]
    raise InputError(f'export_media must be True or "copy", "symlink", False or "none"; got {shown(value)}')


def check_samples(samples: Any, label_field: Any) -> None:
    """Raise InputError unless `samples` are images with a Detections field of that name."""
    if not isinstance(samples, fo.core.collections.SampleCollection):
        raise InputError(f"samples must be a FiftyOne dataset or view, got {type(samples).__name__}; load one first")
    if samples._is_patches or samples._is_clips:
        raise InputError("an export takes whole images, got a view of patches or clips; pass the view before it")
    if samples.media_type not in ("image", None):
        raise InputError(
            f"an export takes images, got a {samples.media_type} dataset; "
            "choose one image slice with select_group_slices(), or frames with to_frames(sample_frames=True)"
        )
    known = detections_fields(samples)
    if label_field not in known:
        name = samples._root_dataset.name
        raise InputError(f"{label_field!r} is no Detections field of {name!r}; it has {', '.join(known) or 'none'}")


def check_target(export_dir: Any, label_field: str, media: Media, overwrite: bool) -> ExportFolder:
    """The folder to write to, which nothing is done to yet.

    Raises InputError if it holds anything else, or an export that only `overwrite` replaces. Links may become copies,
    and copies links, without: `export_coco` sees to it that the masks are the same.
    """
    folder = ExportFolder(check_folder("export_dir", export_dir), KIND)
    about = folder.record.about
    same = about.get("label_field") == label_field and media not in ("none", about.get("export_media"))
    if folder.holds and not overwrite and not same:
        raise InputError(_held(folder))
    return folder


def _held(folder: ExportFolder) -> str:
    about = folder.record.about
    what = f"{about.get('annotations')} masks of {about.get('images')} images, from {about.get('label_field')!r}"
    return (
        f"{folder.root} holds an export already ({what} of {about.get('dataset')!r}, {about.get('written')}); "
        "pass overwrite=True to replace it, or choose another folder"
    )


def _about(samples: Any, label_field: str, media: str, digest: str, ids: Ids, summary: CocoSummary) -> dict[str, Any]:
    """What the marker says of an export."""
    dataset = samples._root_dataset
    return {
        "dataset": dataset.name,
        "dataset_id": str(dataset._doc.id),
        "label_field": label_field,
        "export_media": media,
        "images": summary.images,
        "annotations": summary.annotations,
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "digest": digest,
        "categories": ids,
    }


def _given(classes: Any, categories: Any, folder: ExportFolder, samples: Any, label_field: str) -> Given:
    """The ids that are settled: by the caller, or by the last export of this field to this folder."""
    about = folder.record.about
    if classes is not None:
        return read_classes(classes)
    own = folder.root / CATEGORIES_FILE
    if categories is not None:
        given = read_categories(categories)
        return (
            dataclasses.replace(given, path=None) if given.path is not None and given.path.resolve() == own else given
        )
    of = (about.get("dataset_id"), about.get("label_field"))
    known = about.get("categories") if of == (str(samples._root_dataset._doc.id), label_field) else None
    return read_categories(known or {})


def _documents(samples: Any, label_field: str) -> Iterator[dict[str, Any]]:
    """Samples as the database holds them, through the view: FiftyOne's own objects fail as a whole for one bad box."""
    view, done = samples.select_fields([label_field]), 0
    while True:
        try:
            for document in (view.skip(done) if done else view)._aggregate():
                done += 1
                yield document
        except CursorNotFound:  # the server forgets a query after ten minutes without a question
            continue
        return


def _names(samples: Any, label_field: str, **options: Any) -> set[str]:
    """The class names of a field, as the view shows them."""
    found = samples._aggregate(
        pipeline=[
            {"$unwind": f"${label_field}.detections"},
            {"$group": {"_id": f"${label_field}.detections.label"}},
        ],
        **options,
    )
    return {name for document in found if document["_id"] is not None and (name := str(document["_id"])).strip()}


def _check_still_there(samples: Any, summary: CocoSummary) -> None:
    name = samples._root_dataset.name
    if summary.deleted and not fo.dataset_exists(name):
        raise InputError(f"the dataset {name!r} was deleted while it was exported; nothing was written")


def _renamed(old: str, old_value: Any, new: str, new_value: Any) -> Any:
    """The value of an argument that may still be given by its former name."""
    if old_value is None:
        return new_value
    if new_value is not None:
        raise InputError(f"{old} is the former name of {new}; leave it out")
    warnings.warn(f"{old} is called {new} now", DeprecationWarning, stacklevel=4)
    return old_value


def _first(errors: Mapping[str, str]) -> str:
    return next((f"{path}: {reason}" for path, reason in errors.items()), "")
