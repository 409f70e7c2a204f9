"""Masks that are chosen by a condition and a sample: first which, at the cost of few columns, then all of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from fiftyone_ssa.errors import counted
from fiftyone_ssa.scale.manifest import Entry
from fiftyone_ssa.scale.query import Output, Row, as_said, corrected, quoted, scan
from fiftyone_ssa.scale.sampling import Sample, condition, order

READERS = 2
"""Shards that are read at a time: one query leaves cores idle while its rows become Python's."""
LOT = 20_000
"""Masks of a shard that are in memory, where all are asked for."""


@dataclass(frozen=True)
class ChosenImage:
    """One image with those of its masks that were chosen."""

    part: Entry
    image: Row
    """Its row in `images`."""
    masks: list[Row]
    """Their rows in `masks`, by `mask_id`."""


@dataclass(frozen=True)
class Selection:
    """What was chosen of an output folder that is open."""

    output: Output
    where: str
    sample: Sample
    masks: int
    images: int
    classes: dict[str | None, int]
    """Label to its masks, most first."""

    def __iter__(self) -> Iterator[ChosenImage]:
        """The images, shard by shard; the memory is that of `READERS` shards' chosen masks."""
        readers = ThreadPoolExecutor(READERS, "select")
        try:
            ahead: deque[Future[list[ChosenImage]]] = deque()
            for part in self.output.parts:
                ahead.append(readers.submit(self._read, part))
                if len(ahead) == READERS:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()
        finally:  # whoever stops early closes the database next
            readers.shutdown(cancel_futures=True)

    def first(self, count: int) -> list[Row]:
        """The first masks in the order of the sample, with what tells most of each."""
        names = ", ".join(f"m.{name}" for name in ("image_id", "mask_id", "label", "confidence", "margin", "area"))
        joined = "(SELECT * FROM chosen ORDER BY place LIMIT ?) JOIN masks m USING (image_id, mask_id)"
        return list(self.output.rows(f"SELECT {names} FROM {joined} ORDER BY place", [count]))

    def __str__(self) -> str:
        names = [f"{label or '(no name)'} {count:,}" for label, count in list(self.classes.items())[:10]]
        more = f", and {counted(len(self.classes) - 10, 'more class')}" if len(self.classes) > 10 else ""
        told = f": {', '.join(names)}{more}" if names else ""
        return f"{counted(self.masks, 'mask')} on {counted(self.images, 'image')}{told}"

    def _read(self, part: Entry) -> list[ChosenImage]:
        """The images of a shard."""
        rows = self._rows(part)
        known = self._images(part) if rows else {}
        found = []
        for image_id, masks in groupby(rows, key=lambda row: row["image_id"]):
            chosen = list(masks)
            found.append(ChosenImage(part, known.get(image_id, chosen[0] | {"offset": None, "size": None}), chosen))
        return found

    def _rows(self, part: Entry) -> list[Row]:
        """A shard's chosen masks: only the row groups that hold them are read."""
        file = self.output.file("masks", part)
        rows = f"file_row_number IN (SELECT file_row_number FROM chosen WHERE filename = {quoted(file)})"
        table = f"(SELECT * FROM {scan([file])} WHERE {rows})"
        keys = "(image_id, mask_id) IN (SELECT (image_id, mask_id) FROM chosen)"
        drawn = f"shard = {quoted(part.shard, path=False)} AND {keys}"
        question = corrected(table, drawn) if self.output.layers else as_said(table)
        return list(self.output.rows(f"SELECT * FROM ({question}) ORDER BY image_id, mask_id"))

    def _images(self, part: Entry) -> dict[str, Row]:
        of_chosen = "image_id IN (SELECT image_id FROM chosen)"
        found = self.output.rows(f"SELECT * FROM {scan([self.output.file('images', part)])} WHERE {of_chosen}")
        return {row["image_id"]: row for row in found}


def choose(output: Output, where: str = "true", sample: Sample | None = None) -> Selection:
    """Choose masks of an output folder.

    Args:
        output: the folder, open
        where ("true"): a condition on the columns of `masks`, as DuckDB's SQL has it; subqueries may ask `masks`,
            `images` and `failed`
        sample (None): how many, and which first; None: all

    Raises InputError if the condition is none, or the sample asks for what is not there.
    """
    sample = sample or Sample()
    wanted = output.check_where(where)
    by, values = order(output, sample)
    besides, more = condition(sample)
    first = (
        f"QUALIFY row_number() OVER (PARTITION BY label ORDER BY {by}) <= {sample.per_class}"
        if sample.per_class
        else ""
    )
    limit = f"LIMIT {sample.limit}" if sample.limit else ""
    keys = "image_id, mask_id, label, filename, file_row_number"
    taken = f"SELECT * FROM masks WHERE {wanted} AND {besides} {first} ORDER BY {by} {limit}"
    output.run(
        f"CREATE OR REPLACE TABLE chosen AS SELECT {keys}, row_number() OVER () AS place FROM ({taken})",
        [*more, *(values if first else []), *values],
    )
    total = next(output.rows("SELECT count(*) AS masks, count(DISTINCT image_id) AS images FROM chosen"))
    named = output.rows("SELECT label, count(*) AS masks FROM chosen GROUP BY label ORDER BY masks DESC, label")
    classes: dict[Any, int] = {row["label"]: row["masks"] for row in named}
    return Selection(output, where, sample, total["masks"], total["images"], classes)


def done_images(output: Output, part: Entry) -> list[Row]:
    """The rows of a shard's images that are done, by `image_id`."""
    file = output.file("images", part)
    return list(output.rows(f"SELECT * FROM {scan([file])} WHERE status = 'done' ORDER BY image_id"))


def all_masks(output: Output, part: Entry, images: Sequence[Row]) -> Iterator[ChosenImage]:
    """The `images` of a shard, by `image_id`, each with all of its masks; memory is that of `LOT` masks."""
    for lot in _lots(images):
        first, last = (quoted(image["image_id"], path=False) for image in (lot[0], lot[-1]))
        between = f"image_id BETWEEN {first} AND {last}"
        table = f"(SELECT * FROM {scan([output.file('masks', part)])} WHERE {between})"
        drawn = f"shard = {quoted(part.shard, path=False)} AND {between}"
        question = corrected(table, drawn) if output.layers else as_said(table)
        rows = output.rows(f"SELECT * FROM ({question}) ORDER BY image_id, mask_id")
        masks = {image_id: list(found) for image_id, found in groupby(rows, key=lambda row: row["image_id"])}
        for image in lot:
            yield ChosenImage(part, image, masks.get(image["image_id"], []))


def _lots(images: Sequence[Row]) -> Iterator[list[Row]]:
    """Images one after the other that have about `LOT` masks."""
    lot: list[Row] = []
    masks = 0
    for image in images:
        if lot and masks + image["masks"] > LOT:
            yield lot
            lot, masks = [], 0
        lot.append(image)
        masks += image["masks"]
    if lot:
        yield lot
