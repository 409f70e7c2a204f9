"""`annotate --format parquet` on tars: first runs, and tars that change."""

from __future__ import annotations

import collections
import io
import json
import random
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow.parquet as pq

from fiftyone_ssa.scale.manifest import TABLES, read_manifest
from fiftyone_ssa.scale.store import Store
from tools.kills.files import SEGMENTERS
from tools.kills.trial import files_below

SIZE_HW = (60, 90)


@dataclass
class ShardsTrial:
    """A folder of tars, annotated again and again."""

    root: Path
    chance: random.Random
    tars: int = 6
    images: int = 8
    seconds: float = 0.02
    more: Sequence[str] = ()
    """Arguments of the command."""
    committed: dict[str, str] = field(default_factory=dict)
    """Shard to the part that the manifest named when a start ended: it is not to be made again."""

    def __post_init__(self) -> None:
        self.data, self.out = self.root / "data", self.root / "out"
        self.data.mkdir(parents=True, exist_ok=True)
        (self.root / "own.py").write_text(SEGMENTERS.replace("SECONDS", str(self.seconds)))
        for tar in range(self.tars):
            self._write(tar)

    def begin_round(self) -> None:
        """Some tars changed."""
        for tar in range(self.tars):
            if self.chance.random() < 0.7:
                self._write(tar)
        self.committed = {}

    def command(self, chance: random.Random) -> Sequence[str]:
        """The same command again."""
        arguments = [str(self.data), str(self.out), "--preset", "mini-ssa", "--batch-size", "2", "--device", "cpu"]
        arguments += ["-s", "masks.source=existing", "-s", f"semantic.model={self.root / 'own.py'}:plain"]
        arguments += ["--format", "parquet", *self.more]
        return [sys.executable, "-m", "fiftyone_ssa.cli", "annotate", *arguments]

    def progress(self) -> object:
        """What is committed, and what is on its way."""
        return self._named(), [path.name for path in files_below(self.out)] if self.out.exists() else []

    def after_start(self, killed: bool) -> list[str]:
        """Whether every part that the manifest names is whole, and what was committed still is."""
        named, faults = self._named(), []
        lost = [shard for shard, part in self.committed.items() if named.get(shard) != part]
        faults += [f"{shard} was made again or is gone" for shard in lost]
        for shard, part in named.items():
            for table in TABLES:
                try:
                    pq.read_table(self.out / table / part)
                except (OSError, ValueError) as error:
                    faults.append(f"{table} of {shard}: {error}")
        self.committed = {shard: part for shard, part in named.items() if self._is_done(shard)}
        return faults

    def after_end(self, output: str) -> list[str]:
        """Every image is there once, with its two masks, and nothing is left over."""
        faults = self.after_start(killed=False)
        parts = set(self._named().values())
        for table in TABLES:
            found = {path.name for path in (self.out / table).iterdir()}
            faults += [f"left over or missing in {table}: {sorted(found ^ parts)}"] * (found != parts)
        names = {f"{tar:02d}/{number}.png" for tar in range(self.tars) for number in range(self.images)}
        masks = collections.Counter(row["image_id"] for row in self._rows("masks"))
        images = collections.Counter(row["image_id"] for row in self._rows("images"))
        faults += [f"masks: {masks}"] * (masks != dict.fromkeys(names, 2))
        faults += [f"images: {images}"] * (images != dict.fromkeys(names, 1))
        faults += [f"failed: {row}" for row in self._rows("failed")]
        return faults

    def _rows(self, table: str) -> list[dict[str, object]]:
        return [row for path in (self.out / table).iterdir() for row in pq.read_table(path).to_pylist()]

    def _named(self) -> dict[str, str]:
        return {entry.shard: entry.part for entry in read_manifest(Store(self.out)).values()}

    def _is_done(self, shard: str) -> bool:
        """Whether a shard is committed as it is now: its part is younger than its tar."""
        part, tar = self.out / "masks" / self._named()[shard], self.data / f"{shard}.tar"
        return part.stat().st_mtime_ns > tar.stat().st_mtime_ns

    def _write(self, tar: int) -> None:
        with tarfile.open(self.data / f"{tar:02d}.tar", "w") as file:
            for number in range(self.images):
                picture = io.BytesIO()
                PIL.Image.fromarray(np.full((*SIZE_HW, 3), number, np.uint8)).save(picture, "PNG")
                runs = [[0, 5400], [60 * number, 600, 5400 - 600 - 60 * number]]
                masks = [
                    {"id": i, "segmentation": {"size": SIZE_HW, "counts": counts}} for i, counts in enumerate(runs)
                ]
                _add(file, f"{number}.png", picture.getvalue())
                _add(file, f"{number}.json", json.dumps({"annotations": masks}).encode())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
