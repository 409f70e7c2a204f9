"""What an export is asked for, checked before anything is done: in Python as in the App."""

from __future__ import annotations

import dataclasses
from typing import Any

import fiftyone as fo

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.exports.categories import Given, read_categories, read_classes
from fiftyone_ssa.exports.folder import ExportFolder, check_folder
from fiftyone_ssa.exports.sources import Source
from fiftyone_ssa.exports.writing import Media
from fiftyone_ssa.labels.database import check_whole_images, filtered_fields, root_dataset

CATEGORIES_FILE = "categories.json"
"""In the folder of an export of COCO's: the ids that were given out."""


def detections_fields(samples: Any) -> list[str]:
    """The names of a collection's Detections fields."""
    return list(samples.get_field_schema(embedded_doc_type=fo.Detections))


def is_filtered(samples: Any, label_field: str) -> bool:
    """Whether a view shows some of the field's labels only."""
    return any(path.split(".")[0] == label_field for path in filtered_fields(samples))


def check_media(value: Any) -> Media:
    """`export_media` as FiftyOne users say it. Raises InputError if it is none that leaves the images alone."""
    for media, words in (("copy", (None, True, "copy")), ("symlink", ("symlink",)), ("none", (False, "none"))):
        if any(value is word or (isinstance(word, str) and value == word) for word in words):
            return media  # type: ignore[return-value]
    raise InputError(f'export_media must be True or "copy", "symlink", False or "none"; got {shown(value)}')


def check_samples(samples: Any, label_field: Any, *, maps: bool = False) -> type[fo.Label]:
    """The kind of label that a field holds: Detections, or a Segmentation where `maps` says that it may.

    Raises InputError unless `samples` are images with such a field of that name.
    """
    if not isinstance(samples, fo.core.collections.SampleCollection):
        raise InputError(f"samples must be a FiftyOne dataset or view, got {type(samples).__name__}; load one first")
    check_whole_images(samples, "an export", frames=True)
    known = detections_fields(samples)
    with_maps = list(samples.get_field_schema(embedded_doc_type=fo.Segmentation)) if maps else []
    if label_field not in (*known, *with_maps):
        name = root_dataset(samples).name
        raise InputError(f"{label_field!r} is no Detections field of {name!r}; it has {', '.join(known) or 'none'}")
    kind: type[fo.Label] = fo.Segmentation if label_field in with_maps else fo.Detections
    return kind


def check_target(export_dir: Any, kind: str, label_field: str, media: Media, overwrite: bool) -> ExportFolder:
    """The folder to write an export of a kind to, which nothing is done to yet.

    Raises InputError if it holds anything else, or an export that only `overwrite` replaces. Links may become copies,
    and copies links, without: whoever commits sees to it that the masks are the same.
    """
    folder = ExportFolder(check_folder("export_dir", export_dir), kind)
    about = folder.record.about
    same = about.get("label_field") == label_field and media not in ("none", about.get("export_media"))
    if folder.holds and not overwrite and not same:
        raise InputError(held(folder))
    return folder


def held(folder: ExportFolder) -> str:
    """The sentence that refuses to replace the export in a folder."""
    about = folder.record.about
    what = f"{about.get('annotations')} masks of {about.get('images')} images, from {about.get('label_field')!r}"
    return (
        f"{folder.root} holds an export already ({what} of {about.get('dataset')!r}, {about.get('written')}); "
        "pass overwrite=True to replace it, or choose another folder"
    )


def given_categories(classes: Any, categories: Any, folder: ExportFolder, source: Source) -> Given:
    """The ids that are settled: by the caller, or by the last export of this field to this folder."""
    about = folder.record.about
    if classes is not None and categories is not None:
        raise InputError("classes and categories both give ids; leave one out")
    if classes is not None:
        return read_classes(classes)
    own = folder.root / CATEGORIES_FILE
    if categories is not None:
        given = read_categories(categories)
        return (
            dataclasses.replace(given, path=None) if given.path is not None and given.path.resolve() == own else given
        )
    of = (about.get("dataset_id"), about.get("label_field"))
    known = about.get("categories") if of == (source.identity, source.label_field) else None
    return read_categories(known or {})
