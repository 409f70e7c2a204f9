"""SSA-engine beside its plain twin (one mask at a time), same models, same masks, same run.

    python -m benchmarks.engine [--models parity base small] [--device auto] [--masks N] [--growth IMAGES]

`parity` runs the small models of the tests on the three photographs there; `base` and `small` build the published
architectures with random weights and run them on one 1500x2250 image (100 masks on a GPU, 4 on the CPU).
`--growth` runs that many small images through the parity models and tells how much memory grew. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._architectures import PARITY, build_models, parity_models
from benchmarks._cases import Case, ellipses, inputs_of, made_up_case
from fiftyone_ssa.models.devices import pick_device, pick_dtype
from fiftyone_ssa.naming.engine import Engine, build_engine
from fiftyone_ssa.presets import Masks, OpenVocabulary, Preset
from fiftyone_ssa.types import Inputs
from tests.naming.plain_engine import PlainEngine, read_case

STEMS = ("chelsea", "coffee", "rocket")


def benchmark(models: str, device: torch.device, masks: int | None = None) -> dict[str, Any]:
    """Seconds an image and a mask, by stage, peak memory, and the share of the device's matrix rate; both engines."""
    dtype = pick_dtype("auto", device)
    count = masks or (100 if device.type == "cuda" else 4)
    cases = [read_case(PARITY / "inputs", stem) for stem in STEMS] if models == "parity" else [made_up_case(count)]
    batch = [inputs_of(*case) for case in cases]
    total = sum(len(inputs.masks or ()) for inputs in batch)
    with tempfile.TemporaryDirectory() as folder:
        settings = parity_models() if models == "parity" else build_models(models, Path(folder))
        ours, answers = _ours(settings, batch, device, dtype, repeat=1 if models != "parity" and count < 100 else 3)
        plain, plain_answers = _plain(settings, cases, device, dtype, repeat=2 if models == "parity" else 1)
    rate = matrix_rate(device, dtype)
    for figures in (plain, ours):
        figures["seconds_per_image"] = round(figures["seconds"] / len(batch), 4)
        figures["seconds_per_mask"] = round(figures["seconds"] / total, 5)
    achieved = ours["tflop"] / ours["seconds"]
    return {
        "device": _name(device),
        "threads": torch.get_num_threads(),
        "dtype": str(dtype).removeprefix("torch."),
        "images": len(batch),
        "masks": total,
        "plain_twin": plain,
        "fiftyone_ssa": ours,
        "times_faster": round(plain["seconds"] / ours["seconds"], 2),
        "times_less_cpu": round(plain["cpu_seconds"] / ours["cpu_seconds"], 2),
        "same_labels": sum(a == b for a, b in zip(answers, plain_answers, strict=True)),
        "tflop_per_second": round(achieved, 4),
        "matrix_tflop_per_second": round(rate, 4),
        "share_of_matrix_rate": round(achieved / rate, 4),
    }


def _ours(
    settings: dict[str, Any], batch: list[Inputs], device: torch.device, dtype: torch.dtype, repeat: int
) -> tuple[dict[str, Any], list[Any]]:
    engine = _load(settings, device, dtype)

    def run() -> Any:
        engine.timings.clear()
        return engine(batch)

    figures, annotations = _measure(run, device, repeat)
    figures["stages_of_the_last"] = {stage: round(seconds, 4) for stage, seconds in engine.timings.items()}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # what runs side by side is not counted
    with FlopCounterMode(display=False) as counter:
        engine(batch)
    torch.set_num_threads(threads)
    figures["tflop"] = round(counter.get_total_flops() / 1e12, 4)
    return figures, [label for annotation in annotations for label in annotation.labels]


def _plain(
    settings: dict[str, Any], cases: list[Case], device: torch.device, dtype: torch.dtype, repeat: int
) -> tuple[dict[str, Any], list[Any]]:
    engine = PlainEngine(
        list(settings["segmenters"]),
        settings["captioner"],
        settings["class_filter"],
        settings["decider"],
        device=str(device),
        dtype=dtype,
    )
    figures, records = _measure(lambda: [engine(*case) for case in cases], device, repeat)
    return figures, [record["class_name"] for image in records for record in image]


def growth(images: int, device: torch.device) -> dict[str, Any]:
    """Resident memory after every tenth of the images, each of its own size, pixels and masks."""
    engine = _load(parity_models(), device, pick_dtype("auto", device))
    random = np.random.default_rng(0)
    photograph, _ = read_case(PARITY / "inputs", "rocket")
    resident, tenth = {}, max(images // 10, 1)
    for done in range(1, images + 1):
        width, height = (int(side) for side in random.integers(120, 400, 2))
        left, top = (int(edge) for edge in random.integers(0, (640 - width, 427 - min(height, 426))))
        image = photograph.crop((left, top, left + width, min(top + height, 427)))
        engine([inputs_of(image, ellipses(image.height, image.width, 5, random))])
        if done % tenth == 0:
            resident[done] = _resident_mb()
    return {"images": images, "resident_mb": resident}


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """TFLOP/s of a large square matrix product."""
    side = 8192 if device.type == "cuda" else 2048
    left = torch.randn(side, side, device=device, dtype=dtype)
    best = min(_seconds(lambda: left @ left, device)[0] for _ in range(5))
    return 2 * side**3 / best / 1e12


def _load(settings: dict[str, Any], device: torch.device, dtype: torch.dtype) -> Engine:
    preset = Preset("benchmark", "engine", Masks(source="existing"), open_vocabulary=OpenVocabulary(**settings))
    return build_engine(preset, device, dtype)


def _measure(run: Callable[[], Any], device: torch.device, repeat: int) -> tuple[dict[str, Any], Any]:
    """Figures of the best of `repeat` runs, and what the last one answered."""
    if device.type == "cuda":
        run()  # kernels are chosen in the first call
        torch.cuda.reset_peak_memory_stats(device)
    timed = [_seconds(run, device) for _ in range(repeat)]
    seconds, cpu_seconds, _ = min(timed, key=lambda run: run[0])
    peak = (
        torch.cuda.max_memory_allocated(device)
        if device.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    figures = {"seconds": round(seconds, 4), "cpu_seconds": round(cpu_seconds, 4)}
    if repeat > 1:
        figures["first_seconds"] = round(timed[0][0], 4)
    return {**figures, "peak_gb": round(peak / 1e9, 3)}, timed[-1][2]


def _seconds(run: Callable[[], Any], device: torch.device) -> tuple[float, float, Any]:
    began, cpu_began = time.perf_counter(), time.process_time()
    answer = run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began, time.process_time() - cpu_began, answer


def _on_one_thread() -> dict[str, Any]:
    """The parity models' figures from a process that has one thread from its beginning, as a user's would."""
    command = [sys.executable, "-m", "benchmarks.engine", "--models", "parity"]
    told = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, check=True)
    figures: dict[str, Any] = json.loads(told.stdout)["parity"]
    return figures


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / 1e6, 1)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--models", nargs="*", choices=("parity", "base", "small"), default=["parity", "base", "small"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--masks", type=int, help="in the made-up image of base and small")
    parser.add_argument("--growth", type=int, default=0, metavar="IMAGES")
    options = parser.parse_args()
    device = pick_device(options.device)
    # the parity models stand for the arithmetic on the CPU, whatever else there is
    report: dict[str, Any] = {}
    for models in options.models:
        where = torch.device("cpu") if models == "parity" else device
        report[models] = benchmark(models, where, options.masks)
        if models == "parity" and torch.get_num_threads() > 1:
            report["parity, one thread"] = _on_one_thread()
    if options.growth:
        report["growth"] = growth(options.growth, torch.device("cpu"))
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
