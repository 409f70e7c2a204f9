"""Small models on the CPU in float32, and on the GPU in float32 and bfloat16: do the labels stay the same?

The parity models are random, so that their answers lie closer together than trained ones' do: a label that changes
there tells where arithmetic differs. How often it would with trained weights the quickstart's models tell.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks._architectures import PARITY, parity_models
from benchmarks._cases import inputs_of, load_engine, load_ssa, whole_engine
from benchmarks._scale import Scale
from benchmarks._sections import Figures
from benchmarks._stand_ins import open_clip_or_stand_in
from fiftyone_ssa.naming.run import Pipeline
from fiftyone_ssa.presets import load_preset
from fiftyone_ssa.quickstart.scenes import draw_scene
from fiftyone_ssa.quickstart.scenes.judge import SIZES_HW
from fiftyone_ssa.types import Annotation, Inputs

TOLD = 5
"""Labels that differ are shown, so many of a comparison."""


@dataclass(frozen=True)
class Variant:
    """One way to compute the same."""

    name: str
    device: str
    dtype: torch.dtype
    tf32_convolutions: bool = True
    """torch's default on CUDA, also in float32."""


def variants(device: str) -> list[Variant]:
    """The reference first; in a rehearsal the CPU stands for the GPU."""
    gpu = "gpu" if device != "cpu" else "cpu as gpu,"
    return [
        Variant("cpu float32", "cpu", torch.float32),
        Variant(f"{gpu} float32", device, torch.float32),
        Variant(f"{gpu} float32 without tf32", device, torch.float32, tf32_convolutions=False),
        Variant(f"{gpu} bfloat16", device, torch.bfloat16),
    ]


def measure(figures: Figures, scale: Scale) -> None:
    """Both pipelines; every variant beside the CPU's float32 and, where its models are whole, the published answers."""
    engine_answers = "engine" if whole_engine() else ""
    photographs = [photograph(stem, scale.parity_masks) for stem in scale.stems]
    scenes = [scene(seed) for seed in range(scale.scenes)]
    for name, build, expected in (
        ("ssa-ade20k", partial(_ssa, "ade20k"), "ssa-ade20k"),
        ("ssa-cityscapes", partial(_ssa, "cityscapes"), "ssa-cityscapes"),
        ("engine", _engine, engine_answers),
    ):
        published = [published_labels(expected, *case) for case in zip(scale.stems, photographs, strict=True)]
        compare = Comparison(build, photographs, published if expected else None)
        for variant in variants(scale.device):
            figures.measure(f"{name}, {variant.name}", partial(compare, variant))
    if not open_clip_or_stand_in():
        return  # the stand-in numbers words otherwise than they were learned
    compare = Comparison(_trained_engine, scenes, None)
    for variant in variants(scale.device):
        figures.measure(f"trained engine, {variant.name}", partial(compare, variant))


class Comparison:
    """A pipeline's answers in one variant beside those of the first variant that answered, and beside the published."""

    def __init__(
        self, build: Callable[[Variant], Pipeline], batch: list[Inputs], published: list[list[str | None]] | None
    ) -> None:
        self._build, self._batch, self._published = build, batch, published
        self._reference: list[Annotation] | None = None

    def __call__(self, variant: Variant) -> dict[str, Any]:
        """Its figures."""
        with _tf32(variant):
            found = self._build(variant)(self._batch)
        told: dict[str, Any] = {"masks": sum(len(annotation.labels) for annotation in found)}
        if self._reference is None:
            self._reference = found
        else:
            told |= compared(self._reference, found)
        if self._published is not None:
            labels = [label for annotation in found for label in annotation.labels]
            told["share_as_published"] = _share(a == b for a, b in zip(labels, chain(*self._published), strict=True))
        return told


def compared(reference: list[Annotation], found: list[Annotation]) -> dict[str, Any]:
    """The share of equal labels and pixels, how far confidences are apart, and some labels that differ."""
    told: dict[str, Any] = {}
    triples = [
        (image, mask, (a.labels[mask], b.labels[mask]), (a.confidences[mask], b.confidences[mask]))
        for image, (a, b) in enumerate(zip(reference, found, strict=True))
        for mask in range(len(a.labels))
    ]
    told["share_of_labels_equal"] = _share(labels[0] == labels[1] for _, _, labels, _ in triples)
    told["confidence_apart"] = round(max((abs(float(a - b)) for *_, (a, b) in triples), default=0.0), 4)
    if reference[0].captions:
        told["share_of_captions_equal"] = _share(
            x == y for a, b in zip(reference, found, strict=True) for x, y in zip(a.captions, b.captions, strict=True)
        )
    if reference[0].semantic is not None:
        equal = [
            a.semantic.ids == b.semantic.ids
            for a, b in zip(reference, found, strict=True)
            if a.semantic is not None and b.semantic is not None
        ]
        told["share_of_pixels_equal"] = round(float(np.mean(np.concatenate([mask.ravel() for mask in equal]))), 5)
    differ = [
        f"image {image}, mask {mask}: {labels[0]} ({confidences[0]:.3f}) -> {labels[1]} ({confidences[1]:.3f})"
        for image, mask, labels, confidences in triples
        if labels[0] != labels[1]
    ]
    return {**told, "differ": differ[:TOLD]} if differ else told


def photograph(stem: str, masks: int | None) -> Inputs:
    """A parity photograph with its masks, or the first of them."""
    with Image.open(PARITY / "inputs" / f"{stem}.png") as picture:
        image = picture.convert("RGB")
    records = json.loads((PARITY / "inputs" / f"{stem}.json").read_text())["annotations"]
    return inputs_of(image, records[:masks])


def scene(seed: int) -> Inputs:
    """A drawn scene with its true masks, none of those that the quickstart's models were trained or judged on."""
    drawn = draw_scene(50_000 + seed, SIZES_HW[seed % len(SIZES_HW)])
    return Inputs(drawn.image, drawn.mask_set())


def published_labels(folder: str, stem: str, inputs: Inputs) -> list[str | None]:
    """What the published code answered, in the order of the masks here; nothing without a folder."""
    if not folder or inputs.masks is None:
        return []
    path = PARITY / "expected" / folder / f"{stem}_semantic.json"
    by_id = {record["id"]: record.get("class_name") for record in json.loads(path.read_text())["annotations"]}
    return [by_id[source] for source in inputs.masks.source_ids]


def _ssa(data: str, variant: Variant) -> Pipeline:
    return load_ssa(str(PARITY / "models" / f"segformer-{data}"), torch.device(variant.device), variant.dtype)


def _engine(variant: Variant) -> Pipeline:
    return load_engine(parity_models(), torch.device(variant.device), variant.dtype)


def _trained_engine(variant: Variant) -> Pipeline:
    settings = dataclasses.asdict(load_preset("mini-engine").open_vocabulary)
    return load_engine(settings, torch.device(variant.device), variant.dtype)


@contextmanager
def _tf32(variant: Variant) -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = variant.tf32_convolutions
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _share(equal: Iterable[bool]) -> float:
    values = list(equal)
    return round(sum(values) / max(len(values), 1), 4)
