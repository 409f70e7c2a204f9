"""`annotate --ray` on a cluster of two nodes on this machine, whose workers, drivers and raylets are killed."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster

from tools.kills.shards import ShardsTrial
from tools.kills.trial import Figures

KINDS = ("worker", "driver", "raylet")
CORES = 3
"""Of a node, so that two workers and their tasks fit beside each other on one."""
_QUICK = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 500, "health_check_failure_threshold": 20}
_OURS = ("ray::MapWorker", "ray::_inputs", "ray::mask_rows")
"""What Ray calls processes that do our work now."""
_NODE = {"num_cpus": CORES, "object_store_memory": 200_000_000}
STARTS = 5
START_S = 180
"""How long a node may take to start; Ray itself waits 30 s, too little beside other work on two cores."""
_WAIT_FOR_GCS = "RAY_gcs_server_port_wait_time_s"
END_S = 900
"""After which a run counts as hanging."""


@dataclass
class Machines(AbstractContextManager["Machines"]):
    """The head, on which drivers run, and one more node."""

    _cluster: Any = None

    def __enter__(self) -> Machines:
        """Start them."""

        def start() -> Any:
            self._cluster = _Patient()
            return self._cluster.add_node(**_NODE, include_dashboard=False, _system_config=_QUICK)

        os.environ[_WAIT_FOR_GCS] = str(START_S)
        _patiently(start, lambda: self._cluster.shutdown())
        self._node = _patiently(lambda: self._cluster.add_node(**_NODE))
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.shutdown()

    @property
    def address(self) -> str:
        """For drivers."""
        return str(self._cluster.address)

    def workers(self) -> list[psutil.Process]:
        """Processes that hold models, or that decode or make rows now."""
        found = []
        for node in (self._cluster.head_node, self._node):
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [each for each in _raylet(node).children() if _title(each).startswith(_OURS)]
        return found

    def kill_node(self) -> None:
        """Kill the raylet of the node without driver; its processes follow. Another node takes its place."""
        with contextlib.suppress(psutil.NoSuchProcess):  # Ray gives up raylets that a busy machine lets wait
            _raylet(self._node).kill()
        self._cluster.remove_node(self._node, allow_graceful=False)
        self._node = _patiently(lambda: self._cluster.add_node(**_NODE))

    def kill_head(self) -> None:
        """Kill the raylet that drivers are connected to."""
        with contextlib.suppress(psutil.NoSuchProcess):
            _raylet(self._cluster.head_node).kill()

    def replace(self) -> None:
        """Another cluster in place of what is left of this one."""
        self.__exit__()
        self.__enter__()


@dataclass
class RayTrial:
    """A folder of tars, annotated on Ray while its parts are killed."""

    shards: ShardsTrial
    machines: Machines
    chance: random.Random
    figures: Figures
    killed: Counter[str] = field(default_factory=Counter)
    _process: subprocess.Popen[str] | None = None

    def run(self, kills: Sequence[str]) -> None:
        """Kill these, one after the other, in as many starts as that takes; then let the last start end."""
        left = list(kills)
        self.figures.rounds += 1
        self._start()
        while left:
            if not self._wait():
                self.figures.ended_first += 1
                self._ended()
                self.shards.begin_round()
                self.figures.rounds += 1
                self._start()
            elif self._kill(left[0]):
                self.figures.kills += 1
                left.pop(0)
        self._ended()

    def _start(self) -> None:
        self.shards.more = ("--ray", self.machines.address, "--workers", "2", "--decoders", "1")
        self._process = subprocess.Popen(
            self.shards.command(self.chance),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _wait(self) -> bool:
        """Until something is written, or a while; whether the run is still under way."""
        assert self._process is not None
        before, early = self.shards.progress(), self.chance.random() < 0.25
        deadline = time.monotonic() + (self.chance.uniform(0, 10) if early else 120)
        while self._process.poll() is None and time.monotonic() < deadline:
            if not early and self.shards.progress() != before:
                break
            time.sleep(0.005)
        time.sleep(0 if early else self.chance.uniform(0, 0.3))
        return self._process.poll() is None

    def _kill(self, what: str) -> bool:
        """Kill one of a kind; False where there is none yet."""
        assert self._process is not None
        if what == "worker":
            if not (found := self.machines.workers()):
                return False
            victim = self.chance.choice(found)
            self.killed[_title(victim).split("(")[0]] += 1
            victim.kill()
        elif what == "driver":
            os.killpg(self._process.pid, signal.SIGKILL)
            self._again("driver")
        elif self.chance.random() < 0.7:
            self.killed["raylet of a node"] += 1
            self.machines.kill_node()
        else:
            self.machines.kill_head()
            self._again("raylet of the driver")
        return True

    def _again(self, what: str) -> None:
        """What was killed ends the run: see what is left, and start again."""
        assert self._process is not None
        self.killed[what] += 1
        try:
            self._process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            self.figures.faults.append(f"without its {what} the run goes on for ever")
            self._process.kill()
        if what != "driver":
            self.machines.replace()
        self.figures.faults += self.shards.after_start(killed=True)
        self._start()

    def _ended(self) -> None:
        """Let the run end, which must succeed and leave every row once."""
        assert self._process is not None
        try:
            _, told = self._process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            told = f"no end within {END_S} s"
        if self._process.returncode != 0:
            self.figures.faults.append(f"the run ended with {self._process.returncode}: {told.strip()[-600:]}")
            return
        self.figures.faults += self.shards.after_end("")


def kills_of_each(count: int, chance: random.Random) -> list[str]:
    """So many of each kind, mixed."""
    kills = [kind for kind in KINDS for _ in range(count)]
    chance.shuffle(kills)
    return kills


class _Patient(Cluster):  # type: ignore[misc]
    """A cluster whose nodes have `START_S` to start."""

    def add_node(self, wait: bool = True, **options: Any) -> Any:
        services, ask = ray._private.services, ray._private.services.get_node
        services.get_node = functools.partial(_asked_long, ask)
        try:
            return super().add_node(wait=wait, **options)
        finally:
            services.get_node = ask

    def _wait_for_node(self, node: Any, timeout: float = START_S) -> None:
        super()._wait_for_node(node, timeout)


def _asked_long(ask: Callable[..., Any], *about: Any) -> Any:
    """What GCS knows of a node, as soon as it knows it."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            return ask(*about)
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _patiently(start: Callable[[], Any], undo: Callable[[], Any] = lambda: None) -> Any:
    """What `start` answers; on a busy machine Ray's parts wait for each other in vain at first."""
    for _ in range(STARTS):
        try:
            return start()
        except Exception as error:  # noqa: BLE001 - Ray raises nothing else
            failed = error
            undo()
    raise failed


def _raylet(node: Any) -> psutil.Process:
    (info,) = node.all_processes["raylet"]
    return psutil.Process(info.process.pid)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""
