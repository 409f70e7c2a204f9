"""What a worker holds and does: the models, and one shard after the other. The same in one process and on Ray."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.naming.run import Pipeline, Task, describe, overlap, run
from fiftyone_ssa.naming.stamp import Settings, settings_stamp
from fiftyone_ssa.presets import Preset
from fiftyone_ssa.scale.manifest import Entry
from fiftyone_ssa.scale.readers import READERS
from fiftyone_ssa.scale.shards import Record, Shard, read_ahead
from fiftyone_ssa.scale.stages import Here, Stages, begun
from fiftyone_ssa.scale.store import Store
from fiftyone_ssa.scale.writing import PartWriter
from fiftyone_ssa.types import Result

_TRIES = 3
"""How often a shard is begun whose store fails while it is read."""


@dataclass(frozen=True)
class Job:
    """All that a worker needs to know; it can be sent to another process."""

    preset: Preset
    store: Store
    revisions: str = ""
    """The fingerprint of the settings."""
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int = 4
    trust_remote_code: bool = False
    embeddings: bool = False

    @property
    def needs_masks(self) -> bool:
        """Whether masks come from the JSON beside each image."""
        return self.preset.masks.source == "existing"

    def settings(self) -> Settings:
        """All that rows depend on besides their image."""
        return settings_stamp(self.preset, embeddings="kept" if self.embeddings else None)

    def build(self) -> Pipeline:
        """The pipeline, its models loaded."""
        from fiftyone_ssa.naming.pipeline import build_pipeline  # loads torch

        return build_pipeline(
            self.preset,
            device=self.device,
            dtype=self.dtype,
            trust_remote_code=self.trust_remote_code,
            keep_embeddings=self.embeddings,
        )


@dataclass(frozen=True)
class Work:
    """A shard to do, and what an earlier run committed of it, whose images are kept."""

    shard: Shard
    before: Entry | None = None


@dataclass(frozen=True)
class Unread:
    """A shard that could not be read because its store failed: nothing of it is committed."""

    shard: str
    reason: str


class Worker:
    """The models, loaded once, and the shards that they are given."""

    def __init__(self, job: Job, stages: Stages | None = None) -> None:
        """Load the models; `stages` (this process's threads) decode pictures and make rows."""
        self._job, self._pipeline, self._stages = job, job.build(), stages or Here()

    def __call__(self, work: Work) -> Entry | Unread:
        """Label a shard and write its part files, which count when the entry is in the manifest.

        Raises InputError if they cannot be written, DeviceLostError if the GPU fails.
        """
        for attempt in range(1, _TRIES + 1):
            try:
                return _label(work, self._job, self._pipeline, self._stages)
            except _UnreadError as error:
                reason = str(error)
                if attempt < _TRIES:
                    time.sleep(attempt)
        return Unread(work.shard.name, reason)


class _UnreadError(Exception):
    """The store of a shard, or of its earlier part, failed while it was read."""


def _label(work: Work, job: Job, pipeline: Pipeline, stages: Stages) -> Entry:
    started = time.monotonic()
    name = f"part-{work.shard.part}-{secrets.token_hex(4)}.parquet"  # no two attempts write the same files
    with PartWriter(job.store, work.shard, name, job.preset.name, job.revisions, stages) as part:
        kept = _keep(part, work.before)
        known: deque[Record] = deque()  # results come in the order of tasks

        def write(result: Result) -> None:
            record = known.popleft()
            if result.annotation is None:
                part.fail(record, result.error or "unknown error")
            else:
                part.add(record, result.annotation)
                part.bad_masks += len(result.bad_masks)

        def tasks(records: Iterator[Record]) -> Iterator[Task]:
            for record in records:
                if record.id not in kept:
                    known.append(record)
                    yield Task(record.id, stages.inputs(record, job.preset.masks.names == "proposed"))

        with closing(_records(work.shard, job)) as records, closing(read_ahead(records)) as ready:
            results = run(begun(tasks(ready), stages.ahead), pipeline, batch_size=job.batch_size)
            with closing(overlap(results, write)) as written:
                for _ in written:
                    pass
        return part.write(time.monotonic() - started)


def _keep(part: PartWriter, before: Entry | None) -> set[str]:
    if before is None:
        return set()
    try:
        return part.keep(before)
    except InputError:  # there is no room
        raise
    except (OSError, ValueError) as error:  # gone, out of reach or damaged
        raise _UnreadError(
            f"its earlier part {part.store}/*/{before.part} cannot be read: {describe(error)}; "
            "restore it from a copy, or label again with --overwrite"
        ) from error


def _records(shard: Shard, job: Job) -> Generator[Record, None, None]:
    try:
        yield from READERS[shard.kind](shard, needs_masks=job.needs_masks)
    except OSError as error:
        raise _UnreadError(f"{shard.source} cannot be read: {describe(error)}") from error
