"""A worker's CPU work: bytes to pixels and masks before the models, names to rows after them; here, or elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import ClassVar, Protocol

import pyarrow as pa

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import PictureBytes, read_image
from fiftyone_ssa.files.json_file import parse_json
from fiftyone_ssa.folders.sa1b_json import readable_masks
from fiftyone_ssa.scale.parquet_rows import mask_rows
from fiftyone_ssa.scale.shards import Record, Value
from fiftyone_ssa.types import Annotation, Inputs


class Stages(Protocol):
    """Who does it. What is asked for may begin at once; its answer is taken later, by a call."""

    @property
    def ahead(self) -> int:
        """How many images to ask for before the first one's answer is taken."""

    def inputs(self, record: Record, with_names: bool) -> Callable[[], Inputs]:
        """An image's pixels and masks, as `read_inputs`."""

    def rows(self, annotation: Annotation, **of_all: str) -> Callable[[], pa.RecordBatch]:
        """An image's rows, as `mask_rows`."""


class Here:
    """The threads that take the answers: nothing begins before."""

    ahead: ClassVar[int] = 0

    def inputs(self, record: Record, with_names: bool) -> Callable[[], Inputs]:
        """As `Stages`."""
        return partial(read_inputs, record, with_names)

    def rows(self, annotation: Annotation, **of_all: str) -> Callable[[], pa.RecordBatch]:
        """As `Stages`."""
        return partial(mask_rows, annotation, **of_all)


def begun(values: Iterable[Value], ahead: int) -> Iterator[Value]:
    """The same values, each `ahead` values after it was made."""
    waiting: deque[Value] = deque()
    for value in values:
        waiting.append(value)
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting


def read_inputs(record: Record, with_names: bool) -> Inputs:
    """The pixels of a record, and its masks where it has some; `with_names` keeps the names that the JSON proposes.

    Raises InputError with what is wrong with either.
    """
    if record.problem:
        raise InputError(record.problem)
    pixels = read_image(PictureBytes(record.member, record.image))
    if record.masks is None:
        return Inputs(pixels)
    name = f"the JSON of {record.member}"
    content = parse_json(record.masks, name)
    if not isinstance(content, dict):
        raise InputError(f"{name} must hold a JSON object, got a {type(content).__name__}")
    size_hw = (pixels.shape[0], pixels.shape[1])
    masks, bad = readable_masks(content, name, size_hw, with_names=with_names)
    return Inputs(pixels, masks, bad_masks=bad)
