"""COCO instances, each way: exact masks as compressed RLE, true areas, and every value kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from fiftyone_ssa.exports.coco_file import CocoFile
from fiftyone_ssa.exports.coco_reading import read_coco
from fiftyone_ssa.exports.export_arguments import CATEGORIES_FILE, check_media, check_samples
from fiftyone_ssa.exports.export_run import ExportSummary as CocoSummary
from fiftyone_ssa.exports.exporting import Request, run_export
from fiftyone_ssa.exports.image_masks import coco_annotations
from fiftyone_ssa.exports.reading import ImportedImage, Reader
from fiftyone_ssa.exports.sources import DatasetSource
from fiftyone_ssa.exports.writing import ExportClass, ExportImage, ExportJob, Media, Writer, in_split
from fiftyone_ssa.labels.database import needs_database
from fiftyone_ssa.naming.arguments import check_flag, renamed

LABELS_FILE = "labels.json"


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
    check_samples(samples, label_field)
    request = Request(
        media=check_media(renamed("media", media, "export_media", export_media)),
        rel_dir=rel_dir,
        classes=classes,
        categories=categories,
        loss=False,
        overwrite=check_flag("overwrite", overwrite),
    )
    return run_export(DatasetSource(samples, label_field), export_dir, request, progress)


class FormatWriter(Writer):
    """`labels.json` and `categories.json`, images in `data/`; with splits, a folder for each."""

    keeps: ClassVar[frozenset[str]] = frozenset(("confidence", "proposals", "attributes"))
    labels = LABELS_FILE

    def __init__(self, job: ExportJob) -> None:
        super().__init__(job)
        self._files: dict[str, CocoFile] = {}
        self._annotations = 0

    def __enter__(self) -> Writer:
        """Begin the files."""
        entries = json.dumps(category_entries(self.job.classes), ensure_ascii=False, indent=1)
        self.write(CATEGORIES_FILE, entries + "\n")
        for split in self.job.parts:
            file = CocoFile(self.path(in_split(split, self.labels)))
            self._files[split] = self._closing.enter_context(file)
        return self

    def planned(self) -> Iterable[str]:
        """The files of labels and categories."""
        return (CATEGORIES_FILE, *(in_split(split, self.labels) for split in self.job.parts))

    def add(self, image: ExportImage) -> None:
        """Write an image and its annotations."""
        file = self._files[image.split]
        file.write_image(self.image_entry(image))
        found = coco_annotations(image.masks, image.labels, image.documents, self.job.ids)
        for annotation in found:
            self._annotations += 1
            file.write_annotation({"id": self._annotations, "image_id": image.number, **self.annotation(annotation)})

    def finish(self) -> str:
        """Complete the files, and answer their digests."""
        info = {"description": self.job.title}
        return " ".join(file.finish(info, self.categories(split)) for split, file in self._files.items())

    def image_entry(self, image: ExportImage) -> dict[str, Any]:
        """COCO's entry of an image."""
        height, width = image.size_hw
        return {"id": image.number, "file_name": image.name, "width": width, "height": height}

    def annotation(self, annotation: dict[str, Any]) -> dict[str, Any]:
        """COCO's annotation, as this format has it."""
        return annotation

    def categories(self, split: str) -> list[dict[str, Any]]:
        """COCO's entries of the classes, in the file of a split."""
        return category_entries(self.job.classes)


class FormatReader(Reader):
    """COCO instances of any source: RLE, polygons; the images in `data/` or beside the file."""

    def read(self, dataset_dir: Path, data_dir: Path | None = None) -> Iterator[ImportedImage]:
        """The images of a data set, one at a time."""
        return read_coco(dataset_dir, data_dir)


def category_entries(classes: Sequence[ExportClass]) -> list[dict[str, Any]]:
    """COCO's entries of classes."""
    entries = []
    for each in classes:
        entry = {**each.entry, "id": each.id, "name": each.name}
        if each.supercategory is not None:
            entry["supercategory"] = each.supercategory
        entries.append(entry)
    return entries
