"""Our formats as FiftyOne's dataset types, for `dataset.export` and `fo.Dataset.from_dir`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import fiftyone as fo
import fiftyone.utils.data as foud
from bson import ObjectId

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.export_arguments import detections_fields
from fiftyone_ssa.exports.exporting import export
from fiftyone_ssa.exports.formats import format_of
from fiftyone_ssa.exports.imported import Imported
from fiftyone_ssa.files.printable import check_utf8, in_utf8, printable
from fiftyone_ssa.labels.database import check_whole_images
from fiftyone_ssa.labels.metadata import image_metadata

logger = logging.getLogger(__name__)


def dataset_type(format: str) -> type[fo.types.LabeledImageDataset]:
    """A format as a dataset type of FiftyOne's, for `dataset.export` and `fo.Dataset.from_dir`.

    `dataset.export` takes the arguments of `ssa.export` besides its own, the format's options as a dict `options`.

    Args:
        format: one of `fiftyone_ssa.exports.formats.FORMATS`

    Returns:
        a subclass of `fo.types.LabeledImageDataset`

    Raises:
        InputError: if there is no such format
    """
    entry = format_of(format)
    exporter = type("Exporter", (_Exporter,), {"format": entry.name})
    importer = type("Importer", (_Importer,), {"format": entry.name})

    class FormatDataset(fo.types.LabeledImageDataset):  # type: ignore[misc]
        """A data set of this format."""

        def get_dataset_exporter_cls(self) -> type[Any]:
            """What writes it."""
            return exporter

        def get_dataset_importer_cls(self) -> type[Any]:
            """What reads it."""
            return importer

    FormatDataset.__name__ = FormatDataset.__qualname__ = f"{entry.label.replace(' ', '')}Dataset"
    return FormatDataset


class _Exporter(foud.LabeledImageDatasetExporter):  # type: ignore[misc]
    """Exports the collection whose samples FiftyOne hands over, when it has handed over all."""

    format: ClassVar[str]
    _manages_existing_export_dir = True
    """FiftyOne's word for: do not delete the folder, whoever's files are in it."""

    def __init__(
        self,
        export_dir: str | Path | None = None,
        export_media: Any = None,
        rel_dir: Any = None,
        classes: Any = None,
        categories: Any = None,
        ontology: Any = None,
        splits: Any = None,
        seed: int = 51,
        min_confidence: float = 0.0,
        min_area_px: int = 1,
        unreviewed: bool = True,
        fail_on_loss: bool | float = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """The arguments of `ssa.export`."""
        super().__init__(export_dir=export_dir)
        self.overwrite = False
        self._arguments = {
            "export_media": export_media,
            "rel_dir": rel_dir,
            "classes": classes,
            "categories": categories,
            "ontology": ontology,
            "splits": splits,
            "seed": seed,
            "min_confidence": min_confidence,
            "min_area_px": min_area_px,
            "unreviewed": unreviewed,
            "fail_on_loss": fail_on_loss,
            **(options or {}),
        }
        self._collection: Any = None
        self._field: str | None = None

    @property
    def requires_image_metadata(self) -> bool:
        """Sizes are read from the images."""
        return False

    @property
    def label_cls(self) -> type[fo.Label]:
        """Masks."""
        label_cls: type[fo.Label] = fo.Detections
        return label_cls

    def setup(self) -> None:
        """Nothing is written before all is known."""

    def log_collection(self, sample_collection: Any) -> None:
        """Keep what is exported. Raises InputError if that is parts of images."""
        check_whole_images(sample_collection, "an export", frames=True)
        self._collection = sample_collection
        fields = detections_fields(sample_collection)
        self._field = fields[0] if len(fields) == 1 else None

    def export_sample(self, image_or_path: Any, label: Any, metadata: Any = None) -> None:
        """Find out which field is exported: FiftyOne does not say."""
        if self._collection is None:
            raise InputError("only a dataset or a view can be exported in this format; make one of the samples")
        if self._field is None and isinstance(label, fo.Detections) and label.detections:
            identity = ObjectId(label.detections[0].id)
            holds = [
                name
                for name in detections_fields(self._collection)
                if self._collection.match({f"{name}.detections._id": identity}).count()
            ]
            if len(holds) != 1:
                raise InputError(f"the fields {', '.join(holds)} hold the same masks; call ssa.export with label_field")
            self._field = holds[0]

    def close(self, *args: Any) -> None:
        """Export."""
        if self._collection is None or (args and args[0] is not None):
            return
        field = self._field or next(iter(detections_fields(self._collection)), "")
        self.summary = export(
            self._collection,
            self.export_dir,
            format=self.format,
            label_field=field,
            overwrite=self.overwrite,
            progress=False,
            **self._arguments,
        )


class _Importer(foud.LabeledImageDatasetImporter):  # type: ignore[misc]
    """Streams a data set's images with their masks; an image that cannot be used is left out, and named."""

    format: ClassVar[str]
    label_cls = fo.Detections
    has_dataset_info = False
    has_image_metadata = True

    def __init__(
        self,
        dataset_dir: str | Path | None = None,
        data_dir: str | Path | None = None,
        media_dir: str | Path | None = None,
        max_samples: int | None = None,
    ) -> None:
        """See `ssa.import_labels`."""
        super().__init__(dataset_dir=str(dataset_dir) if dataset_dir else None, max_samples=max_samples)
        self._found = Imported(dataset_dir, self.format, data_dir, media_dir)
        self.errors: dict[str, str] = {}

    def setup(self) -> None:
        """Start over."""
        self._images, self._count = iter(self._found), 0

    def __next__(self) -> tuple[str, fo.ImageMetadata, fo.Detections]:
        if self.max_samples is not None and self._count >= self.max_samples:
            raise StopIteration
        for image in self._images:
            try:
                if image.problem:
                    raise InputError(image.problem)
                check_utf8(image.path, "a dataset")
                image = self._found.placed(image)
            except InputError as error:
                path = in_utf8(str(image.path))
                self.errors[path] = str(error)
                logger.warning("%s", printable(f"{path} is left out: {error}"))
                continue
            self._count += 1
            label = fo.Detections.from_dict(self._found.document(image))
            return str(image.path), image_metadata(image.path), label
        raise StopIteration
