"""Hugging Face `datasets`, each way: Parquet with the images in it, or their paths, and masks as COCO RLE."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from fiftyone_ssa.errors import InputError, MissingDependencyError, shown
from fiftyone_ssa.exports.coco_reading import attributes_of
from fiftyone_ssa.exports.image_masks import coco_annotations
from fiftyone_ssa.exports.reading import ImportedImage, Reader, below, failed, images_folder, split_names
from fiftyone_ssa.exports.writing import ExportImage, ExportJob, Writer
from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.foreign import mask_counts

EXTRA = "pip install 'fiftyone-ssa[datasets]'"
GROUP_BYTES, GROUP_ROWS = 32_000_000, 100
"""Of images and masks in a row group: what is held in memory before it is written."""
_SPLIT = re.compile(r"\w+(\.\w+)*")
"""What `datasets` takes for a split's name."""
_PART = re.compile(r"(.+?)-\d{5}-of-\d{5}")
"""How the name of a split's file begins."""
_HELD = ("category_id", "bbox", "area", "segmentation", "iscrowd", "score")


class FormatWriter(Writer):
    """`data/<split>-00000-of-00001.parquet` and a README.md that names the splits, for `datasets.load_dataset`.

    Copied images are in the Parquet file; linked ones, and those that stay where they are, are in it by their paths.
    """

    keeps: ClassVar[frozenset[str]] = frozenset(("confidence", "proposals", "attributes"))

    def __init__(self, job: ExportJob) -> None:
        """Write by `job`. Raises InputError for a split that `datasets` would refuse."""
        super().__init__(job)
        if wrong := [split for split in job.splits if not _SPLIT.fullmatch(split)]:
            raise InputError(
                "`datasets` takes letters, digits, '_' and single dots in a split's name, got "
                f"{shown(wrong[0])}; rename it"
            )
        self._features = features([each.name for each in job.classes])
        self._place = {each.name: place for place, each in enumerate(job.classes)}
        self._tables: dict[str, _Table] = {}
        self._digest = hashlib.blake2b(digest_size=8)

    def __enter__(self) -> Writer:
        """Begin the files."""
        for split in self.job.splits or ("train",):
            path = self.path(f"data/{split}-00000-of-00001.parquet")
            self._tables[split] = self._closing.enter_context(_Table(path, self._features))
        return self

    def picture(self, split: str, name: str) -> str | None:
        """Linked images are in `images/`, copied ones in the Parquet file."""
        return f"images/{split or 'train'}/{name}" if self.job.media == "symlink" else None

    def add(self, image: ExportImage) -> None:
        """Write a row."""
        split = image.split or "train"
        linked = self.picture(image.split, image.name)
        content = image.source.read_bytes() if self.job.media == "copy" else None
        path = image.name if content is not None else str(self.job.folder.root / linked if linked else image.source)
        height, width = image.size_hw
        found = coco_annotations(image.masks, image.labels, image.documents, self._place)
        objects = [
            {
                "id": str(document.get("_id", "")),
                "category": annotation["category_id"],
                "bbox": annotation["bbox"],
                "area": annotation["area"],
                "segmentation": annotation["segmentation"],
                "iscrowd": bool(annotation["iscrowd"]),
                "score": annotation.get("score"),
                "attributes": json.dumps(_others(annotation), ensure_ascii=False, allow_nan=False),
            }
            for document, annotation in zip(image.documents, found, strict=True)
        ]
        row = {
            "image": {"bytes": content, "path": path},
            "image_id": image.number,
            "file_name": image.name,
            "width": width,
            "height": height,
            "objects": objects,
        }
        self._digest.update(json.dumps([split, path, row["image_id"], objects]).encode() + (content or b""))
        codes = sum(map(len, image.masks.rles))
        self._tables[split].add(row, codes + (0 if content is None else len(content)))

    def finish(self) -> None:
        """Complete the files."""
        for table in self._tables.values():
            table.write()
        rows = "".join(f"  - split: {split}\n    path: data/{split}-*.parquet\n" for split in self._tables)
        # `datasets` knows what it has cached by the folder's name and these lines alone: they are made unique
        about = f"- config_name: default\n  description: content {self._digest.hexdigest()}\n  data_files:\n{rows}"
        self.write("README.md", f"---\nconfigs:\n{about}---\n\n{self.job.title}\n")


class FormatReader(Reader):
    """What `FormatWriter` wrote."""

    def read(self, dataset_dir: Path, data_dir: Path | None = None) -> Iterator[ImportedImage]:
        """The images of a data set, one at a time."""
        _, parquet = _packages()
        files = sorted(dataset_dir.glob("data/*.parquet")) or sorted(dataset_dir.glob("*.parquet"))
        if not files:
            raise InputError(f"{dataset_dir} holds no data/*.parquet; name the folder of a data set in Parquet")
        ours = split_names(dataset_dir)
        for file in files:
            named = _PART.match(file.stem)
            split = named[1] if named else file.stem.split("-")[0]
            split = split if len(files) > 1 or split in ours else ""
            try:
                table = parquet.ParquetFile(file)
                names = _names(table.schema_arrow.metadata or {})
                batches = table.iter_batches(batch_size=8, columns=["image", "file_name", "width", "height", "objects"])
                for batch in batches:
                    for row in batch.to_pylist():
                        yield _image(row, names, split, dataset_dir, data_dir)
            except (OSError, ValueError, KeyError) as error:
                raise InputError(f"{file} is none that this program wrote, or is damaged: {error}") from error


def features(names: list[str]) -> Any:
    """The columns of a data set, as `datasets` declares them. Raises MissingDependencyError without `datasets`."""
    datasets, _ = _packages()
    value, of = datasets.Value, datasets.Features
    each = {
        "id": value("string"),
        "category": datasets.ClassLabel(names=names or ["none"]),
        "bbox": datasets.List(value("int32"), length=4),
        "area": value("int64"),
        "segmentation": {"size": datasets.List(value("int32"), length=2), "counts": value("string")},
        "iscrowd": value("bool"),
        "score": value("float64"),
        "attributes": value("string"),
    }
    return of(
        {
            "image": datasets.Image(),
            "image_id": value("int64"),
            "file_name": value("string"),
            "width": value("int32"),
            "height": value("int32"),
            "objects": datasets.List(each),
        }
    )


class _Table(contextlib.AbstractContextManager["_Table"]):
    """A Parquet file that is written a group of rows at a time."""

    def __init__(self, path: Path, found: Any) -> None:
        _, parquet = _packages()
        self._schema = found.arrow_schema
        self._file = parquet.ParquetWriter(path, self._schema, compression="snappy")
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, row: dict[str, Any], size: int) -> None:
        """Add a row that takes about `size` bytes."""
        self._rows.append(row)
        self._bytes += size
        if self._bytes > GROUP_BYTES or len(self._rows) >= GROUP_ROWS:
            self.write()

    def write(self) -> None:
        """Write what is held."""
        import pyarrow

        if self._rows:
            self._file.write_table(pyarrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._bytes = [], 0


def _packages() -> tuple[Any, Any]:
    try:
        import datasets
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError(f"this format needs the package datasets; get it with {EXTRA}") from error
    return datasets, pyarrow.parquet


def _others(annotation: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in annotation.items() if key not in _HELD}


def _names(metadata: Mapping[bytes, bytes]) -> list[str]:
    """The names of the categories, from what `datasets` keeps in the file."""
    info = json.loads(metadata[b"huggingface"])["info"]["features"]
    names: list[str] = info["objects"]["feature"]["category"]["names"]
    return names


def _image(
    row: Mapping[str, Any], names: list[str], split: str, dataset_dir: Path, data_dir: Path | None
) -> ImportedImage:
    content, name = row["image"]["bytes"], row["file_name"]
    linked = f"images/{split or 'train'}"
    folder = Path(split) if content is not None else images_folder(dataset_dir, data_dir, linked)
    try:
        place = below(folder, name)
        size_hw = (row["height"], row["width"])
        objects = row["objects"]
        masks = rle.mask_set(size_hw, [mask_counts(each["segmentation"], size_hw) for each in objects])
    except InputError as error:
        return failed(folder / str(name), error, split)
    attributes = []
    for each in objects:
        values = {"label_id": each["id"], **attributes_of(json.loads(each["attributes"] or "{}"))}
        if each["score"] is not None:
            values["confidence"] = each["score"]
        attributes.append(values | ({"iscrowd": True} if each["iscrowd"] else {}))
    labels = tuple(names[each["category"]] for each in objects)
    return ImportedImage(place, masks, labels, tuple(attributes), split, picture=content)
