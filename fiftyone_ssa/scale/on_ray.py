"""The same worker on Ray Data: actors that hold the models, each with a shard at a time, on one machine or on many."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import DeviceLostError, InputError, MissingDependencyError
from fiftyone_ssa.naming.run import describe
from fiftyone_ssa.scale.job import Job, Unread, Work, Worker
from fiftyone_ssa.scale.manifest import Entry
from fiftyone_ssa.scale.ray_stages import Tasks
from fiftyone_ssa.scale.stages import Stages

MOST_CPUS = 4
"""Cores that a worker asks for, where there are as many: what decoding, phrases and writing take beside a GPU."""
MOST_DECODERS = 4
"""Tasks of a worker at a time, where nobody says how many: they fill a GPU that needs 10 ms an image."""
RESTARTS = 20
"""How often a worker works again whose process or machine is lost: Ray would begin one that is lost whenever it begins
without end, and its own limit goes with Ray 2.64 (`max_restarts` of `Dataset.map`)."""
LOST = (
    "a worker was lost again and again (killed, out of memory, or its machine); what is finished is kept, so take "
    "fewer workers, a smaller --batch-size or larger machines, and start again"
)
STARTS = 3
"""How often Ray is started on this machine before that counts as failed."""


@dataclass(frozen=True)
class Cluster:
    """Where workers run, and what each of them asks for."""

    address: str = "local"
    """`local` starts Ray on this machine; else what `ray.init` takes: `auto`, `host:port`, `ray://host:10001`."""
    workers: int = 1
    gpus: float = 0.0
    """Of a worker; a fraction lets several share one."""
    decoders: int | None = None
    """Tasks of a worker that decode pictures and make rows, a core each on any node; 0: its own threads do. None: as
    many as there are cores left, `MOST_DECODERS` at most, where workers have GPUs, else 0."""

    def cores(self, there: float) -> tuple[int, int]:
        """What each worker asks for, of the cores `there`: for itself, and for its tasks.

        Raises InputError if workers would leave no core for their tasks, which would be waited for without end.
        """
        decoders = self.decoders
        if decoders is None:
            decoders = max(0, min(MOST_DECODERS, int(there) // self.workers - 1)) if self.gpus else 0
        if not decoders:
            return max(1, min(MOST_CPUS, int(there) // self.workers)), 0
        if self.address == "local" and there < self.workers + 1:
            raise InputError(
                f"{self.workers} workers and their decoders need {self.workers + 1} cores, and Ray finds {there:g} "
                "here; take fewer workers, or --decoders 0"
            )
        return 1, decoders


def check_ray() -> Any:
    """The package ray. Raises MissingDependencyError, with how to get it, where it is absent."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingDependencyError(
            "--ray needs the package ray; get it with pip install 'fiftyone-ssa[scale]', or leave --ray out, and one "
            "process does the same work"
        ) from error
    return ray


def outcomes_on_ray(job: Job, todo: Sequence[Work], cluster: Cluster) -> Iterator[Entry | Unread]:
    """What becomes of each shard, as they are done, in no order.

    A worker whose process or machine dies is started again elsewhere, and its shard with it. A Ray that this process is
    connected to is used as it is. Raises InputError if no Ray can be reached, or as a worker does.
    """
    ray = check_ray()
    ours = not ray.is_initialized()
    if ours:
        connect(ray, cluster.address)
    try:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False  # we have our own
        context.execution_no_progress_timeout_s = -1  # a tar takes hours, and is one step
        workers, there = min(cluster.workers, len(todo)), ray.cluster_resources()
        if cluster.address == "local" and there.get("GPU", 0) < cluster.gpus:
            raise InputError(
                f"a worker asks for {cluster.gpus:g} GPUs and Ray finds {there.get('GPU', 0):g} here; ask for less"
            )
        cpus, decoders = replace(cluster, workers=workers).cores(there.get("CPU", 1))
        pool = ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1)
        rows = [{"work": pickle.dumps(work)} for work in todo]
        begun = ray.remote(num_cpus=0, max_restarts=-1)(_Begun).remote()
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Actor,
            fn_constructor_args=(job, decoders, begun, RESTARTS),
            compute=pool,
            num_cpus=cpus,
            num_gpus=cluster.gpus,
        )
        # what Ray fetches ahead it hands out when the next is there, and a finished shard would wait for that
        for batch in done.iter_batches(batch_size=None, prefetch_batches=0):
            for outcome in map(pickle.loads, batch["outcome"]):
                if isinstance(outcome, Exception):
                    raise outcome
                yield outcome
    except ray.exceptions.RayActorError as error:
        raise InputError(LOST) from error
    finally:
        if ours:
            ray.shutdown()


def connect(ray: Any, address: str, **options: Any) -> None:
    """Connect this process to Ray, or start it here; on a busy machine its parts may miss each other at first.

    What is started here listens on 127.0.0.1 alone.
    Raises InputError if none answers.
    """
    for attempt in range(1, STARTS + 1):
        try:
            with _heard_here_only(ray) if address == "local" else contextlib.nullcontext():
                ray.init(address, logging_level=logging.ERROR, job_config=_imports(ray), **options)
        except Exception as error:  # Ray raises whatever it meets
            ray.shutdown()
            if address != "local" or attempt == STARTS:
                raise InputError(f"no Ray answers at {address}: {error}; start one, or take --ray local") from error
        else:
            return


def _imports(ray: Any) -> Any:
    """Workers import what this process does: Ray would put the folder that the user is in before all libraries."""

    class Imports(ray.job_config.JobConfig):  # type: ignore[misc]
        def _runtime_env_has_working_dir(self) -> bool:
            return True  # that Ray asks before it adds folders

    installed = tuple(Path(prefix) for prefix in {sys.prefix, sys.base_prefix})
    folders = [Path(folder) for folder in sys.path if folder]
    ours = [str(folder) for folder in folders if not any(folder.is_relative_to(prefix) for prefix in installed)]
    return Imports(_py_driver_sys_path=ours[::-1])  # each is put before those that came before it


@contextlib.contextmanager
def _heard_here_only(ray: Any) -> Iterator[None]:
    """What Ray starts binds 127.0.0.1, as it does on macOS and Windows; on Linux all its servers face the network."""
    constants = ray._private.ray_constants
    with_others, name = constants.ENABLE_RAY_CLUSTER, constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    before = os.environ.get(name)
    constants.ENABLE_RAY_CLUSTER, os.environ[name] = False, "0"
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = with_others
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


class _Begun:
    """How often each worker has begun, in a process that outlives theirs."""

    def __init__(self) -> None:
        self._times = Counter[str]()

    def count(self, worker: str) -> int:
        """Count once more, and answer the number."""
        self._times[worker] += 1
        return self._times[worker]


class _Actor:
    """A worker in a process of Ray's."""

    def __init__(self, job: Job, decoders: int, begun: Any, restarts: int) -> None:
        self._job, self._decoders, self._lost = job, decoders, False
        self._worker: Worker | None = None
        ray = check_ray()
        own = ray.get_runtime_context().get_actor_id()  # the same one each time that it begins
        self._is_done_for = ray.get(begun.count.remote(own)) > restarts + 1

    def __call__(self, row: dict[str, Any]) -> dict[str, bytes]:
        """A shard's outcome, or the error that ends the run.

        Where the GPU fails the shard is told as not read, and the next one finds a new process.
        """
        if self._is_done_for:
            return {"outcome": pickle.dumps(InputError(LOST))}
        if self._lost:
            os._exit(1)  # Ray starts this actor again, and gives the same shard to it
        work: Work = pickle.loads(row["work"])
        outcome: Entry | Unread | Exception
        try:
            self._worker = self._worker or Worker(self._job, self._stages())
            outcome = self._worker(work)
        except DeviceLostError as error:
            self._lost, outcome = True, Unread(work.shard.name, describe(error))
        except (InputError, MissingDependencyError) as error:
            outcome = type(error)(str(error))
        return {"outcome": pickle.dumps(outcome)}

    def _stages(self) -> Stages | None:
        return Tasks(check_ray(), self._decoders) if self._decoders else None
