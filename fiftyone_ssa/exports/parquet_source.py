"""A folder of Parquet labels, as `annotate --format parquet` writes it: masks as people corrected them."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.image_masks import Choice, ImageMasks
from fiftyone_ssa.exports.sources import SourceImage
from fiftyone_ssa.files.images import EXTENSIONS
from fiftyone_ssa.naming.arguments import check_path

if TYPE_CHECKING:
    from fiftyone_ssa.scale.manifest import Entry
    from fiftyone_ssa.scale.pictures import Place
    from fiftyone_ssa.scale.query import Row

MANIFEST = "manifest.jsonl"


def is_parquet_labels(path: Any) -> bool:
    """Whether a path is of a folder of Parquet labels."""
    if isinstance(path, str) and "://" in path:
        from fiftyone_ssa.scale.store import Store

        return bool(Store(path).read(MANIFEST))
    return isinstance(path, str | Path) and (Path(path) / MANIFEST).is_file()


class ParquetSource:
    """Rows of masks, and the images they are of.

    Images that are no files are called by their `image_id`. Without `data_dir` they are written to a temporary folder,
    those of a compressed tar or a file of rows all at once, and each is removed when the next one comes; with it they
    are written there, and stay.
    """

    label_field = "ssa"
    ours = True

    def __init__(self, out: Any, data_dir: Any = None) -> None:
        """Open the folder. Raises InputError if no shard is finished, MissingDependencyError without DuckDB."""
        from fiftyone_ssa.scale.pictures import place_in
        from fiftyone_ssa.scale.query import Output

        self._output = Output(out)
        self._store = self._output.store
        self.name, self.identity = self._store.name, self._store.identity
        self._in_folders = all(_is_here(part.source) for part in self._output.parts)
        self.lasting = self._in_folders or data_dir is not None
        """Whether its images are still where they are when the export is made."""
        self._place: Place
        if data_dir is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="fiftyone-ssa-")
            self._place = _by_id(Path(self._temporary.name))
        else:
            self._place = place_in(check_path("data_dir", data_dir).absolute())

    def paths(self) -> Sequence[str]:
        """Where the images that are done are, or will be."""
        from fiftyone_ssa.scale.pictures import ShardPictures

        found: list[str] = []
        for part, images in self._shards():
            if not all(image["image_id"].lower().endswith(EXTENSIONS) for image in images):
                ShardPictures(part, images, self._place)  # what a picture is called depends on what it is
            paths = [self._path(part, image) for image in images]
            found += map(str, paths)
            if not self.lasting:  # or there would be those of every shard
                for path in paths:
                    path.unlink(missing_ok=True)
        return found

    def split_values(self, field: str) -> Sequence[Any]:
        """Rows have no fields of splits."""
        raise InputError(f"Parquet labels have no field {field!r} of splits; give shares, as train=0.8,val=0.2")

    def names(self) -> Sequence[str]:
        """All names that hold now, sorted."""
        rows = self._output.rows("SELECT DISTINCT label FROM masks WHERE trim(label) != ''")
        return sorted(row["label"] for row in rows)

    def targets(self) -> Mapping[Any, Any]:
        """Rows settle no ids."""
        return {}

    def images(self, split_field: str | None) -> Iterator[SourceImage]:
        """The images, shard by shard, each with the rows of its masks."""
        from fiftyone_ssa.scale.pictures import ShardPictures
        from fiftyone_ssa.scale.selecting import all_masks

        for part, images in self._shards():
            pictures = ShardPictures(part, images, self._place)
            for chosen in all_masks(self._output, part, images):
                path, problem = self._path(part, chosen.image), ""
                try:
                    file = pictures.of(chosen.image)
                    if file != path:
                        _link(file, path)
                except InputError as error:
                    problem = str(error)
                yield SourceImage(chosen.image["image_id"], str(path), chosen.masks, problem=problem)
                if not self.lasting:
                    path.unlink(missing_ok=True)

    def masks(self, image: SourceImage, size_hw: tuple[int, int], choice: Choice) -> ImageMasks:
        """The chosen masks of one image. Raises InputError if a code is damaged."""
        from fiftyone_ssa.scale.loading import masks_of_rows

        rows: Sequence[Row] = image.label
        return ImageMasks.of_records(masks_of_rows(rows, size_hw), list(map(_document, rows)), choice)

    def check_alive(self) -> None:
        """Raise InputError if the folder is gone."""
        if self._store.local and not (self._store.local / MANIFEST).is_file():
            raise InputError(f"{self._store} was removed while it was exported; nothing was written")

    def done(self) -> int:
        """How many images have rows."""
        return sum(part.images for part in self._output.parts)

    def settings(self) -> tuple[str, str, Mapping[str, Any]] | None:
        """The preset, the fingerprint and the settings of the rows; None where the folder does not say."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(self._store.read("settings.json"))
            return content["preset"], content["fingerprint"], content["settings"]
        return None

    def _shards(self) -> Iterator[tuple[Entry, list[Row]]]:
        from fiftyone_ssa.scale.selecting import done_images

        for part in self._output.parts:
            yield part, done_images(self._output, part)

    def _path(self, part: Entry, image: Row) -> Path:
        """Where an image is when its turn comes."""
        from fiftyone_ssa.scale.pictures import earlier_file

        if self.lasting and _is_here(part.source) and ".." not in Path(image["member"]).parts:
            return Path(part.source, image["member"])
        path = self._place(part, image)
        return earlier_file(path) or path


def _is_here(source: str) -> bool:
    """Whether a shard's images are files of a folder on this machine."""
    from fiftyone_ssa.scale.pictures import is_folder

    return is_folder(source) and Path(source).is_dir()


def _by_id(folder: Path) -> Place:
    from fiftyone_ssa.scale.pictures import safe_name

    return lambda part, image: folder / safe_name(image["image_id"])


def _link(file: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(file.absolute())


def _document(row: Row) -> dict[str, Any]:
    """What is said of a mask, by the names of detections' attributes."""
    from fiftyone_ssa.scale.loading import ATTRIBUTES

    said = {name: found for name, column in ATTRIBUTES.items() if (found := row.get(column)) is not None}
    own = {"_id": f"{row['image_id']}:{row['mask_id']}", "sa1b_id": row["mask_id"], "tags": row["tags"] or []}
    return said | own | ({} if row.get("parent") is None else {"parent": row["parent"]})
