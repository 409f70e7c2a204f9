"""The machine: what it is, what is installed, and how fast it multiplies, copies and launches."""

from __future__ import annotations

import importlib.util
import os
import platform
from typing import Any

import torch

from benchmarks import _probes
from benchmarks._packages import installed
from benchmarks._scale import Scale
from benchmarks._sections import Figures

PACKAGES = (
    *("torch", "torchvision", "transformers", "numpy", "scipy", "pillow", "timm"),
    *("fiftyone", "open_clip_torch", "spacy", "pycocotools", "supervision"),
)
WITHOUT = {
    "open_clip": "CLIP runs as benchmarks._stand_ins.Clip (tested equal to open_clip), its words numbered by checksum: "
    "the same work, but names are ranked otherwise than published",
    "spacy": "captions are cut into pairs of words by benchmarks._stand_ins.WordPhrases: spaCy's own time is missing, "
    "and the engine's parity labels are compared among themselves, not with the published ones",
}
"""What the absence of a package changes in the figures; what is not named here is not used by them."""


def measure(figures: Figures, scale: Scale) -> None:
    """Rates are of random numbers; those of the CPU are of small matrices."""
    device = torch.device(scale.device)
    figures.measure("machine", lambda: machine(device))
    figures.measure("packages", lambda: {name: installed(name) for name in PACKAGES})
    figures.measure("stand_ins", stand_ins)
    kinds: dict[str, tuple[torch.dtype, bool]] = {
        "bfloat16": (torch.bfloat16, False),
        "tf32": (torch.float32, True),
        "float32": (torch.float32, False),
    }
    for name, (dtype, tf32) in kinds.items():
        figures.measure(
            f"matrix_tflop_per_s, {name}",
            lambda dtype=dtype, tf32=tf32: _probes.matrix_rate(device, dtype, tf32=tf32),  # type: ignore[misc]
        )
    figures.measure("copy_gb_per_s", lambda: copy_rate(device))
    figures.measure("launch_us", lambda: launch_us(device))


def machine(device: torch.device) -> dict[str, Any]:
    """Its processors, and the GPU's memory and driver."""
    told: dict[str, Any] = {
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        told |= {
            "gpu": properties.name,
            "gpu_gb": round(properties.total_memory / 1e9, 1),
            "gpu_free_gb": round(torch.cuda.mem_get_info(device)[0] / 1e9, 1),
            "multiprocessors": properties.multi_processor_count,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    return told


def stand_ins() -> dict[str, str]:
    """What is not here, and what that changes."""
    return {name: change for name, change in WITHOUT.items() if importlib.util.find_spec(name) is None}


def copy_rate(device: torch.device) -> dict[str, float]:
    """GB/s read and written within the device, and brought to it from pinned memory."""
    size = 1 << (30 if device.type == "cuda" else 22)
    here = torch.randint(0, 255, (size,), dtype=torch.uint8, device=device)
    there = torch.empty_like(here)
    there.copy_(here)
    within = min(_probes.timed(lambda: there.copy_(here), device)[0] for _ in range(5))
    rates = {"within": round(2 * size / within / 1e9, 1)}
    if device.type == "cuda":
        pinned = torch.empty(size // 4, dtype=torch.uint8, pin_memory=True)
        part = there[: size // 4]
        part.copy_(pinned, non_blocking=True)
        brought = min(_probes.timed(lambda: part.copy_(pinned, non_blocking=True), device)[0] for _ in range(3))
        rates["from pinned memory"] = round(size / 4 / brought / 1e9, 1)
    return rates


def launch_us(device: torch.device) -> float:
    """Microseconds that one thread needs to launch the smallest kernel from Python."""
    one, count = torch.ones(1, device=device), 5000 if device.type == "cuda" else 500

    def many() -> None:
        for _ in range(count):
            one.add_(1)

    many()
    return round(min(_probes.timed(many, device)[0] for _ in range(3)) / count * 1e6, 2)
