"""One export while it runs: each image's masks are chosen, its picture staged, its labels written, its loss counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.exports.card_counts import CardCounts
from fiftyone_ssa.exports.folder import ExportFolder, FolderError
from fiftyone_ssa.exports.image_masks import Choice, ImageMasks
from fiftyone_ssa.exports.loss import LossReport
from fiftyone_ssa.exports.pictures import Names, stage_picture
from fiftyone_ssa.exports.remembered import Remembered
from fiftyone_ssa.exports.sources import SourceImage
from fiftyone_ssa.exports.splits import Splits
from fiftyone_ssa.exports.writing import ExportImage, Kept, Media, Writer
from fiftyone_ssa.files.images import image_size_hw
from fiftyone_ssa.files.printable import check_utf8, in_utf8


@dataclass
class ExportSummary:
    """What an export wrote, and what it left out."""

    labels_path: Path
    """The file of labels, or the folder where there are several."""
    images_dir: Path
    """The folder that the images' names are relative to."""
    images: int = 0
    annotations: int = 0
    """Masks."""
    unlabelled: int = 0
    """Masks without a name, left out."""
    without_mask: int = 0
    """Detections with a box only, or with an empty mask, left out."""
    rejected: int = 0
    """Masks that a person rejected in review, left out."""
    other_class: int = 0
    """Masks of classes that were not asked for, left out."""
    below: int = 0
    """Masks below a threshold, left out."""
    unreviewed: int = 0
    """Masks that nobody reviewed, left out."""
    failed_masks: int = 0
    """Masks that cannot be read, left out."""
    deleted: int = 0
    """Samples that were deleted from the dataset while the export ran."""
    without_split: int = 0
    """Images whose field names no split, left out."""
    splits: dict[str, int] = field(default_factory=dict)
    """Split to how many images it has."""
    mask_errors: dict[str, str] = field(default_factory=dict)
    """File path to what is wrong with the first of its masks that cannot be read."""
    errors: dict[str, str] = field(default_factory=dict)
    """File path to reason, for every image left out."""
    loss: LossReport | None = None
    """What the format could not hold."""

    def __str__(self) -> str:
        parts = [f"{counted(self.annotations, 'mask')} of {counted(self.images, 'image')} in {self.labels_path}"]
        if self.splits:
            parts.append(", ".join(f"{name} {number:,}" for name, number in self.splits.items()))
        for number, text in (
            (self.unlabelled, f"{self.unlabelled} without a name"),
            (self.without_mask, f"{counted(self.without_mask, 'detection')} without a mask"),
            (self.rejected, counted(self.rejected, "rejected mask")),
            (self.unreviewed, counted(self.unreviewed, "unreviewed mask")),
            (self.other_class, f"{counted(self.other_class, 'mask')} of other classes"),
            (self.below, f"{counted(self.below, 'mask')} below a threshold"),
            (self.without_split, f"{counted(self.without_split, 'image')} without a split"),
        ):
            parts += [f"{text} left out"] if number else []
        parts += [f"{counted(self.deleted, 'sample')} deleted meanwhile"] if self.deleted else []
        if self.failed_masks:
            parts.append(f"{counted(self.failed_masks, 'mask')} FAILED ({_first(self.mask_errors)})")
        parts += [f"{counted(len(self.errors), 'image')} FAILED ({_first(self.errors)})"] if self.errors else []
        parts += [str(self.loss)] if self.loss is not None and self.loss.lost else []
        return ", ".join(parts)


@dataclass
class ExportRun:
    """One export while it runs."""

    writer: Writer
    names: Names
    splits: Splits
    choice: Choice
    summary: ExportSummary
    masks: Callable[[SourceImage, tuple[int, int], Choice], ImageMasks]
    """Of the source."""
    remembered: Remembered | None = None
    """What left, of formats in which people correct masks."""
    counts: CardCounts = field(default_factory=CardCounts)
    """For the data card."""

    @property
    def folder(self) -> ExportFolder:
        """Where it writes."""
        return self.writer.job.folder

    @property
    def media(self) -> Media:
        """What becomes of the images."""
        return self.writer.job.media

    def add(self, source: SourceImage) -> None:
        """Write an image and its masks, or what is wrong with it."""
        path, summary = source.path, self.summary
        try:
            check_utf8(path, "an export")
            name = self.names.name(path)
            if source.problem:
                raise InputError(source.problem)
            split = self.splits.of(path, source.split)
            if split is None:
                summary.without_split += 1
                return
            size_hw = image_size_hw(path)
            masks = self.masks(source, size_hw, self.choice)
            place = self.writer.picture(split, name)
            if self.media != "none" and place is not None:
                stage_picture(self.folder, path, place, self.media)
            number, found = summary.images + 1, masks.masks
            image = ExportImage(
                number, source.id, Path(path), name, split, size_hw, found, masks.labels, masks.documents
            )
            kept = self._labels(image, place)
        except FolderError:
            raise
        except InputError as error:
            summary.errors[in_utf8(path)] = str(error)
            return
        self._count(path, split, masks)
        self.counts.add(image)
        if self.remembered is not None:
            self.remembered.add(image, kept, place)
        if summary.loss is not None:
            summary.loss.add(image, kept, self.writer.keeps)

    def _labels(self, image: ExportImage, place: str | None) -> Kept | None:
        """Write an image's labels; where that fails by the image's fault, its picture goes, too."""
        try:
            return self.writer.add(image)
        except FolderError:
            raise
        except InputError:
            if self.media != "none" and place is not None:
                self.folder.unstage(place)
            raise

    def _count(self, path: str, split: str, masks: ImageMasks) -> None:
        summary, left = self.summary, masks.left
        summary.images += 1
        summary.annotations += len(masks.masks)
        if split:
            summary.splits[split] += 1
        for reason in ("unlabelled", "without_mask", "rejected", "other_class", "below", "unreviewed"):
            setattr(summary, reason, getattr(summary, reason) + getattr(left, reason))
        summary.failed_masks += len(left.failed)
        if left.failed:
            summary.mask_errors.setdefault(path, left.failed[0])


def _first(errors: Mapping[str, str]) -> str:
    return next((f"{path}: {reason}" for path, reason in errors.items()), "")
