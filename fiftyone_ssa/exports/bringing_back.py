"""Masks that people corrected in another tool, back in the dataset that they left: who changed what; can be undone.

What was renamed or redrawn is a person's from then on (`labels.review`), what was deleted is rejected and stays, what
was drawn is added. What a person decided here meanwhile stays, too. Images come one at a time.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import fiftyone as fo
from bson import ObjectId

from fiftyone_ssa.curation.decisions import IMPORT
from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.exports.bringing import Bringing, Changed
from fiftyone_ssa.exports.corrections import Came, corrections, ious, unpaired
from fiftyone_ssa.exports.formats import format_of, reader_of, writer_of
from fiftyone_ssa.exports.outlines import ReturnedImage
from fiftyone_ssa.exports.reading import ImportedImage
from fiftyone_ssa.files.images import image_size_hw
from fiftyone_ssa.labels import journal
from fiftyone_ssa.labels.appearance import add_names
from fiftyone_ssa.labels.database import (
    Document,
    check_whole_images,
    dataset_id,
    needs_database,
    root_dataset,
    samples_of,
)
from fiftyone_ssa.labels.documents import declare_detections
from fiftyone_ssa.labels.exported import ExportedImage, exported_mask, pixels_digest, recall
from fiftyone_ssa.labels.lease import SCHEMA, LeaseHeldError, hold
from fiftyone_ssa.labels.reshape import change_sample
from fiftyone_ssa.labels.review import is_rejected
from fiftyone_ssa.labels.shown import check_masks
from fiftyone_ssa.labels.stored_masks import mask_counts, whole_rows
from fiftyone_ssa.masks import rle
from fiftyone_ssa.naming.arguments import check_flag, check_path
from fiftyone_ssa.types import MaskSet

ATTRIBUTES = ("review", "reviewed_at", "reviewed_by", "imported_id")


@dataclass
class Corrections:
    """What came back."""

    token: str | None = None
    """For `undo`; None where nothing was changed."""
    images: int = 0
    """Images that people handed in."""
    waiting: int = 0
    """Images that nobody has handed in yet, left as they are."""
    outside: int = 0
    """Images that the view does not show, left as they are."""
    counts: Counter[str] = field(default_factory=Counter)
    """Masks that are unchanged, accepted, renamed, redrawn, renamed and redrawn, new, deleted, restored, or that stay
    because somebody decided about them here since ("decided here")."""
    people: Counter[str] = field(default_factory=Counter)
    """Who changed how many."""
    changes: list[Changed] = field(default_factory=list)
    """Each mask that changed: what, by whom, when."""
    problems: dict[str, str] = field(default_factory=dict)
    """File path to reason, for every image left out."""
    dry_run: bool = False

    def view(self, samples: Any, label_field: str = "ssa") -> Any:
        """The masks that changed, as a view."""
        return samples.select_labels(ids=[row.label_id for row in self.changes], fields=label_field)

    def __str__(self) -> str:
        order = ("renamed", "redrawn", "renamed and redrawn", "new", "deleted", "restored", "accepted", "unchanged")
        told = [f"{self.counts[word]:,} {word}" for word in order if self.counts[word]]
        parts = [f"{counted(self.images, 'image')} came back: {', '.join(told) or 'no mask'}"]
        parts += (
            [f"by {', '.join(f'{who} {count:,}' for who, count in self.people.most_common())}"] if self.people else []
        )
        if self.counts["decided here"]:
            parts.append(f"{counted(self.counts['decided here'], 'mask')} decided here since stay as they are")
        parts += [f"{counted(self.waiting, 'image')} not handed in yet"] if self.waiting else []
        parts += [f"{counted(self.outside, 'image')} outside the view"] if self.outside else []
        if self.problems:
            first = next(f"{path}: {reason}" for path, reason in self.problems.items())
            parts.append(f"{counted(len(self.problems), 'image')} FAILED ({first})")
        return ("would change: " if self.dry_run else "") + "; ".join(parts)


@needs_database()
def import_corrections(
    samples: Any,
    dataset_dir: str | Path,
    label_field: str = "ssa",
    *,
    format: str = "label-studio",
    data_dir: str | Path | None = None,
    by: str | None = None,
    accept: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Corrections:
    """Bring masks back that people corrected in another tool, compared with what was exported to it.

    Renamed and redrawn masks count as corrected and no later run changes them; deleted ones are rejected; new ones are
    added. `undo` takes all of it back at once.

    Args:
        samples: the dataset that was exported, or a view: other images of it stay as they are
        dataset_dir: the tool's export, a file or a folder; where people edit the exported files, that folder
        label_field ("ssa"): the Detections field that was exported
        format ("label-studio"): one of `fiftyone_ssa.exports.formats.FORMATS`
        data_dir (None): the folder of the images, where they are not beside the file
        by (None): who corrected, where the file does not say it
        accept (False): whether masks that came back unchanged count as accepted
        overwrite (False): whether to change masks, too, about which somebody decided here since they were exported
        dry_run (False): whether to compare only

    Returns:
        a Corrections

    Raises:
        InputError: if an argument is wrong, or the file holds no data set of the format
        MissingDependencyError: if the database is not there
    """
    check_masks(samples, label_field)
    check_whole_images(samples, "an import")
    entry, reader = format_of(format), reader_of(format)()
    dataset = root_dataset(samples)
    only = None if samples is dataset else {ObjectId(sample) for sample in samples.values("id")}
    path = check_path("dataset_dir", dataset_dir)
    folder = None if data_dir is None else check_path("data_dir", data_dir)
    token = None if check_flag("dry_run", dry_run) else secrets.token_hex(6)
    flags = check_flag("accept", accept), check_flag("overwrite", overwrite)
    back = _Back(dataset, label_field, entry.name, by or entry.label, token, only, flags, Corrections(dry_run=dry_run))
    if token is not None:
        with hold(dataset, SCHEMA, wait_seconds=30):
            declare_detections(dataset, label_field, ATTRIBUTES)
    for image in reader.read(path, folder):
        back.add(image)
    return back.finished()


@dataclass(frozen=True)
class _Back:
    """One import while it runs."""

    dataset: fo.Dataset
    field: str
    format: str
    by: str
    token: str | None
    only: set[ObjectId] | None
    flags: tuple[bool, bool]
    """`accept` and `overwrite`."""
    result: Corrections

    def add(self, image: ImportedImage) -> None:
        """Bring one image back, or say what is wrong with it."""
        result = self.result
        if image.problem:
            result.problems[str(image.path)] = image.problem
        elif isinstance(image, ReturnedImage) and not image.corrected:
            result.waiting += 1
        else:
            try:
                self._bring(image)
            except InputError as error:
                result.problems[str(image.path)] = str(error)

    def finished(self) -> Corrections:
        """What came back, its new names offered in the App."""
        result = self.result
        if self.token is not None and result.changes:
            result.token = self.token
            names = sorted({row.label for row in result.changes if row.label})
            with suppress(LeaseHeldError):  # a run declares fields just now; what came back is written all the same
                add_names(self.dataset, self.field, names)
        return result

    def _bring(self, image: ImportedImage) -> None:
        left, exported = self._left(image)
        if self.only is not None and left.sample not in self.only:
            self.result.outside += 1
            return
        self._check_size(left.sample, image.masks)
        came = list(_came(image, self.by))
        found = corrections(left.masks, came, self._overlaps(left, came, image.masks))
        returned = image if isinstance(image, ReturnedImage) else None
        by, at = (returned.by or self.by, returned.at) if returned else (self.by, None)
        before = journal.left_by(self.dataset, self.field, IMPORT, left.sample)
        bringing = Bringing(found, image.masks, exported, by, at, *self.flags, *before)
        if self.token is None:
            bringing.change(self._rows(left.sample))
        else:
            change_sample(self.dataset, self.field, left.sample, bringing.change, self.token, IMPORT)
        result = self.result
        result.images += 1
        result.counts.update(bringing.counts)
        result.changes += [row.of(str(left.sample)) for row in bringing.changes]
        result.people.update(row.by for row in bringing.changes)

    def _left(self, image: ImportedImage) -> tuple[ExportedImage, bool]:
        """The image as it left, and whether that is known; else it is taken as it is now."""
        sample = image.sample_id
        known = recall(dataset_id(self.dataset), self.field, self.format, sample=sample, path=image.path)
        if known is not None:
            self._rows(known.sample)
            return known, True
        identity = self._sample(sample, image.path)
        masks = []
        for row in self._rows(identity) if len(image.masks) else ():
            if not is_rejected(row) and (row.get("mask") or row.get("mask_path")):
                pixels = pixels_digest(mask_counts(row, image.masks.size_hw), image.masks.size_hw)
                masks.append(exported_mask(row, str(row.get("label") or ""), pixels, pixels))
        return ExportedImage(identity, tuple(mask for mask in masks if mask is not None)), False

    def _sample(self, identity: str, path: Path) -> ObjectId:
        collection = samples_of(self.dataset)
        where: list[Document] = [{"filepath": str(path)}]
        if ObjectId.is_valid(identity):
            where.insert(0, {"_id": ObjectId(identity)})
        for each in where:
            found = collection.find_one(each, {"_id": 1})
            if found is not None:
                return found["_id"]
        if not writer_of(self.format).returns:
            raise InputError(
                f"{self.dataset.name!r} has no image of this path, and what leaves in the format {self.format} is not "
                "remembered; name the folder of the dataset's own images (data_dir), or send masks to be corrected as "
                "label-studio, cvat, labelme, yolo or cityscapes-polygons"
            )
        raise InputError(
            f"no image was exported from {self.field!r} of {self.dataset.name!r} under this name in the format "
            f"{self.format}; import it into the dataset and the field that it left"
        )

    def _check_size(self, sample: ObjectId, masks: MaskSet) -> None:
        """Raise InputError if masks are of another picture than the sample's."""
        document = samples_of(self.dataset).find_one({"_id": sample}, {"filepath": 1}) or {}
        path = Path(str(document.get("filepath")))
        if len(masks) and path.is_file() and (size_hw := image_size_hw(path)) != masks.size_hw:
            raise InputError(
                f"its masks are of a picture of {masks.size_hw[1]}x{masks.size_hw[0]} (width x height), "
                f"{path} has {size_hw[1]}x{size_hw[0]}"
            )

    def _rows(self, sample: ObjectId) -> list[Document]:
        document = samples_of(self.dataset).find_one({"_id": sample}, {self.field: 1})
        if document is None:
            raise InputError("its sample is no longer in the dataset")
        return [dict(row) for row in whole_rows(document.get(self.field))]

    def _overlaps(self, left: ExportedImage, came: list[Came], masks: MaskSet) -> dict[tuple[int, int], float]:
        """IoU of masks that neither an id nor equal pixels pair."""
        places, others = unpaired(left.masks, came)
        if not places or not others:
            return {}
        rows = {row["_id"]: row for row in self._rows(left.sample)}
        known, codes = [], []
        for place in places:
            with suppress(InputError):
                codes.append(mask_counts(rows.get(left.masks[place].id, {}), masks.size_hw))
                known.append(place)
        found = ious(rle.mask_set(masks.size_hw, codes), masks[others]) if codes else {}
        return {(known[i], others[j]): iou for (i, j), iou in found.items()}


def _came(image: ImportedImage, by: str) -> Iterator[Came]:
    at: datetime | None = None
    if isinstance(image, ReturnedImage):
        by, at = image.by or by, image.at
    for row, (label, code) in enumerate(zip(image.labels, image.masks.rles, strict=True)):
        attributes = image.attributes[row] if image.attributes else {}
        yield Came(
            row,
            str(attributes.get("label_id") or ""),
            label,
            pixels_digest(code, image.masks.size_hw),
            str(attributes.get("reviewed_by") or by),
            attributes.get("reviewed_at") or at,
        )
