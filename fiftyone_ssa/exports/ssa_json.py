"""The published SSA JSON, each way: `<stem>_semantic.json` an image, each mask with name and proposals."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.reading import ImportedImage, Reader, failed, images_folder, our_splits
from fiftyone_ssa.exports.ssa_records import annotation_of, extra_values, read_records
from fiftyone_ssa.exports.writing import ExportImage, Writer, in_split
from fiftyone_ssa.files.images import image_size_hw
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.folders.image_folder import RESULT_ENDING, ImageFolder
from fiftyone_ssa.folders.sa1b_json import annotation_record


class FormatWriter(Writer):
    """A JSON an image, images in `data/`; with splits, a folder for each. Annotations go by descending area."""

    keeps: ClassVar[frozenset[str]] = frozenset(("confidence", "proposals", "attributes"))
    ending: ClassVar[str] = RESULT_ENDING

    def add(self, image: ExportImage) -> None:
        """Write an image's JSON."""
        order = image.masks.order_by_area()
        masks, documents = image.masks[order], [image.documents[row] for row in order]
        annotation = annotation_of(masks, [image.labels[row] for row in order], documents)
        record = annotation_record(annotation, self.header(image))
        for row, document, proposals in zip(record["annotations"], documents, annotation.proposals, strict=True):
            row |= {"class_proposals": list(proposals.names), "proposal_scores": list(proposals.scores)}
            row |= {key: value for key, value in extra_values(document).items() if key not in row}
        name = in_split(image.split, self.stem(image) + self.ending)
        self.write(name, json.dumps(record, ensure_ascii=False, allow_nan=False))

    def header(self, image: ExportImage) -> dict[str, Any]:
        """SA-1B's entry of an image."""
        height, width = image.size_hw
        return {"image_id": image.number, "width": width, "height": height, "file_name": image.name}


class FormatReader(Reader):
    """Results `<stem>_semantic.json` of any source, with their images in `data/`, beside them or elsewhere."""

    ending: ClassVar[str] = RESULT_ENDING

    def read(self, dataset_dir: Path, data_dir: Path | None = None) -> Iterator[ImportedImage]:
        """The images of a data set that have a JSON."""
        found = False
        for split in our_splits(dataset_dir):
            folder = dataset_dir / split
            images = images_folder(folder, data_dir, "data")
            for image in ImageFolder(images):
                file = (folder / image.id).with_name(Path(image.id).stem + self.ending)
                full = (folder / image.id).with_name(Path(image.id).name + self.ending)
                file = full if full.is_file() else file
                if file.is_file():
                    found = True
                    yield self._image(image.path, file, split)
        if not found:
            raise InputError(
                f"{dataset_dir} holds no <image name>{self.ending} of an image in data/ or beside it; "
                "name the folder of images with data_dir"
            )

    def _image(self, path: Path, file: Path, split: str) -> ImportedImage:
        try:
            records = read_json(file).get("annotations")
            if not isinstance(records, list):
                raise InputError('it has no "annotations" list')
            masks, documents = read_records(records, image_size_hw(path))
        except InputError as error:
            return failed(path, f"{file}: {error}", split)
        labels = tuple(document.pop("label") for document in documents)
        attributes: list[Mapping[str, Any]] = [
            {key: value for key, value in document.items() if key != "_id"} for document in documents
        ]
        return ImportedImage(path, masks, labels, tuple(attributes), split)
