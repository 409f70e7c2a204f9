"""`annotate` on files: --overwrite, --save-images, --save-branch, other settings, changed pictures."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from fiftyone_ssa.folders import stamps
from fiftyone_ssa.folders.record import MARKER
from fiftyone_ssa.naming.stamp import file_stamp
from tools.kills.trial import files_below

SEGMENTERS = """
import time
import numpy as np

class Rows:
    def __init__(self, classes):
        self.classes = classes

    def __call__(self, images):
        time.sleep(SECONDS * len(images))
        return [np.repeat(np.arange(i.shape[0]) * 3 // i.shape[0], i.shape[1]).reshape(i.shape[:2]) for i in images]

def plain(): return Rows(["sky", "hill", "grass"])
def other(): return Rows(["cloud", "rock", "lawn"])
"""
CLASSES = {"plain": ["sky", "hill", "grass"], "other": ["cloud", "rock", "lawn"]}


@dataclass
class FilesTrial:
    """A folder of pictures, annotated again and again."""

    root: Path
    chance: random.Random
    images: int = 30
    seconds: float = 0.05
    factory: str = "plain"
    save_images: bool = False
    save_branch: bool = False
    overwrite: bool = False
    finished: dict[Path, int] = field(default_factory=dict)
    """Results of this pass to their times: they are not to be made again."""

    def __post_init__(self) -> None:
        self.data, self.out, self.branch = self.root / "data", self.root / "out", self.root / "branch"
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "own.py").write_text(SEGMENTERS.replace("SECONDS", str(self.seconds)))
        for number in range(self.images):
            path = self.data / f"{'sub/' if number % 3 else ''}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(np.full((60, 90, 3), number, np.uint8)).save(path)
            runs = [[0, 60 * 90], [60 * number, 600, 60 * 90 - 600 - 60 * number]]
            masks = [{"id": i, "segmentation": {"size": [60, 90], "counts": counts}} for i, counts in enumerate(runs)]
            path.with_suffix(".json").write_text(json.dumps({"annotations": masks}))

    def begin_round(self) -> None:
        """Choose what the next runs write, sometimes of other settings, for which they must overwrite."""
        self.factory = self.chance.choice(sorted(CLASSES))
        self.save_images, self.save_branch = self.chance.random() < 0.5, self.chance.random() < 0.5
        markers = [_marker(self.out)] + [_marker(self.branch)] * self.save_branch
        others = any(content and not self._is_of(content) for content in markers)
        self.overwrite = others or (self.out.exists() and self.chance.random() < 0.4)
        self.finished = {}
        if not self.overwrite and self.chance.random() < 0.5:
            for folder in (self.out, self.branch):
                shutil.rmtree(folder, ignore_errors=True)
        else:
            for image in self._images():
                if self.chance.random() < 0.5:
                    os.utime(image)

    def command(self, chance: random.Random) -> Sequence[str]:
        """The same command again; a pass of --overwrite that is recorded may go on without the word."""
        arguments = [str(self.data), str(self.out), "--preset", "mini-ssa", "--batch-size", "2", "--device", "cpu"]
        arguments += ["-s", "masks.source=existing", "-s", f"semantic.model={self.root / 'own.py'}:{self.factory}"]
        arguments += ["--save-images"] * self.save_images
        arguments += ["--save-branch", str(self.branch)] * self.save_branch
        recorded = self._is_overwriting(self.out) and (not self.save_branch or self._is_overwriting(self.branch))
        if self.overwrite and not (recorded and chance.random() < 0.5):
            arguments.append("--overwrite")
        return [sys.executable, "-m", "fiftyone_ssa.cli", "annotate", *arguments]

    def progress(self) -> object:
        """The newest result."""
        return max((path.stat().st_mtime_ns for path in self._results()), default=0)

    def after_start(self, killed: bool) -> list[str]:
        """Every file is whole, and what this pass had finished is untouched."""
        self.overwrite &= killed  # a pass that came to its end is not begun again
        faults = self._half()
        faults += [f"{path} was made again or is gone" for path, when in self.finished.items() if _time(path) != when]
        self.finished = {path: _time(path) for path in map(self._result, self._images()) if self._is_finished(path)}
        return faults

    def after_end(self, output: str) -> list[str]:
        """All is there once, of these settings, and nothing else."""
        faults = self.after_start(killed=False)
        faults += [f"{image} is not finished" for image in self._images() if self._result(image) not in self.finished]
        images = [path.relative_to(self.data) for path in self._images()]
        expected = {MARKER, *(str(image.with_name(f"{image.stem}_semantic.json")) for image in images)}
        overlays = {str(image.with_name(f"{image.stem}_overlay.jpg")) for image in images}
        found = {str(path.relative_to(self.out)) for path in files_below(self.out)}
        missing, extra = (expected | (overlays if self.save_images else set())) - found, found - expected - overlays
        faults += [f"missing: {sorted(missing)}"] * bool(missing) + [f"left over: {sorted(extra)}"] * bool(extra)
        if self.save_branch:
            found = {str(path.relative_to(self.branch)) for path in files_below(self.branch)}
            faults += [f"branch: {sorted(found ^ expected)}"] * (found != expected)
        for path in self._results():
            record = json.loads(path.read_text())
            ids = sorted(row["id"] for row in record.get("annotations", [{"id": 0}, {"id": 1}]))
            if ids != [0, 1]:
                faults.append(f"{path} holds the masks {ids}")
            if self.save_branch or path.is_relative_to(self.out):
                faults += [f"{path} is of {record['classes']}"] * (record["classes"] != CLASSES[self.factory])
        return faults

    def _results(self) -> list[Path]:
        return [path for folder in (self.out, self.branch) for path in folder.rglob("*_semantic.json")]

    def _images(self) -> list[Path]:
        return sorted(self.data.rglob("*.png"))

    def _result(self, image: Path, folder: Path | None = None, ending: str = "_semantic.json") -> Path:
        return (folder or self.out) / image.relative_to(self.data).with_name(image.stem + ending)

    def _is_overwriting(self, folder: Path) -> bool:
        """Whether the pass of --overwrite of this round has begun in a folder."""
        content = _marker(folder)
        return bool(content and content["overwriting"] and self._is_of(content))

    def _is_of(self, content: Mapping[str, Any]) -> bool:
        return bool(content["settings"]["semantic.model"].startswith(self.factory))

    def _is_finished(self, result: Path) -> bool:
        """Whether all files of an image are of this round's settings, of its pass, and of the image as it is."""
        image = self.data / result.relative_to(self.out).with_name(result.name.replace("_semantic.json", ".png"))
        paths = [result] + [self._result(image, ending="_overlay.jpg")] * self.save_images
        paths += [self._result(image, self.branch)] * self.save_branch
        for path in paths:
            content = _marker(self.branch if path.is_relative_to(self.branch) else self.out)
            stamp = stamps.read(path)
            if not content or not self._is_of(content) or stamp is None or stamp.values is None:
                return False
            if self.overwrite and not content["overwriting"]:
                return False
            if stamp.values["image"] != file_stamp(image) or stamp.mtime_ns <= content["since_ns"]:
                return False
            if stamp.values["settings"] != content["fingerprint"]:
                return False
        return True

    def _half(self) -> list[str]:
        faults = []
        for path in self._results():
            try:
                json.loads(path.read_text())
            except ValueError:
                faults.append(f"{path} is half written")
        for path in self.out.rglob("*_overlay.jpg"):
            try:
                with PIL.Image.open(path) as picture:
                    picture.load()
            except OSError:
                faults.append(f"{path} is half written")
        return faults


def _marker(folder: Path) -> dict[str, Any]:
    path = folder / MARKER
    return json.loads(path.read_text()) if path.exists() else {}


def _time(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0
