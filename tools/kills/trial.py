"""Kill a job at random moments, start it again, and let it come to its end: what is the same for all jobs."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class Trial(Protocol):
    """One job in a folder of its own. It is started, killed, started again ... and at last left to end."""

    def command(self, chance: random.Random) -> Sequence[str]:
        """The command of the next start."""

    def progress(self) -> object:
        """Anything that changes when the job has written something."""

    def after_start(self, killed: bool) -> list[str]:
        """What is wrong after a start: a half-written file, something finished that is gone or was made again ..."""

    def after_end(self, output: str) -> list[str]:
        """What is wrong once the last command ended."""


@dataclass
class Figures:
    """What came of it."""

    kills: int = 0
    ended_first: int = 0
    """Starts that came to their end before they were to be killed."""
    rounds: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills in {self.rounds} rounds, {len(self.faults)} faults "
            f"({self.ended_first} starts ended before their kill)"
        )


def run_round(trial: Trial, chance: random.Random, kills: int, figures: Figures, *, within_s: float = 1.0) -> None:
    """Kill `trial` so many times, then let it end; every fourth kill comes before the job writes anything."""
    figures.rounds += 1
    for _ in range(kills):
        killed = _killed(trial, chance, chance.random() < 0.25, within_s)
        figures.kills += killed
        figures.ended_first += not killed
        figures.faults += trial.after_start(killed)
        if not killed:
            break
    ended = subprocess.run(trial.command(chance), capture_output=True, text=True, timeout=600, check=False)
    if ended.returncode != 0:
        figures.faults.append(f"the last run ended with {ended.returncode}: {ended.stderr.strip()[-300:]}")
    figures.faults += trial.after_end(ended.stdout)


def _killed(trial: Trial, chance: random.Random, early: bool, within_s: float) -> bool:
    """Start the job and kill it with all its children; False if it ended first."""
    before = trial.progress()
    process = subprocess.Popen(
        trial.command(chance), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + (chance.uniform(0, 4) if early else 120)
    while process.poll() is None and time.monotonic() < deadline and (early or trial.progress() == before):
        time.sleep(0.002)
    if not early:
        time.sleep(chance.uniform(0, within_s))
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return alive


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if not path.is_dir())
