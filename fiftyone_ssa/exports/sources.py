"""What is exported: a view of a dataset, or a folder of results with its images, one image at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import fiftyone as fo
from pymongo.errors import CursorNotFound

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.image_masks import Choice, ImageMasks
from fiftyone_ssa.labels.database import dataset_id, documents, root_dataset, shown_dataset
from fiftyone_ssa.labels.documents import semantic_map
from fiftyone_ssa.labels.stored_masks import stored_values
from fiftyone_ssa.masks import rle


@dataclass(frozen=True)
class SourceImage:
    """One image to export, nothing of it decoded."""

    id: str
    path: str
    label: Any
    """What holds its masks, for `Source.masks`."""
    split: Any = None
    """What the field of splits says."""
    problem: str = ""
    """Why there is no such file, where that is known."""


class Source(Protocol):
    """Where images and masks come from."""

    name: str
    label_field: str
    identity: str
    """What no other source has, so that category ids stay from one export to the next."""
    ours: bool
    """Whether SSA named the masks."""
    lasting: bool
    """Whether its images are still where they were once they are exported."""

    def paths(self) -> Sequence[str]:
        """The files of all images, in order."""

    def split_values(self, field: str) -> Sequence[Any]:
        """The distinct values of a field. Raises InputError if there is no such field."""

    def names(self) -> Sequence[str]:
        """The names of masks, in an order that is the same for every view of the source."""

    def targets(self) -> Mapping[Any, Any]:
        """Class ids that are settled, to names; empty where there are none."""

    def images(self, split_field: str | None) -> Iterator[SourceImage]:
        """The images, with the value of a field."""

    def masks(self, image: SourceImage, size_hw: tuple[int, int], choice: Choice) -> ImageMasks:
        """The chosen masks of one image. Raises InputError if none of them can be read."""

    def check_alive(self) -> None:
        """Raise InputError if the source is gone."""


class DatasetSource:
    """A Detections field of a view."""

    lasting = True

    def __init__(self, samples: Any, label_field: str) -> None:
        """A view and its field, both checked."""
        self.samples, self.label_field = samples, label_field
        dataset = root_dataset(samples)
        self.name, self.identity = dataset.name, str(dataset_id(dataset))
        self.ours = f"{label_field}.detections.class_name" in dataset.get_field_schema(flat=True)

    def paths(self) -> Sequence[str]:
        """The files of all images, in order."""
        paths: list[str] = self.samples.values("filepath")
        return paths

    def split_values(self, field: str) -> Sequence[Any]:
        """The distinct values of a field. Raises InputError if it holds no texts."""
        schema = self.samples.get_field_schema()
        found = schema.get(field)
        texts = isinstance(found, fo.StringField) or (
            isinstance(found, fo.ListField) and isinstance(found.field, fo.StringField)
        )
        if not texts:
            known = ", ".join(name for name, kind in schema.items() if isinstance(kind, fo.StringField)) or "none"
            raise InputError(
                f"{field!r} names no splits: it must be a field of texts, or tags; there are {known}, tags"
            )
        # a document each: those of a field that differs from image to image do not fit one, as `distinct` answers them
        each = documents(self.samples, [{"$unwind": f"${field}"}, {"$group": {"_id": f"${field}"}}])
        return sorted(value for row in each if (value := row["_id"]) is not None)

    def names(self) -> Sequence[str]:
        """The dataset's names, then those that the view alone has: the same for every view but for those."""
        whole = _names(shown_dataset(self.samples), self.label_field, all_slices=True)
        return [*sorted(whole), *sorted(_names(self.samples, self.label_field) - whole)]

    def targets(self) -> Mapping[Any, Any]:
        """The mask targets of the class map beside the field."""
        targets: Mapping[Any, Any] = root_dataset(self.samples).mask_targets.get(f"{self.label_field}_semantic", {})
        return targets

    def images(self, split_field: str | None) -> Iterator[SourceImage]:
        """Samples as the database holds them, through the view: FiftyOne's objects fail as a whole for one bad box."""
        fields = [self.label_field, *([split_field] if split_field else [])]
        view, done = self.samples.select_fields(fields), 0
        while True:
            try:
                for document in documents(view.skip(done) if done else view):
                    done += 1
                    split = document.get(split_field) if split_field else None
                    yield SourceImage(str(document["_id"]), document["filepath"], document.get(self.label_field), split)
            except CursorNotFound:  # the server forgets a query after ten minutes without a question
                continue
            return

    def masks(self, image: SourceImage, size_hw: tuple[int, int], choice: Choice) -> ImageMasks:
        """The chosen masks of one image; one that cannot be read is counted."""
        return ImageMasks(image.label, size_hw, choice)

    def check_alive(self) -> None:
        """Raise InputError if the dataset is gone."""
        if not fo.dataset_exists(self.name):
            raise InputError(f"the dataset {self.name!r} was deleted while it was exported; nothing was written")


class MapSource(DatasetSource):
    """A field of class maps: each class of an image is one mask."""

    def names(self) -> Sequence[str]:
        """The names of the mask targets, by value."""
        return [str(name) for _, name in sorted(self.targets().items())]

    def targets(self) -> Mapping[Any, Any]:
        """The field's mask targets, or the dataset's."""
        dataset = root_dataset(self.samples)
        targets: Mapping[Any, Any] = dataset.mask_targets.get(self.label_field) or dataset.default_mask_targets
        return {value: name for value, name in targets.items() if value != 0}

    def masks(self, image: SourceImage, size_hw: tuple[int, int], choice: Choice) -> ImageMasks:
        """The chosen classes of one image. Raises InputError if the map cannot be read, or is of another size."""
        values = None if image.label is None else stored_values(image.label)
        if values is None:
            return ImageMasks(None, size_hw, choice)
        if values.shape[:2] != size_hw:
            raise InputError(f"its class map is {values.shape[:2]} (height, width), the image {size_hw}")
        found = semantic_map(values, self.targets())
        codes = dict(rle.class_rles(found.ids, found.ignore_id))
        documents = [{"_id": f"{image.id}-{number}", "label": found.names[number]} for number in codes]
        return ImageMasks.of_records(rle.mask_set(size_hw, list(codes.values())), documents, choice)


def _names(samples: Any, label_field: str, *, all_slices: bool = False) -> set[str]:
    """The class names of a field, as the view shows them."""
    masks = f"${label_field}.detections"
    found = documents(samples, [{"$unwind": masks}, {"$group": {"_id": f"{masks}.label"}}], all_slices=all_slices)
    return {name for document in found if document["_id"] is not None and (name := str(document["_id"])).strip()}
