"""Everything-mode with a random SAM ViT-H, whose answers are drawn, so that as many masks pass as of a real one."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import _estimates, _probes
from benchmarks._architectures import sam
from benchmarks._cases import made_up_case
from benchmarks._scale import Scale
from benchmarks._sections import Figures
from benchmarks._stand_ins import DrawnMasks
from fiftyone_ssa.models.devices import pick_dtype
from fiftyone_ssa.models.everything import EverythingGenerator
from fiftyone_ssa.models.sam import load_sam
from fiftyone_ssa.presets import Masks, load_preset
from fiftyone_ssa.types import Floats

MODULES = ("SamVisionEncoder", "SamPromptEncoder", "SamMaskDecoder")
POINTS = 64
POINTS_TFLOP = round(_estimates.SAM_POINTS_TFLOP * POINTS / 1024, 3)


def measure(figures: Figures, scale: Scale) -> None:
    """The encoder, a batch of points, everything-mode as the engine's preset has it, then as SSA's has."""
    folder = Path(scale.folder) / "sam"
    figures.measure("building", partial(sam, folder, scale.sam, scale.device))
    bench = Bench(scale, folder)
    figures.measure("loading", bench.load)
    if bench.model is None:
        return
    figures.measure("first run", partial(bench.everything, bench.engine_settings, 1))
    figures.measure("encoder", bench.encoder)
    figures.measure(f"{POINTS} points", bench.points)
    figures.measure("everything", partial(bench.everything, bench.engine_settings, 2), needs_s=2 * bench.seconds)
    figures.measure("modules", bench.modules, needs_s=bench.seconds)
    figures.measure("waits", bench.waits, needs_s=2 * bench.seconds)
    figures.measure("launches", bench.launches, needs_s=3 * bench.seconds)
    figures.measure("random answers", bench.undrawn, needs_s=bench.seconds)
    # five encodings and eight times the points
    figures.measure("SSA's preset", partial(bench.everything, bench.ssa_settings, 1), needs_s=10 * bench.seconds)


class Bench:
    """A SAM and an image."""

    def __init__(self, scale: Scale, folder: Path) -> None:
        self._folder = folder
        self.device = torch.device(scale.device)
        self.dtype = pick_dtype("auto", self.device)
        self.image = np.array(made_up_case(0, scale.size_hw)[0])
        self.engine_settings = _settings("engine-base", scale.points_per_side)
        self.ssa_settings = _settings("ssa-ade20k", scale.preset_points_per_side)
        self.model: Any = None
        self.seconds = 0.0

    def load(self) -> dict[str, Any]:
        """Seconds, and the memory of the weights."""
        seconds, _, model = _probes.timed(lambda: load_sam(str(self._folder), self.device, self.dtype), self.device)
        self.model, self.drawn = model, DrawnMasks(model)
        told = {"seconds": round(seconds, 2), "dtype": str(self.dtype)}
        if self.device.type == "cuda":
            told["weights_gb"] = round(torch.cuda.memory_allocated(self.device) / 1e9, 2)
        return told

    @torch.inference_mode()
    def encoder(self) -> dict[str, Any]:
        """One image's encoding, its preparation included."""
        return self._share(lambda: self.model.encode(self.image), _estimates.SAM_ENCODER_TFLOP)

    @torch.inference_mode()
    def points(self) -> dict[str, Any]:
        """A batch of points, decoded."""
        encoding, points_xy = self.model.encode(self.image), self._points_xy()
        return self._share(lambda: self.model.decode(encoding, points_xy), POINTS_TFLOP)

    def _points_xy(self) -> Floats:
        height, width = self.image.shape[:2]
        return np.asarray(np.random.default_rng(0).uniform(0, 1, (POINTS, 2)) * [width, height])

    def _share(self, run: Any, expected: float) -> dict[str, Any]:
        told, _ = _probes.best(run, self.device, repeat=3)
        work, rate = _probes.tflop(run), _probes.matrix_rate(self.device, self.dtype)
        share = round(work / max(told["seconds"], 1e-9) / rate, 4)
        return {**told, "tflop": work, "tflop_estimated": expected, "share_of_matrix_rate": share}

    def everything(self, settings: Masks, repeat: int) -> dict[str, Any]:
        """Seconds and masks of one image."""
        generator = EverythingGenerator(self.drawn, settings)
        told, masks = _probes.best(lambda: generator(self.image), self.device, repeat)
        self.seconds = told["seconds"]
        return {**told, "masks": len(masks), "points_per_side": settings.points_per_side}

    def modules(self) -> dict[str, Any]:
        """Which part of it takes how long."""
        clock = _probes.ModuleClock(self.device, MODULES)
        with clock.running():
            EverythingGenerator(self.drawn, self.engine_settings)(self.image)
        return clock.figures()

    def waits(self) -> dict[str, Any]:
        """Who waits for the device."""
        with _probes.waits(self.device) as found:
            EverythingGenerator(self.drawn, self.engine_settings)(self.image)
        return {"in all": sum(found.values()), "places": dict(found.most_common())}

    def launches(self) -> dict[str, Any]:
        """Of one image."""
        return _probes.launches(lambda: EverythingGenerator(self.drawn, self.engine_settings)(self.image), self.device)

    def undrawn(self) -> dict[str, Any]:
        """With the random model's own answers, of which the thresholds leave what they leave."""
        told, masks = _probes.best(
            lambda: EverythingGenerator(self.model, self.engine_settings)(self.image), self.device, 1
        )
        return {**told, "masks": len(masks)}


def _settings(preset: str, points_per_side: int) -> Masks:
    return dataclasses.replace(load_preset(preset).masks, points_per_side=points_per_side)
