"""SSA's ADE20K preset on existing masks, with a random SegFormer-B5."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import _probes
from benchmarks._architectures import narrow, segformer
from benchmarks._cases import load_ssa
from benchmarks._gpu_pipelines import Subject
from benchmarks._scale import Scale
from benchmarks._sections import Figures
from fiftyone_ssa.naming.voting import refine, vote
from fiftyone_ssa.types import Inputs


def measure(figures: Figures, scale: Scale) -> None:
    """Build, measure, and take it apart: SSA has no stages, as votes are counted beside the next image's map."""
    folder = Path(scale.folder) / "segformer-ade20k"
    build = narrow if scale.rehearsed else segformer
    figures.measure("building", partial(build, folder, scale.device))
    subject = Subject(figures, scale, partial(load_ssa, str(folder)))
    subject.measure()
    figures.measure("apart", partial(apart, subject.pipeline, subject.images[0], subject))


def apart(ssa: Any, inputs: Inputs, subject: Subject) -> dict[str, float]:
    """Milliseconds of one image's map, its votes and its refined map, one after the other."""
    masks = inputs.masks
    assert masks is not None  # made up with masks
    segment, _, maps = _probes.timed(lambda: ssa.segmenter([inputs.image]), subject.device)
    count, _, votes = _probes.timed(lambda: vote(masks, maps[0]), subject.device)
    paint, _, _ = _probes.timed(lambda: refine(masks, votes.class_ids, maps[0]), subject.device)
    return {"map": round(segment * 1e3, 2), "votes": round(count * 1e3, 2), "refined": round(paint * 1e3, 2)}
