"""A cluster that labels shards, event by event: GPUs with a shard each, a store that all read from, nodes that fail.

Between two events every busy GPU goes on at a steady rate: its own, or what its cores, its connection or its fair share
of the store give. A shard that was lost begins anew, as `fiftyone_ssa.scale` does it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stages:
    """What one image takes."""

    gpu_s: float
    cpu_s: float = 0.0
    """Of one core, beside the GPU."""
    read_bytes: float = 0.0
    write_bytes: float = 0.0
    about: str = ""


@dataclass(frozen=True)
class Cluster:
    """Where it runs; seconds and bytes a second."""

    gpus: int
    cores_per_gpu: float = 8
    start_s: float = 60
    """From a worker's begin to its first image."""
    slowest: float = 1.33
    """How many times the nominal seconds the slowest of ordinary GPUs takes; they are spread evenly from 1."""
    stragglers: float = 0.02
    """Share of GPUs that take twice as long as their like."""
    failures_per_gpu_hour: float = 419 / (54 * 24 * 16384)
    restart_s: float = 300
    """Until a failed GPU's worker begins anew; it starts after that."""
    connection_bytes_s: float = 85e6
    """Of one GPU's reader."""
    store_bytes_s: float = 10e9
    """Of all together, written bytes included."""
    commit_s: float = 0.2
    """Of the driver, one shard after the other."""


@dataclass
class Outcome:
    """What became of a run, and where its GPU seconds went; the parts of `spent` add up to `seconds` times the GPUs."""

    seconds: float = 0.0
    failures: int = 0
    spent: dict[str, float] = field(default_factory=dict)
    """labelling (at the nominal speed), slower GPUs, waiting for the store, cores or connection, done twice, starting,
    idle at the end."""

    @property
    def efficiency(self) -> float:
        """The share of GPU time that labelled at the nominal speed."""
        return self.spent["labelling"] / sum(self.spent.values())


def simulate(shards: Floats, stages: Stages, cluster: Cluster, seed: int = 0) -> Outcome:
    """Label `shards`, the images of each (a fraction: heavier ones), in order, until the last is committed."""
    rng = np.random.default_rng(seed)
    state = _State(shards, stages, cluster, rng)
    while not state.done:
        state.step()
    return state.outcome()


class _State:
    """The cluster at one moment."""

    def __init__(self, shards: Floats, stages: Stages, cluster: Cluster, rng: np.random.Generator) -> None:
        count = cluster.gpus
        self._shards, self._stages, self._cluster, self._rng = shards, stages, cluster, rng
        slow = rng.permutation(np.linspace(1, cluster.slowest, count)) if count > 1 else np.ones(1)
        slow[rng.permutation(count)[: round(cluster.stragglers * count)]] *= 2
        self._own_s = stages.gpu_s * slow
        cores_s = stages.cpu_s / cluster.cores_per_gpu
        bytes_each = stages.read_bytes + stages.write_bytes
        self._bytes = max(bytes_each, 1e-9)
        fastest = np.maximum(self._own_s, max(cores_s, bytes_each / cluster.connection_bytes_s))
        self._wanted = self._bytes / fastest
        self._contended = self._wanted.sum() > cluster.store_bytes_s
        """Whether the store may be what all wait for; else each GPU's rate never changes."""
        self.now, self._committed = 0.0, 0.0
        self._queue, self._idle = deque(range(len(shards))), list[int]()
        self._shard = np.full(count, -1)
        self._left, self._rates, self._begun = np.zeros(count), np.zeros(count), np.zeros(count)
        self._ends = np.full(count, np.inf)
        self._up_at = np.full(count, float(cluster.start_s))
        """When a GPU that is down or starting is ready; infinite for those that are."""
        self._fails_at = np.full(count, np.inf)
        self._gpu = {"labelling": 0.0, "slower": 0.0, "waiting": 0.0, "twice": 0.0}
        self._working, self._down, self._busy, self._failures, self._open = 0.0, 0.0, 0, 0, len(shards)

    @property
    def done(self) -> bool:
        return self._open == 0

    def step(self) -> None:
        """Go to the next event, and do what it asks for."""
        if self._contended:
            self._share()
        then = max(self.now, min(self._ends.min(), self._fails_at.min(), self._up_at.min()))
        passed = then - self.now
        self._working += passed * self._busy
        self._down += passed * np.isfinite(self._up_at).sum()
        self._left -= self._rates * passed
        self.now = then
        for gpu in np.flatnonzero(self._ends <= then):
            self._finish(gpu)
        for gpu in np.flatnonzero((self._fails_at <= then) & ~self.done):
            self._fail(gpu)
        for gpu in np.flatnonzero(self._up_at <= then):
            self._up_at[gpu] = np.inf
            self._fails_at[gpu] = then + self._lifetime()
            self._idle.append(gpu)
        while self._queue and self._idle:
            self._begin(self._idle.pop(), self._queue.popleft())

    def outcome(self) -> Outcome:
        """Of a run that is done; who waits for the last commits is idle."""
        seconds = max(self.now, self._committed)
        spent = dict(self._gpu) | {"starting": self._down}
        spent["waiting"] = self._working - sum(self._gpu.values())
        spent["idle"] = seconds * self._cluster.gpus - self._working - self._down
        return Outcome(seconds, self._failures, spent)

    def _begin(self, gpu: int, shard: int) -> None:
        self._shard[gpu], self._left[gpu], self._begun[gpu] = shard, self._shards[shard], self.now
        self._rates[gpu] = self._wanted[gpu] / self._bytes
        self._ends[gpu] = self.now + self._left[gpu] / self._rates[gpu]
        self._busy += 1

    def _share(self) -> None:
        """Give each busy GPU its share of the store."""
        busy = self._shard >= 0
        self._rates[busy] = _shares(self._wanted[busy], self._cluster.store_bytes_s) / self._bytes
        self._ends[busy] = self.now + self._left[busy] / self._rates[busy]

    def _finish(self, gpu: int) -> None:
        images = self._shards[self._shard[gpu]]
        self._gpu["labelling"] += images * self._stages.gpu_s
        self._gpu["slower"] += images * (self._own_s[gpu] - self._stages.gpu_s)
        self._committed = max(self._committed, self.now) + self._cluster.commit_s
        self._open -= 1
        self._stop(gpu)
        self._idle.append(gpu)

    def _fail(self, gpu: int) -> None:
        self._failures += 1
        if self._shard[gpu] >= 0:
            self._gpu["twice"] += self.now - self._begun[gpu]
            self._queue.appendleft(self._shard[gpu])
            self._stop(gpu)
        else:
            self._idle.remove(gpu)
        self._up_at[gpu] = self.now + self._cluster.restart_s + self._cluster.start_s
        self._fails_at[gpu] = np.inf

    def _stop(self, gpu: int) -> None:
        self._shard[gpu], self._rates[gpu], self._ends[gpu] = -1, 0.0, np.inf
        self._busy -= 1

    def _lifetime(self) -> float:
        rate = self._cluster.failures_per_gpu_hour / 3600
        return float(self._rng.exponential(1 / rate)) if rate else np.inf


def _shares(wanted: Floats, limit: float) -> Floats:
    """What each gets of a limit: all that it wants, or as much as every other that wants more."""
    if wanted.sum() <= limit:
        return wanted
    rising = np.sort(wanted)
    before = np.concatenate([[0.0], np.cumsum(rising)[:-1]])
    levels = (limit - before) / np.arange(len(rising), 0, -1)
    return np.minimum(wanted, levels[np.argmax(levels <= rising)])
