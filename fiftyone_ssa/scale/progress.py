"""How far a run is: a bar in the terminal and a line of JSON a shard, with rate, time left and cost."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from fiftyone_ssa.scale.job import Unread
from fiftyone_ssa.scale.manifest import Entry

logger = logging.getLogger(__name__)


@dataclass
class Progress(AbstractContextManager["Progress"]):
    """Counts the shards of a run as they are committed."""

    shards: int
    """To do."""
    workers: int = 1
    price: float = 0.0
    """Of a worker an hour, in whatever currency."""
    file: Path | None = None
    """Takes the lines, at its end."""
    bar: bool = True
    done: int = 0
    images: int = 0
    unread: int = 0
    _started: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Progress:
        """Show it."""
        every_s = 0.1 if sys.stderr.isatty() else 60  # a log needs no line a second
        self._bar = tqdm(total=self.shards, unit="shard", mininterval=every_s, disable=not self.bar)
        self._lines: IO[str] | None = self.file.open("a") if self.file is not None else None
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self._lines is not None:
            self._lines.close()

    def add(self, outcome: Entry | Unread) -> None:
        """Count a shard."""
        self.done += 1
        if isinstance(outcome, Entry):
            self.images += outcome.images + outcome.failed
        else:
            self.unread += 1
        told = self._figures()
        if self._lines is not None:
            self._tell(self._lines, json.dumps(_shard(outcome) | told))
        shown = {"images/s": told["images_per_second"]} | ({"cost": told["cost"]} if self.price else {})
        self._bar.set_postfix(shown | ({"unread": self.unread} if self.unread else {}), refresh=False)
        self._bar.update()

    def _tell(self, lines: IO[str], line: str) -> None:
        """Add a line. What cannot be told, as on a full disk, is done all the same."""
        try:
            print(line, file=lines, flush=True)
        except OSError as error:
            logger.warning("%s takes no more lines: %s", self.file, error)
            self._lines = None

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._started

    def _figures(self) -> dict[str, Any]:
        seconds = self.seconds
        cost = self.price * self.workers * seconds / 3600
        share = self.shards / self.done
        return {
            "time": time.time(),
            "shards_done": self.done,
            "shards": self.shards,
            "seconds": round(seconds, 3),
            "images_per_second": round(self.images / max(seconds, 1e-9), 3),
            "seconds_left": round(seconds * (share - 1), 1),
            "cost": round(cost, 4),
            "cost_in_all": round(cost * share, 4),
        }


def _shard(outcome: Entry | Unread) -> dict[str, Any]:
    if isinstance(outcome, Unread):
        return {"shard": outcome.shard, "problem": outcome.reason}
    return {key: getattr(outcome, key) for key in ("shard", "images", "masks", "failed")}
