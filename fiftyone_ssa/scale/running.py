"""Shards in, Parquet out: what is left to do, done by one worker or by many, and committed shard by shard."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.parquet as pq

from fiftyone_ssa.errors import InputError, counted, shown
from fiftyone_ssa.files.json_file import parse_json
from fiftyone_ssa.files.lock import LockFile
from fiftyone_ssa.folders.record import parse_record, settings_content
from fiftyone_ssa.models.factories import tell_whose_code
from fiftyone_ssa.naming import arguments
from fiftyone_ssa.naming.stamp import Settings
from fiftyone_ssa.presets import Preset, load_preset
from fiftyone_ssa.scale.inputs import find_shards
from fiftyone_ssa.scale.job import Job, Unread, Work, Worker
from fiftyone_ssa.scale.manifest import Entry, Manifest, read_manifest
from fiftyone_ssa.scale.on_ray import Cluster, check_ray, outcomes_on_ray
from fiftyone_ssa.scale.places import check_places, emptied
from fiftyone_ssa.scale.progress import Progress
from fiftyone_ssa.scale.shards import Shard
from fiftyone_ssa.scale.store import Store

logger = logging.getLogger(__name__)
SETTINGS, LOCK, PROGRESS = "settings.json", ".fiftyone-ssa.lock", "progress.jsonl"
ERRORS_TOLD = 100
"""Failed images that a summary names; the folder `failed` has all."""


@dataclass
class ShardSummary:
    """What a run did, for its last line and its exit code."""

    shards: int = 0
    """Committed by this run."""
    skipped: int = 0
    """Shards that were committed before."""
    images: int = 0
    masks: int = 0
    failed: int = 0
    """Images of these shards that failed; the folder `failed` has them with reasons."""
    failed_before: int = 0
    """Of the skipped shards, which `retry_failed` does again."""
    changed: int = 0
    """Shards that were done again because their files changed."""
    bad_masks: int = 0
    """Existing masks that could not be read, and have no row."""
    seconds: float = 0.0
    unread: dict[str, str] = field(default_factory=dict)
    """Shard to reason, for each that could not be read and is not committed."""
    errors: dict[str, str] = field(default_factory=dict)
    """Image id to reason, for the first `ERRORS_TOLD` that failed, and shards that could not be read."""

    def __str__(self) -> str:
        rate = f" ({self.images / self.seconds:.2f} images/s)" if self.images and self.seconds > 0 else ""
        parts = [
            f"{counted(self.shards, 'shard')} with {counted(self.images, 'image')} and {counted(self.masks, 'mask')} "
            f"in {self.seconds:.1f} s{rate}"
        ]
        parts += [f"{counted(self.bad_masks, 'mask')} that could not be read"] if self.bad_masks else []
        parts += [f"{counted(self.changed, 'shard')} of them done again, whose files changed"] if self.changed else []
        parts += [f"{counted(self.skipped, 'shard')} already done"] if self.skipped else []
        parts += [f"{counted(self.failed, 'image')} FAILED"] if self.failed else []
        parts += (
            [f"{counted(self.failed_before, 'image')} failed before (--retry-failed)"] if self.failed_before else []
        )
        parts += [f"{counted(len(self.unread), 'shard')} could NOT BE READ"] if self.unread else []
        return ", ".join(parts)

    def add(self, outcome: Entry | Unread, store: Store) -> None:
        """Count a shard."""
        if isinstance(outcome, Unread):
            self.unread[outcome.shard] = self.errors[outcome.shard] = outcome.reason
            return
        self.shards += 1
        self.images += outcome.images
        self.masks += outcome.masks
        self.failed += outcome.failed
        self.bad_masks += outcome.bad_masks
        if outcome.failed and len(self.errors) < ERRORS_TOLD:
            with store.open(f"failed/{outcome.part}") as file:
                rows = pq.read_table(file).to_pylist()
            self.errors |= {row["image_id"]: row["reason"] for row in rows[: ERRORS_TOLD - len(self.errors)]}


def annotate_shards(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    preset: str | Path | Preset,
    *,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int = 4,
    overwrite: bool = False,
    retry_failed: bool = False,
    embeddings: bool = False,
    trust_remote_code: bool = False,
    ray: str | None = None,
    workers: int = 1,
    gpus_per_worker: float = 0.0,
    decoders: int | None = None,
    price: float = 0.0,
    progress: bool = True,
    say: Callable[[str], object] = logger.info,
) -> ShardSummary:
    """Name every mask of the images in `sources`, and write the names to `out` as Parquet, one row a mask.

    Work is committed shard by shard: a tar, a Parquet file, or a thousand images of a folder. A run that was killed
    loses the shard in flight at most, and the next one does the rest; a shard whose files changed is done again. An
    image that fails is in `out/failed` with its reason while the others go on.

    Args:
        sources: one or several folders, tars (SA-1B's, WebDataset's), Parquet files, Arrow files (`save_to_disk` of
            Hugging Face's `datasets`) and Lance data sets with image bytes, or images; each a path or a URL of fsspec,
            which may hold `*` and `{000..123}`
        out: a folder, by path or URL; one run at a time writes there, and its rows are of one kind of settings
        preset: the name of a preset, a TOML file, or a Preset
        device ("auto"): auto (CUDA if there is a GPU, else the CPU), cpu, cuda, cuda:N or mps
        dtype ("auto"): auto (bfloat16 on a GPU, float32 on the CPU), float32, bfloat16 or float16
        batch_size (4): images at a time
        overwrite (False): whether to remove what `out` holds and begin anew
        retry_failed (False): whether to do the images again that failed before; the others of their shards stay
        embeddings (False): whether to keep what CLIP saw of each mask (engine only)
        trust_remote_code (False): whether to run code that comes with a Hugging Face model
        ray (None): None for this process; `local` starts Ray on this machine, else the address of a cluster of Ray
        workers (1): with Ray, how many work at a time, each with models of its own
        gpus_per_worker (0): with Ray, the GPUs that each one asks for; .5 lets two share one
        decoders (None): with Ray, how many tasks of each worker decode pictures and make rows, a core each, on any
            node; 0: the worker's own threads; None: up to 4, as cores are left, where workers have GPUs, else 0
        price (0): of a worker an hour, for the cost in `out/progress.jsonl`
        progress (True): whether to show a bar
        say (a log message): told, before models are loaded, whose code the preset names

    Raises InputError for a wrong argument or preset, no image, a folder that holds rows of other settings or that
    another run writes to, if `overwrite` would find masks anew that people corrected, or if rows can no longer be
    written; DeviceLostError if the GPU fails.
    """
    if not isinstance(price, int | float) or not 0 <= price < math.inf:
        raise InputError(f"price must be a number from 0, got {shown(price)}")
    chosen, store = load_preset(preset), Store(out)
    overwrite = arguments.check_flag("overwrite", overwrite)
    retry_failed = arguments.check_flag("retry_failed", retry_failed)
    embeddings = arguments.check_flag("embeddings", embeddings)
    if chosen.pipeline == "ssa" and chosen.semantic.source == "field":
        raise InputError('semantic.source = "field" needs a FiftyOne dataset; set it to "model"')
    job = Job(
        chosen,
        store,
        device=arguments.check_device(device),
        dtype=arguments.check_dtype(dtype),
        batch_size=arguments.check_batch_size(batch_size),
        trust_remote_code=arguments.check_flag("trust_remote_code", trust_remote_code),
        embeddings=embeddings,
    )
    cluster = _cluster(ray, workers, gpus_per_worker, decoders)
    named = [sources] if isinstance(sources, str | Path) else list(sources)
    shards = find_shards(named, needs_masks=job.needs_masks, leave_out=store.url)
    settings = job.settings()
    with _claimed(store):
        if overwrite and not job.needs_masks:
            _check_corrections(store)
        _begin(store, chosen, settings, overwrite)
        manifest, summary = Manifest(store), ShardSummary()
        check_places(shards, manifest.entries, store)
        todo = list(_todo(shards, manifest.entries, retry_failed, summary))
        if todo:
            tell_whose_code(chosen, job.trust_remote_code, say)
            if not settings.known:
                job.build()  # which fetches the models, so that it is known what they hold
                settings = job.settings()
                _begin(store, chosen, settings, overwrite=False)
            job = replace(job, revisions=settings.fingerprint)
            lines = store.local and store.local / PROGRESS
            with (
                Progress(len(todo), workers=cluster.workers, price=price, file=lines, bar=progress) as bar,
                closing(_outcomes(job, todo, cluster)) as outcomes,
            ):
                for outcome in outcomes:
                    if isinstance(outcome, Entry):
                        manifest.commit(outcome)
                    summary.add(outcome, store)
                    bar.add(outcome)
                summary.seconds = bar.seconds
            manifest.tidy()
        return summary


def _cluster(address: str | None, workers: int, gpus: float, decoders: int | None) -> Cluster:
    workers = arguments.check_count("workers", workers)
    if not isinstance(gpus, int | float) or not 0 <= gpus <= 64:
        raise InputError(f"gpus_per_worker must be a number from 0 to 64, got {shown(gpus)}")
    if decoders:
        decoders = arguments.check_count("decoders", decoders)
    if address is None and (workers > 1 or gpus or decoders):
        raise InputError(
            "several workers, and GPUs or decoders for each, need Ray; add --ray local, or the address of a cluster"
        )
    if address is not None:
        if not address or not isinstance(address, str):
            raise InputError(f"ray must be local, auto or the address of a cluster, got {shown(address)}")
        check_ray()
    return Cluster(address or "", workers, float(gpus), decoders)


def _outcomes(job: Job, todo: Sequence[Work], cluster: Cluster) -> Generator[Entry | Unread, None, None]:
    """What becomes of each shard, done here or by Ray's workers: the same code."""
    yield from outcomes_on_ray(job, todo, cluster) if cluster.address else map(Worker(job), todo)


def _todo(
    shards: Sequence[Shard], committed: dict[str, Entry], retry_failed: bool, summary: ShardSummary
) -> Iterator[Work]:
    """What is left; the rest is counted as skipped."""
    for shard in emptied(shards, committed):
        summary.changed += 1
        yield Work(shard)
    for shard in shards:
        entry = committed.get(shard.name)
        if entry is None:
            yield Work(shard)
        elif entry.stamp != shard.stamp:
            summary.changed += 1
            yield Work(shard)
        elif entry.failed and retry_failed:
            yield Work(shard, entry)
        else:
            summary.skipped += 1
            summary.failed_before += entry.failed


def _check_corrections(store: Store) -> None:
    """Raises InputError if people corrected masks that are to be found anew: ids would tell other masks then."""
    if store.names("corrections"):
        raise InputError(
            f"{store}/corrections holds what people said of masks that --overwrite is to find anew, under ids that "
            "other masks would have then; move that folder away, or name another one for the new labels"
        )


def _begin(store: Store, preset: Preset, settings: Settings, overwrite: bool) -> None:
    """Record the settings. Raises InputError if rows of others are there, unless they are to be removed."""
    content = store.read(SETTINGS)
    committed = read_manifest(store)
    if committed and not overwrite:
        if not content:
            raise InputError(f"{store} holds rows and no {SETTINGS}; name another folder, or add --overwrite")
        where = f"{store}/{SETTINGS}"
        found = parse_record(parse_json(content, where), where, settings, preset.settings())
        if not found.differs:
            return
        raise InputError(
            f"{store} holds rows of preset {found.preset}, whose settings differ in {', '.join(found.differs)}; "
            "name another folder, or add --overwrite to replace them"
        )
    if committed:
        Manifest(store).clear()
    with store.whole(SETTINGS) as file:
        file.write(json.dumps(settings_content(preset, settings.fingerprint, settings.values), indent=1).encode())


@contextmanager
def _claimed(store: Store) -> Iterator[None]:
    """Be the only writer of a folder on this machine; in a store, whoever starts runs sees to that."""
    if store.local is None:
        yield
        return
    try:
        store.local.mkdir(parents=True, exist_ok=True)
        lock = LockFile.take(store.local / LOCK)
    except OSError as error:
        raise InputError(f"{store} cannot take results: {error.strerror}; name another folder") from error
    try:
        yield
    finally:
        lock.give_back()
