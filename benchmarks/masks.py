"""Our everything-mode beside segment_anything's own, same random vit_b, same image, each in a process of its own.

    python -m benchmarks.masks [--points 16] [--height 1500] [--width 2000]

Every threshold is off, so that every mask is enlarged and encoded: our filters at low resolution save nothing here.
Under "after_the_model" thresholds are the presets' own, and drawn answers, as many as pass of a real SAM, cost nothing.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ALL_SURVIVE = {
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "stability_score_offset": 0.01,
    "box_nms_thresh": 1.0,
    "crop_nms_thresh": 1.0,
}


def benchmark(points_per_side: int = 16, size_hw: tuple[int, int] = (1500, 2000)) -> dict[str, Any]:
    """Seconds (encoding apart), peak memory and agreement of both generators; every point gives three masks."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "sam_vit_b_random.pth"
        _call("checkpoint", checkpoint)
        arguments = [str(checkpoint), str(points_per_side), str(size_hw[0]), str(size_hw[1])]
        plain, ours = (_call(who, *arguments) for who in ("segment_anything", "fiftyone_ssa"))
        drawn = _call("drawn", "", "32", str(size_hw[0]), str(size_hw[1]))
    ious = _agreement(plain.pop("rles"), ours.pop("rles"), size_hw)
    return {
        "image": f"{size_hw[0]}x{size_hw[1]}",
        "points": points_per_side**2,
        "segment_anything": plain,
        "fiftyone_ssa": ours,
        "time_ratio": round(ours["seconds"] / plain["seconds"], 3),
        "time_ratio_after_encoding": round(ours["seconds_after_encoding"] / plain["seconds_after_encoding"], 3),
        "cpu_time_ratio": round(ours["cpu_seconds"] / plain["cpu_seconds"], 3),
        "peak_memory_ratio": round(ours["peak_gb"] / plain["peak_gb"], 3),
        "masks_with_iou_above_0.99": round(float(np.mean(ious > 0.99)), 4),
        "lowest_iou": round(float(ious.min()), 4),
        "after_the_model": drawn,
    }


def write_checkpoint(path: Path) -> dict[str, Any]:
    """A vit_b as segment_anything initialises it, its position tables drawn too, as a `.pth`."""
    import torch
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    sam = sam_model_registry["vit_b"]()
    with torch.no_grad():
        for name, parameter in sam.named_parameters():
            if "pos" in name:  # zeros otherwise, which would leave the image's places alike
                parameter.normal_(0, 0.1)
    torch.save(sam.state_dict(), path)
    return {}


def run_plain(checkpoint: Path, points_per_side: int, image: np.ndarray[Any, Any]) -> dict[str, Any]:
    """segment_anything's SamAutomaticMaskGenerator."""
    from segment_anything import SamAutomaticMaskGenerator, sam_model_registry

    generator = SamAutomaticMaskGenerator(
        sam_model_registry["vit_b"](str(checkpoint)),
        points_per_side=points_per_side,
        output_mode="coco_rle",
        **ALL_SURVIVE,
    )
    encoding = _timed(generator.predictor, "set_image")
    began = _now()
    records = generator.generate(image)
    return _figures(began, encoding, [record["segmentation"]["counts"] for record in records])


def run_ours(checkpoint: Path, points_per_side: int, image: np.ndarray[Any, Any]) -> dict[str, Any]:
    """This package's generator."""
    import torch

    from fiftyone_ssa.models.everything import EverythingGenerator
    from fiftyone_ssa.models.sam import load_sam
    from fiftyone_ssa.presets import Masks

    model = load_sam(str(checkpoint), torch.device("cpu"), torch.float32)
    generator = EverythingGenerator(model, Masks(points_per_side=points_per_side, **ALL_SURVIVE))
    encoding = _timed(model, "encode_all")
    began = _now()
    masks = generator(image)
    return _figures(began, encoding, [rle.decode() for rle in masks.rles])


def run_drawn(points_per_side: int, image: np.ndarray[Any, Any]) -> dict[str, Any]:
    """This package's everything-mode without a model: ellipses answer, of which the presets' thresholds leave some."""
    import torch

    from benchmarks._stand_ins import DrawnMasks
    from fiftyone_ssa.models.everything import EverythingGenerator
    from fiftyone_ssa.presets import Masks

    generator = EverythingGenerator(DrawnMasks(_Nothing(torch.device("cpu"))), Masks(points_per_side=points_per_side))
    began = _now()
    masks = generator(image)
    figures = _figures(began, [], [rle.decode() for rle in masks.rles])
    del figures["rles"], figures["seconds_encoding"], figures["seconds_after_encoding"]
    return figures


class _Nothing:
    """A SAM's sizes without its networks."""

    side = 1024

    def __init__(self, device: Any) -> None:
        self.device = device

    def encode_all(self, images: Any) -> list[Any]:
        from fiftyone_ssa.models.found_masks import Encoding
        from fiftyone_ssa.models.lowres import Frame

        found = []
        for image in images:
            height, width = image.shape[:2]
            scale = self.side / max(height, width)
            input_hw = (int(height * scale + 0.5), int(width * scale + 0.5))
            found.append(Encoding(None, Frame((height, width), input_hw, self.side, by_input=True)))
        return found

    def decode(self, encoding: Any, points_xy: Any, from_iou: float) -> Any:
        import torch

        return torch.zeros((len(points_xy), 3, 256, 256)), torch.zeros((len(points_xy), 3))


def _timed(owner: Any, method: str) -> list[float]:
    """Seconds of every later call of a method."""
    seconds: list[float] = []
    original = getattr(owner, method)

    def call(*arguments: Any) -> Any:
        began = time.perf_counter()
        answer = original(*arguments)
        seconds.append(time.perf_counter() - began)
        return answer

    setattr(owner, method, call)
    return seconds


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _figures(began: tuple[float, float], encoding: list[float], rles: list[str]) -> dict[str, Any]:
    seconds, cpu_seconds = (now - then for now, then in zip(_now(), began, strict=True))
    return {
        "seconds": round(seconds, 2),
        "seconds_encoding": round(sum(encoding), 2),
        "seconds_after_encoding": round(seconds - sum(encoding), 2),
        "cpu_seconds": round(cpu_seconds, 2),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
        "masks": len(rles),
        "rles": rles,
    }


def _agreement(plain: list[str], ours: list[str], size_hw: tuple[int, int]) -> np.ndarray[Any, Any]:
    """(N,) for each of segment_anything's masks the IoU with ours at its place; both leave them by predicted IoU."""
    from pycocotools import mask as coco

    if len(plain) != len(ours):
        raise RuntimeError(f"segment_anything found {len(plain)} masks, fiftyone_ssa {len(ours)}")
    codes = [[{"size": list(size_hw), "counts": counts} for counts in side] for side in (plain, ours)]
    return np.array([coco.iou([one], [other], [0])[0, 0] for one, other in zip(*codes, strict=True)])


def _call(what: str, *arguments: str | Path) -> dict[str, Any]:
    """One step in a process of its own, whose peak memory is its own."""
    command = [sys.executable, "-m", "benchmarks.masks", "--step", what, *map(str, arguments)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


def _step(what: str, checkpoint: str, *numbers: str) -> dict[str, Any]:
    if what == "checkpoint":
        return write_checkpoint(Path(checkpoint))
    points_per_side, height, width = (int(number) for number in numbers)
    image = np.random.default_rng(0).integers(0, 256, (height // 20, width // 20, 3), dtype=np.uint8)
    image = image.repeat(20, 0).repeat(20, 1)
    if what == "drawn":
        return run_drawn(points_per_side, image)
    return (run_plain if what == "segment_anything" else run_ours)(Path(checkpoint), points_per_side, image)


def main() -> None:
    """Print the benchmark as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=16, help="points per side")
    parser.add_argument("--height", type=int, default=1500)
    parser.add_argument("--width", type=int, default=2000)
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(_step(*arguments.step)))
    else:
        print(json.dumps(benchmark(arguments.points, (arguments.height, arguments.width)), indent=1))


if __name__ == "__main__":
    main()
