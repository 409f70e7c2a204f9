"""A folder of results, as `annotate` writes it, with the folder of its images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.image_masks import Choice, ImageMasks
from fiftyone_ssa.exports.sources import SourceImage
from fiftyone_ssa.exports.ssa_records import read_records
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.folders.image_folder import RESULT_ENDING, ImageFile, ImageFolder
from fiftyone_ssa.naming.arguments import check_path


class ResultSource:
    """Results `<stem>_semantic.json`, and the images they are of; an image without a result is left out."""

    label_field = "ssa"
    ours = False
    lasting = True

    def __init__(self, results_dir: Any, data_dir: Any = None) -> None:
        """Look at both folders. Raises InputError if one is missing, or no image has a result."""
        self.root = check_path("the folder of results", results_dir).absolute()
        self.images_root = self.root if data_dir is None else check_path("data_dir", data_dir).absolute()
        for folder in (self.root, self.images_root):
            if not folder.is_dir():
                raise InputError(f"{folder} is no folder; name one of results, and with data_dir one of their images")
        self.name, self.identity = self.root.name, str(self.root.resolve())
        if next(self._found(), None) is None:
            raise InputError(
                f"no result is in {self.root} for an image in {self.images_root}: looked for "
                f"<image name>{RESULT_ENDING}; name the folder of images with data_dir"
            )

    def paths(self) -> Sequence[str]:
        """The files of all images that have a result."""
        return [str(image.path) for image, _ in self._found()]

    def split_values(self, field: str) -> Sequence[Any]:
        """Results have no fields."""
        raise InputError(f"a folder of results has no field {field!r}; give shares, as train=0.8,val=0.2")

    def names(self) -> Sequence[str]:
        """All names in the results, sorted; a result that cannot be read has none."""
        names: set[str] = set()
        for _, result in self._found():
            try:
                records = read_json(result).get("annotations")
            except InputError:
                continue  # told when the image's turn comes
            for record in records if isinstance(records, list) else ():
                name = record.get("class_name") if isinstance(record, Mapping) else None
                if isinstance(name, str) and name.strip():
                    names.add(name)
        return sorted(names)

    def targets(self) -> Mapping[Any, Any]:
        """Results settle no ids."""
        return {}

    def images(self, split_field: str | None) -> Iterator[SourceImage]:
        """The images with their results' files."""
        for image, result in self._found():
            yield SourceImage(image.id, str(image.path), result)

    def masks(self, image: SourceImage, size_hw: tuple[int, int], choice: Choice) -> ImageMasks:
        """The chosen masks of one result. Raises InputError, naming its file, if it is damaged."""
        records = read_json(image.label).get("annotations")
        if not isinstance(records, list):
            raise InputError(f'{image.label} has no "annotations" list; run annotate on the image again')
        try:
            return ImageMasks.of_records(*read_records(records, size_hw), choice)
        except InputError as error:
            raise InputError(f"{image.label}: {error}") from error

    def check_alive(self) -> None:
        """Raise InputError if the folder is gone."""
        if not self.root.is_dir():
            raise InputError(f"{self.root} was removed while it was exported; nothing was written")

    def _found(self) -> Iterator[tuple[ImageFile, Path]]:
        for image in ImageFolder(self.images_root):
            result = self.root / Path(image.id).with_name(Path(image.id).stem + RESULT_ENDING)
            if not image.problem and result.is_file():
                yield image, result
