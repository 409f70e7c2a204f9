"""The part files of one shard: rows are put aside as images come, and written in order when the shard is done."""

from __future__ import annotations

import contextlib
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.printable import in_utf8
from fiftyone_ssa.scale.manifest import Entry
from fiftyone_ssa.scale.rows import FAILED, IMAGES, MASKS
from fiftyone_ssa.scale.shards import Record, Shard
from fiftyone_ssa.scale.stages import Stages
from fiftyone_ssa.scale.store import Store
from fiftyone_ssa.types import Annotation

ROW_GROUP = 65_536
"""Rows: what a scan skips, or reads, as one."""
_REPEATED = (
    *("image_id", "shard", "member", "height", "width", "label", "proposals.list.element", "source", "level"),
    *("preset", "revisions", "status"),
)
"""Columns whose values come again and again, as Parquet calls them: kept in a dictionary."""
_NO_STATISTICS = ("rle", "caption", "proposals", "proposal_scores", "embedding")
DONE, NOT_DONE = "done", "failed"
"""An image's `status`."""


@dataclass
class PartWriter(AbstractContextManager["PartWriter"]):
    """The rows of a shard on their way into its part files; memory holds those of its images, not of their masks."""

    store: Store
    shard: Shard
    name: str
    """Of the part's files."""
    preset: str
    revisions: str
    stages: Stages
    masks: int = 0
    unlabelled: int = 0
    bad_masks: int = 0
    """Existing masks that could not be read."""
    _images: list[dict[str, Any]] = field(default_factory=list)
    _failed: list[dict[str, str]] = field(default_factory=list)
    _places: dict[str, list[int]] = field(default_factory=dict)
    """Image id to its batches in the spool."""
    _spooled: int = 0
    _making: deque[tuple[str, Callable[[], pa.RecordBatch]]] = field(default_factory=deque)
    """Images whose rows were asked for and not taken yet."""

    def __enter__(self) -> PartWriter:
        """Begin a file that nobody else sees and that the system removes."""
        try:
            self._spool: IO[bytes] = tempfile.TemporaryFile(dir=self.store.local)
        except OSError as error:
            raise self._no_room(error) from error
        self._schema = MASKS
        self._batches: Any = None
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # what a full disk still owes to a file that nobody reads
            self._spool.close()

    def add(self, record: Record, annotation: Annotation) -> None:
        """Put an image's rows aside."""
        shared = {"image_id": record.id, "shard": self.shard.name, "member": record.member}
        height, width = annotation.masks.size_hw
        size = len(record.image) if record.offset is not None else None
        place = {"offset": record.offset, "size": size, "height": height, "width": width}
        self._images.append({**shared, **place, "masks": len(annotation.masks), "status": DONE})
        self.unlabelled += annotation.unlabelled
        rows = self.stages.rows(annotation, **shared, preset=self.preset, revisions=self.revisions)
        self._making.append((record.id, rows))
        self._take(self.stages.ahead)

    def fail(self, record: Record, reason: str) -> None:
        """Note that an image failed."""
        shared = {"image_id": record.id, "shard": self.shard.name, "member": record.member}
        if record.id != self.shard.name:  # else it is the shard that cannot be read whole
            self._images.append({**shared, "masks": 0, "status": NOT_DONE})
        self._failed.append({**shared, "reason": in_utf8(reason)})

    def keep(self, before: Entry) -> set[str]:
        """Take over what an earlier part has of images that are done; answers their ids."""
        with self.store.open(f"images/{before.part}") as file:
            kept = [row for row in pq.read_table(file).to_pylist() if row["status"] == DONE]
        self._images += kept
        self.unlabelled += before.unlabelled
        self.bad_masks += before.bad_masks
        with self.store.open(f"masks/{before.part}") as file:
            table = pq.ParquetFile(file)
            for group in range(table.num_row_groups):
                for image_id, rows in _by_image(table.read_row_group(group).combine_chunks()):
                    self._put(image_id, rows)
        return {row["image_id"] for row in kept}

    def write(self, seconds: float) -> Entry:
        """Write the three files; they count when the entry is in the manifest. Raises InputError if it cannot."""
        self._take(0)
        self._write("masks", self._schema, self._sorted())
        images = sorted(self._images, key=lambda row: row["image_id"])
        failed = sorted(self._failed, key=lambda row: row["image_id"])
        self._write("images", IMAGES, iter(pa.Table.from_pylist(images, IMAGES).to_batches()))
        self._write("failed", FAILED, iter(pa.Table.from_pylist(failed, FAILED).to_batches()))
        return Entry(
            shard=self.shard.name,
            part=self.name,
            images=sum(row["status"] == DONE for row in images),
            masks=self.masks,
            failed=len(failed),
            seconds=round(seconds, 3),
            preset=self.preset,
            revisions=self.revisions,
            source=self.shard.source,
            stamp=self.shard.stamp,
            unlabelled=self.unlabelled,
            bad_masks=self.bad_masks,
        )

    def _take(self, left: int) -> None:
        """Put rows into the spool until so many images are left."""
        while len(self._making) > left:
            image_id, rows = self._making.popleft()
            self._put(image_id, rows())

    def _put(self, image_id: str, rows: pa.RecordBatch) -> None:
        if not len(rows):
            return
        try:
            if self._batches is None:
                self._schema, self._batches = rows.schema, pa.ipc.new_file(self._spool, rows.schema)
            self._batches.write_batch(rows)
        except OSError as error:
            raise self._no_room(error) from error
        self._places.setdefault(image_id, []).append(self._spooled)
        self._spooled += 1
        self.masks += len(rows)

    def _no_room(self, error: OSError) -> InputError:
        where = self.store.local or tempfile.gettempdir()
        return InputError(f"{where} takes no more rows: {error}; make room and start again")

    def _sorted(self) -> Iterator[pa.RecordBatch]:
        """All batches, by image."""
        if self._batches is None:
            return
        try:
            self._batches.close()
            self._spool.flush()
        except OSError as error:
            raise self._no_room(error) from error
        self._spool.seek(0)
        reader = pa.ipc.open_file(self._spool)
        for image_id in sorted(self._places):
            yield from (reader.get_batch(place) for place in self._places[image_id])

    def _write(self, table: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        order = [(name, "ascending") for name in ("image_id", "mask_id") if name in schema.names]
        with (
            self.store.whole(f"{table}/{self.name}") as file,
            pq.ParquetWriter(
                file,
                schema,
                compression="zstd",
                use_dictionary=list(_REPEATED),
                write_statistics=[name for name in schema.names if name not in _NO_STATISTICS],
                write_page_index=True,
                sorting_columns=pq.SortingColumn.from_ordering(schema, order),
            ) as writer,
        ):
            for group in _groups(batches):
                writer.write_table(pa.Table.from_batches(group, schema), row_group_size=ROW_GROUP)


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Batches of about `ROW_GROUP` rows together."""
    group: list[pa.RecordBatch] = []
    for batch in batches:
        if group and sum(map(len, group)) + len(batch) > ROW_GROUP:
            yield group
            group = []
        group.append(batch)
    if group:
        yield group


def _by_image(table: pa.Table) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Rows that are sorted by image, an image at a time."""
    ends = pa.compute.run_end_encode(table["image_id"].combine_chunks())
    start = 0
    batch = table.to_batches()[0]
    for image_id, end in zip(ends.values.to_pylist(), ends.run_ends.to_pylist(), strict=True):
        yield image_id, batch.slice(start, end - start)
        start = end
