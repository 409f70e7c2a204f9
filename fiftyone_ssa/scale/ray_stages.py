"""A worker's CPU work as tasks of Ray: on whatever node has a core, so that a GPU's node need not decode."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.naming.run import describe
from fiftyone_ssa.scale.parquet_rows import mask_rows
from fiftyone_ssa.scale.shards import Record
from fiftyone_ssa.scale.stages import read_inputs
from fiftyone_ssa.types import Annotation, Inputs

logger = logging.getLogger(__name__)
RETRIES = 3
"""How often a task is begun again whose process or node died; then its image has failed."""


class Tasks:
    """`Stages` whose answers other processes make, a core each; Ray sends the work to where one is free."""

    def __init__(self, ray: Any, decoders: int) -> None:
        """Of one worker: at most about `decoders` tasks run at a time, twice as many are asked for ahead."""
        self._ray, self.ahead = ray, 2 * decoders
        self._inputs = ray.remote(num_cpus=1, max_retries=RETRIES)(_inputs)
        self._rows = ray.remote(num_cpus=1, max_retries=RETRIES)(mask_rows)

    def inputs(self, record: Record, with_names: bool) -> Callable[[], Inputs]:
        """As `Stages`."""
        if record.problem:
            return partial(read_inputs, record, with_names)
        return partial(self._decoded, record, self._inputs.remote(record, with_names))

    def rows(self, annotation: Annotation, **of_all: str) -> Callable[[], pa.RecordBatch]:
        """As `Stages`."""
        return partial(self._made, self._rows.remote(annotation, **of_all), partial(mask_rows, annotation, **of_all))

    def _decoded(self, record: Record, answer: Any) -> Inputs:
        try:
            found: Inputs | str = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            raise InputError(f"{record.member} cannot be decoded: its process is lost ({describe(error)})") from error
        if isinstance(found, str):
            raise InputError(found)
        return found

    def _made(self, answer: Any, here: Callable[[], pa.RecordBatch]) -> pa.RecordBatch:
        try:
            rows: pa.RecordBatch = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            logger.warning("a process that makes rows is lost (%s); they are made in the worker's", describe(error))
            rows = here()
        return rows


def _inputs(record: Record, with_names: bool) -> Inputs | str:
    """The inputs, or what is wrong with them: Ray would wrap an error into one of its own."""
    try:
        return read_inputs(record, with_names)
    except Exception as error:  # noqa: BLE001 - an image's failure is the image's alone
        return describe(error)
