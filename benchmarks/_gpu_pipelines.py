"""A pipeline with random published architectures, a few images at a time: seconds, memory, launches, and waits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch

from benchmarks import _probes
from benchmarks._cases import inputs_of, made_up_case
from benchmarks._scale import Scale
from benchmarks._sections import Figures
from fiftyone_ssa.models.devices import Chunks, pick_dtype
from fiftyone_ssa.models.replay import Replay
from fiftyone_ssa.naming.run import Pipeline
from fiftyone_ssa.types import Annotation

MODULES = (
    "OneFormerForUniversalSegmentation",
    "OneFormerPixelLevelModule",
    "BlipVisionModel",
    "BlipTextLMHeadModel",
    "SegformerForSemanticSegmentation",
)
"""What is timed apart by its calls; CLIP and CLIPSeg have stages of their own."""
WAITS_TOLD = 40


class Subject:
    """A loaded pipeline, its images, and what has been measured of it."""

    def __init__(self, figures: Figures, scale: Scale, load: Callable[[torch.device, torch.dtype], Pipeline]) -> None:
        self.figures, self.scale = figures, scale
        self.device = torch.device(scale.device)
        self.dtype = pick_dtype("auto", self.device)
        most = max(*scale.batches, scale.watched)
        self.images = [inputs_of(*made_up_case(scale.masks, scale.size_hw, seed)) for seed in range(most)]
        self.seconds_per_image = 0.0
        self.tflop_per_image = 0.0
        self.rates: dict[str, float] = {}
        self.pipeline: Any = None
        figures.measure("loading", partial(self._load, load))

    def _load(self, load: Callable[[torch.device, torch.dtype], Pipeline]) -> dict[str, Any]:
        seconds, _, self.pipeline = _probes.timed(lambda: load(self.device, self.dtype), self.device)
        told = {"seconds": round(seconds, 2), "dtype": str(self.dtype), "rows_at_a_time": self._rows()}
        if self.device.type == "cuda":
            told["weights_gb"] = round(torch.cuda.memory_allocated(self.device) / 1e9, 2)
        return told

    def measure(self) -> None:
        """Everything; the figures that matter most first."""
        if self.pipeline is None:
            return
        measure = self.figures.measure
        first, *more = self.scale.batches
        measure("first run", lambda: {"seconds": round(_probes.timed(self._run(1), self.device)[0], 3)})
        measure("work", self._work)
        measure(f"{first} images", partial(self.time_images, first, repeat=3))
        for count in more[:1]:
            measure(f"{count} images", partial(self.time_images, count, repeat=2), needs_s=self._seconds(3 * count))
        watched = self.scale.watched
        measure("stages", partial(self._stages, watched), needs_s=self._seconds(3 * watched))
        measure("modules", partial(self._modules, watched), needs_s=self._seconds(watched))
        measure("waits", self._waits, needs_s=self._seconds(2))
        for count in more[1:]:
            measure(f"{count} images", partial(self.time_images, count, repeat=1), needs_s=self._seconds(count))
        measure("out of memory", self._out_of_memory, needs_s=self._seconds(6))

    def _rows(self) -> dict[str, int]:
        return {chunks.what.replace(self.scale.folder, ""): chunks.size for chunks in chunks_of(self.pipeline)}

    def _seconds(self, images: int) -> float:
        """What so many images take, as far as known."""
        return images * self.seconds_per_image

    def _run(self, count: int) -> Callable[[], list[Annotation]]:
        return lambda: self.pipeline(self.images[:count])

    def time_images(self, count: int, repeat: int) -> dict[str, Any]:
        """Seconds of so many images together, the best of `repeat` runs, by stage."""
        stages: list[dict[str, float]] = []

        def run() -> list[Annotation]:
            timings = getattr(self.pipeline, "timings", {})
            timings.clear()
            found: list[Annotation] = self.pipeline(self.images[:count])
            stages.append({stage: round(seconds, 4) for stage, seconds in timings.items()})
            return found

        told, annotations = _probes.best(run, self.device, repeat)
        self.seconds_per_image = told["seconds"] / count
        told["seconds_per_image"] = round(self.seconds_per_image, 4)
        told |= self._shares()
        told["masks_named"] = sum(len(annotation.labels) - annotation.unlabelled for annotation in annotations)
        return {**told, "stages_of_the_last": stages[-1]} if stages[-1] else told

    def _work(self) -> dict[str, Any]:
        """What one image takes in operations, and how many the card does in a second at best."""
        # what is replayed is not seen by who counts
        with mock.patch.object(Replay, "__call__", lambda replay, **inputs: replay._function(**inputs)):
            self.tflop_per_image = _probes.tflop(self._run(1))
        self.rates = {
            str(self.dtype).removeprefix("torch."): _probes.matrix_rate(self.device, self.dtype),
            "tf32": _probes.matrix_rate(self.device, torch.float32, tf32=True),
        }
        return {"tflop_per_image": self.tflop_per_image, "matrix_tflop_per_s": self.rates}

    def _shares(self) -> dict[str, Any]:
        """How much of each matrix rate the last run reached; nothing before they are known."""
        if not self.rates or not self.seconds_per_image:
            return {}
        reached = self.tflop_per_image / self.seconds_per_image
        return {"share_of_matrix_rate": {kind: round(reached / rate, 4) for kind, rate in self.rates.items()}}

    def _stages(self, count: int) -> dict[str, Any]:
        """Launches and the device's busy time by stage, the device waited for between them; or in all."""
        if not hasattr(self.pipeline, "_stage"):
            return {"in all": _probes.launches(self._run(count), self.device)}
        watch = StageWatch(self.pipeline, self.device)
        with watch.watching():
            self._run(count)()
        return watch.told

    def _modules(self, count: int) -> dict[str, Any]:
        clock = _probes.ModuleClock(self.device, MODULES)
        with clock.running():
            self._run(count)()
        return clock.figures()

    def _waits(self) -> dict[str, Any]:
        with _probes.waits(self.device) as found:
            self._run(1)()
        told: dict[str, Any] = {"in all": sum(found.values()), "places": dict(found.most_common(WAITS_TOLD))}
        if self.device.type != "cuda":
            told["counted"] = "calls of Tensor.cpu, item and tolist, which would wait for a GPU"
        return told

    def _out_of_memory(self) -> dict[str, Any]:
        """With chunks that are too large for the memory there is: what it says, and whether the labels stay."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        labels = [annotation.labels for annotation in self._run(1)()]
        with _messages() as said, _scarce(self.pipeline, self.device) as scarce:
            seconds, _, found = _probes.timed(self._run(1), self.device)
        same = [a == b for one, of in zip(found, labels, strict=True) for a, b in zip(one.labels, of, strict=True)]
        return {
            **scarce,
            "seconds": round(seconds, 3),
            "said": said,
            "share_of_labels_equal": round(sum(same) / max(len(same), 1), 4),
            "rows_at_a_time": self._rows(),
        }


class StageWatch:
    """Watches an engine's stages with a profiler each."""

    def __init__(self, engine: Any, device: torch.device) -> None:
        self._engine, self._device = engine, device
        self.told: dict[str, dict[str, Any]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Put the watch in the place of the engine's own clock."""
        self._engine._stage = self._stage
        try:
            yield
        finally:
            del self._engine._stage

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        with _probes.profiling(self._device) as self.told[name]:
            yield


def chunks_of(pipeline: Any) -> list[Chunks]:
    """The chunks in which a pipeline's parts work."""
    parts = [pipeline, *vars(pipeline).values()]
    parts += [part for listed in parts if isinstance(listed, list | tuple) for pair in listed for part in pair]
    ours = [part for part in parts if type(part).__module__.startswith("fiftyone_ssa") and hasattr(part, "__dict__")]
    return [chunks for part in ours for chunks in vars(part).values() if isinstance(chunks, Chunks)]


@contextmanager
def _messages() -> Iterator[list[str]]:
    """What the package logs while it is open."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("fiftyone_ssa")
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)


@contextmanager
def _scarce(pipeline: Any, device: torch.device) -> Iterator[dict[str, Any]]:
    """Chunks eight times as large, and not more memory than one image took; on the CPU chunks of several rows fail."""
    if device.type != "cuda":
        with mock.patch.object(Chunks, "map_groups", _failing(Chunks.map_groups)):
            yield {"rehearsed": "a chunk of several rows, but for those side by side, is said to run out of memory"}
        return
    total = torch.cuda.get_device_properties(device).total_memory
    took = torch.cuda.max_memory_allocated(device) - torch.cuda.memory_allocated(device)
    torch.cuda.empty_cache()
    allowed = torch.cuda.memory_reserved(device) + int(1.2 * took)
    for chunks in chunks_of(pipeline):
        chunks.size = chunks.size * 8 if chunks.size > 1 else 1
    torch.cuda.set_per_process_memory_fraction(min(allowed / total, 1.0), device)
    try:
        yield {"took_gb": round(took / 1e9, 3), "allowed_gb": round(allowed / 1e9, 3)}
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def _failing(map_groups: Callable[..., Any]) -> Callable[..., Any]:
    def scarce(chunks: Chunks, function: Callable[..., Any], groups: Any) -> Any:
        def fail(items: Sequence[Any]) -> Any:
            if len(items) > 1:
                raise torch.OutOfMemoryError("rehearsed")
            return function(items)

        in_turn = not chunks.parallel or torch.get_num_threads() == 1
        return map_groups(chunks, fail if in_turn else function, groups)

    return scarce
