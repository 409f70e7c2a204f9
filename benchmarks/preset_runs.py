"""Seconds a photograph that `ssa-fast` and `engine-fast` take, as whole runs from JPEG to the results on disk.

    python -m benchmarks.preset_runs [--threads 2] [--photographs 3] [--answers FOLDER] [PRESET ...]

Models have the published widths and random weights; the photographs are made up, of 1500 x 2250. A random SAM answers
with noise, which no threshold lets pass, so its arithmetic is done and its answers are drawn: ellipses of which a
photograph's usual number passes, and four points in ten lie in none (`_stand_ins.DrawnMasks`). The run is the
command's own (`annotate --save-images`), loading not counted. `all points` asks every point, whatever was answered,
which is the slowest photograph there can be. With `--answers` a folder's photographs are taken, in their own size,
and the masks in the JSON (of SA-1B's form) beside each are the answers. Prints one JSON object: seconds by the clock,
of the processor, masks.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks import _architectures_2026 as architectures
from benchmarks._cases import made_up_case
from benchmarks._stand_ins import DrawnMasks, GivenMasks
from fiftyone_ssa.files.images import read_image
from fiftyone_ssa.folders import annotate as folders
from fiftyone_ssa.folders.sa1b_json import read_masks
from fiftyone_ssa.models import sam as sams
from fiftyone_ssa.naming import pipeline as pipelines
from fiftyone_ssa.presets import Preset, load_preset
from fiftyone_ssa.types import MaskSet

OBJECTS = 110
CASES = {
    "ssa-fast": ("ssa-fast", {}),
    "engine-fast": ("engine-fast", {}),
    "engine-fast, all points": ("engine-fast", {"masks.answered_iou_thresh": 0.0}),
    "ssa-fast, all points": ("ssa-fast", {"masks.answered_iou_thresh": 0.0}),
}


class Clock:
    """A pipeline whose loading is not counted, and which counts the points that its SAM is asked."""

    def __init__(self, answers: MaskSet | None = None) -> None:
        self.answers = answers
        self.loaded = (0.0, 0.0)
        self.points = 0

    def build(self, *arguments: Any, **options: Any) -> Any:
        """`build_pipeline`, after which the clock starts."""
        built = self._build(*arguments, **options)
        self.loaded = (time.perf_counter(), time.process_time())
        return built

    def load_sam(self, *arguments: Any) -> Any:
        """A SAM that works as it does, and answers as drawn."""
        sam = self._load_sam(*arguments)
        asked = copy.copy(sam)
        drawn = DrawnMasks(asked, OBJECTS) if self.answers is None else GivenMasks(asked, self.answers)

        def decode(encoding: Any, points_xy: Any, from_iou: float) -> Any:
            self.points += len(points_xy)
            return drawn.decode(encoding, points_xy, from_iou)

        sam.decode = decode
        return sam

    def run(self, preset: Preset, photographs: Path, out: Path) -> dict[str, Any]:
        """Seconds, masks and points a photograph."""
        self._build, self._load_sam = pipelines.build_pipeline, sams.load_sam
        self.points = 0
        with (
            mock.patch.object(pipelines, "build_pipeline", self.build),
            mock.patch.object(sams, "load_sam", self.load_sam),
        ):
            summary = folders.annotate_files(photographs, out, preset, save_images=True, progress=False)
        assert not summary.errors, summary.errors
        wall, cpu = time.perf_counter() - self.loaded[0], time.process_time() - self.loaded[1]
        each = {"seconds": wall, "processor_seconds": cpu, "masks": summary.masks, "points": self.points}
        return {key: round(value / summary.done, 2) for key, value in each.items()}


def build(folder: Path) -> dict[str, str]:
    """The models of the presets below `folder`, by hub id."""
    torch.manual_seed(0)
    architectures.sam2(folder / "sam2", "tiny")
    architectures.segformer_b0(folder / "segformer")
    architectures.siglip2(folder / "siglip2", "base")
    return {
        "facebook/sam2.1-hiera-tiny": str(folder / "sam2"),
        "nvidia/segformer-b0-finetuned-ade-512-512": str(folder / "segformer"),
        "google/siglip2-base-patch32-256": str(folder / "siglip2"),
    }


def main() -> None:
    """Measure the presets that are named, or all cases, and print them as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.preset_runs", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="PRESET", help=", ".join(CASES))
    parser.add_argument("--threads", type=int, default=2, help="of torch (2)")
    parser.add_argument("--photographs", type=int, default=3, help="a run (3)")
    parser.add_argument("--answers", type=Path, metavar="FOLDER", help="photographs with masks")
    parser.add_argument("--models", type=Path, help="a folder that keeps the models (a temporary one)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="other settings, as JSON values"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # random weights make subnormal numbers, with which products take 30 times as long
    changed = {key: json.loads(value) for key, _, value in (entry.partition("=") for entry in options.set)}
    report: dict[str, Any] = {"threads": options.threads}
    with tempfile.TemporaryDirectory() as temporary:
        kept = options.models or Path(temporary, "models")
        models = build(kept) if not kept.is_dir() else {}
        if options.answers is None:
            photographs: dict[str, tuple[Path, MaskSet | None]] = {"": (_made_up(options.photographs, temporary), None)}
        else:
            photographs = dict(_answered(options.answers, temporary))
        (kept / "ids.json").write_text(json.dumps(models)) if models else None
        ids = json.loads((kept / "ids.json").read_text())
        for case in options.cases or CASES:
            name, settings = CASES[case]
            preset = load_preset(name, {**_local(load_preset(name), ids), **settings, **changed})
            for photograph, (folder, answers) in photographs.items():
                what = f"{case} {photograph}".strip()
                report[what] = Clock(answers).run(preset, folder, Path(temporary, "out", what.replace(" ", "-")))
                print(what, report[what], file=sys.stderr, flush=True)
    print(json.dumps(report, indent=2))


def _made_up(count: int, temporary: str) -> Path:
    """A folder of photographs of 1500 x 2250."""
    folder = Path(temporary, "photographs")
    folder.mkdir()
    for index in range(count):
        made_up_case(0, seed=index)[0].save(folder / f"{index}.jpg", quality=90)
    return folder


def _answered(given: Path, temporary: str) -> Iterator[tuple[str, tuple[Path, MaskSet]]]:
    """Each photograph of a folder: its name, a folder with it alone, its masks."""
    for path in sorted(given.glob("*.jpg")):
        folder = Path(temporary, path.stem)
        folder.mkdir()
        shutil.copy(path, folder)
        height, width = read_image(path).shape[:2]
        yield path.stem, (folder, read_masks(path.with_suffix(".json"), (height, width)))


def _local(preset: Preset, ids: dict[str, str]) -> dict[str, Any]:
    """The settings that name this preset's models, as folders."""
    settings: dict[str, Any] = {"masks.model": ids[preset.masks.model]}
    if preset.pipeline == "ssa":
        return {**settings, "semantic.model": ids[preset.semantic.model]}
    return {**settings, "open_vocabulary.class_filter": ids[preset.open_vocabulary.class_filter]}


if __name__ == "__main__":
    main()
