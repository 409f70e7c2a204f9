"""Tars as SA-1B has them, of drawn scenes with their true masks, for benchmarks of runs over shards."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import PIL.Image

from fiftyone_ssa.quickstart.scenes import draw_scene

STAND_IN = """
import numpy as np

class Bands:
    "Three bands: a map that takes no time, so that all that is left is the program's own."
    classes = ["sky", "hill", "grass"]

    def __call__(self, images):
        return [np.repeat(np.arange(i.shape[0]) * 3 // i.shape[0], i.shape[1]).reshape(i.shape[:2]) for i in images]
"""
DISTINCT = 40
"""Scenes that are drawn; tars repeat them."""


def write_tars(folder: Path, tars: int, images: int, size_hw: tuple[int, int]) -> None:
    """So many tars of so many images each in a folder."""
    folder.mkdir(parents=True)
    pairs = [_pair(seed, size_hw) for seed in range(min(DISTINCT, tars * images))]
    for tar in range(tars):
        with tarfile.open(folder / f"sa_{tar:06d}.tar", "w") as file:
            for number in range(tar * images, (tar + 1) * images):
                for ending, data in zip(("jpg", "json"), pairs[number % len(pairs)], strict=True):
                    info = tarfile.TarInfo(f"./sa_{number}.{ending}")
                    info.size = len(data)
                    file.addfile(info, io.BytesIO(data))


def stand_in(folder: Path) -> list[str]:
    """Arguments of `annotate` for true masks that are named by `STAND_IN`."""
    (folder / "own.py").write_text(STAND_IN)
    settings = ("masks.source=existing", f"semantic.model={folder}/own.py:Bands", "semantic.vote=hard")
    return ["--preset", "mini-ssa", *(word for setting in settings for word in ("-s", setting))]


def _pair(seed: int, size_hw: tuple[int, int]) -> tuple[bytes, bytes]:
    """A scene's JPEG and JSON."""
    scene = draw_scene(seed, size_hw)
    file = io.BytesIO()
    PIL.Image.fromarray(scene.image).save(file, "JPEG", quality=90)
    masks = scene.mask_set()
    rows = [
        {"id": index, "segmentation": {"size": list(size_hw), "counts": code.decode()}}
        for index, code in enumerate(masks.rles)
    ]
    return file.getvalue(), json.dumps({"annotations": rows}).encode()
