"""The published SSA JSON, each way: `<stem>_semantic.json` an image, each mask with name and proposals."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.outlines import size_of
from fiftyone_ssa.exports.reading import (
    ImportedImage,
    PictureFinder,
    Reader,
    below,
    failed,
    images_folder,
    left_where,
    our_splits,
)
from fiftyone_ssa.exports.ssa_records import annotation_of, extra_values, read_records
from fiftyone_ssa.exports.writing import ExportImage, Writer, in_split
from fiftyone_ssa.files.images import EXTENSIONS, image_size_hw
from fiftyone_ssa.files.json_file import plain, read_json
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
            row |= plain({"class_proposals": proposals.names, "proposal_scores": proposals.scores})
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
            numbered = self._numbered(folder) if left_where(folder) else None
            images = images_folder(folder, data_dir, "data")
            for image in ImageFolder(images, hidden=True):
                for file in self._files(folder / image.id, numbered):
                    read = self._image(image.path, file, split, None if numbered is None else image.id)
                    if read is not None:
                        found = True
                        yield read
            finder = PictureFinder()
            for file in sorted(folder.rglob(f"*{self.ending}")):
                place = images / file.relative_to(folder).as_posix().removesuffix(self.ending)
                lone = None if finder.find(place.parent, place.name) else self._without_picture(file, place, split)
                if lone is not None:
                    found = True
                    yield lone
        if not found:
            raise InputError(
                f"{dataset_dir} holds no <image name>{self.ending} of an image in data/ or beside it; "
                "name the folder of images with data_dir"
            )

    def _files(self, place: Path, numbered: Mapping[Path, Sequence[int]] | None) -> list[Path]:
        """The JSON of an image: `<name>` before `<stem>`; of our exports that left images, all that may be of it."""
        full, file = (place.with_name(name + self.ending) for name in (place.name, place.stem))
        if numbered is None:
            return [path for path in (full, file) if path.is_file()][:1]
        more = [place.with_name(f"{place.stem}-{number}{self.ending}") for number in numbered.get(file, ())]
        return [path for path in (file, full, *more) if path.is_file()]

    def _numbered(self, folder: Path) -> dict[Path, list[int]]:
        """The numbers of the JSONs whose names `Writer.stem` numbers, by their names without: a file that is several
        samples, and was left where it is, has one for each of them."""
        found: dict[Path, list[int]] = {}
        for path in folder.rglob(f"*-*{self.ending}"):
            stem, _, number = path.name.removesuffix(self.ending).rpartition("-")
            if number.isascii() and number.isdigit():
                found.setdefault(path.with_name(stem + self.ending), []).append(int(number))
        return {path: sorted(numbers) for path, numbers in found.items()}

    def _without_picture(self, file: Path, place: Path, split: str) -> ImportedImage | None:
        """What a JSON says of a picture that is not there; None where it is, or the file is another one's."""
        try:
            header = read_json(file)["image"]
            path = below(place.parent, PurePosixPath(header["file_name"]).name)
            if path.is_file():
                return None
            return self._image(path, file, split, None, size_of(path, header["height"], header["width"]))
        except (InputError, KeyError, TypeError):
            path = place.with_name(place.name + EXTENSIONS[0])
            return failed(path, f"{file} has no picture", split) if self.ending == RESULT_ENDING else None

    def _image(
        self, path: Path, file: Path, split: str, name: str | None, size_hw: tuple[int, int] | None = None
    ) -> ImportedImage | None:
        """What a JSON says of an image; None where it says that it is of another one than `name`."""
        try:
            content = read_json(file)
            header, records = content.get("image"), content.get("annotations")
            if name is not None and isinstance(header, dict) and header.get("file_name", name) != name:
                return None
            if not isinstance(records, list):
                raise InputError('it has no "annotations" list')
            masks, documents = read_records(records, size_hw or image_size_hw(path))
        except InputError as error:
            return failed(path, f"{file}: {error}", split)
        labels = tuple(document.pop("label") for document in documents)
        attributes: list[Mapping[str, Any]] = [
            {key: value for key, value in document.items() if key != "_id"} for document in documents
        ]
        return ImportedImage(path, masks, labels, tuple(attributes), split)
