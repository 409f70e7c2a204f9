"""What an export sends out to be corrected, remembered in the database to be compared with what comes back."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId

from fiftyone_ssa.exports.sources import DatasetSource, Source
from fiftyone_ssa.exports.writing import ExportImage, Kept
from fiftyone_ssa.labels.exported import Exports, exported_mask, pixels_digest, runs_digest
from fiftyone_ssa.masks.runs import runs_of


def remembered_of(source: Source, format: str) -> Remembered | None:
    """What a dataset sends out; a folder of results has no database to be remembered in."""
    if not isinstance(source, DatasetSource):
        return None
    return Remembered(Exports(ObjectId(source.identity), source.label_field, format))


class Remembered:
    """The masks of one export."""

    def __init__(self, exports: Exports) -> None:
        """Begin."""
        self._exports = exports

    def add(self, image: ExportImage, kept: Kept | None, place: str | None) -> None:
        """Remember one image, and what a reader sees of its masks."""
        masks, runs = [], runs_of(image.masks)
        for row, (label, document) in enumerate(zip(image.labels, image.documents, strict=True)):
            code = image.masks.rles[row]
            own = runs_digest(runs[row], image.size_hw)
            seen = code if kept is None else kept[row]
            if seen is None:
                continue
            pixels = own if seen == code else pixels_digest(seen, image.size_hw)
            found = exported_mask(document, label, pixels, own)
            masks += [] if found is None else [found]
        self._exports.add(image.sample_id, _names(image, place), masks)

    def finish(self) -> None:
        """Let it count: the export stands."""
        self._exports.finish()


def _names(image: ExportImage, place: str | None) -> Sequence[str]:
    """What the picture may be called when it comes back, the longest first."""
    split_name = f"{image.split}/{image.name}" if image.split else image.name
    name = (place or image.name).rsplit("/", 1)[-1]
    return [str(image.source), *([place] if place else []), split_name, image.name, name]
