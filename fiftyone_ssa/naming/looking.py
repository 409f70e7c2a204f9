"""What the class filter sees in masks that are there already, without naming them: the engine's first look, alone."""

from __future__ import annotations

import numpy as np

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models.class_filter import load_class_filter
from fiftyone_ssa.models.devices import pick_device, pick_dtype, upload
from fiftyone_ssa.naming.candidates import Candidate, embeddings_of
from fiftyone_ssa.presets import Preset
from fiftyone_ssa.types import Annotation, Inputs, MaskSet, Proposals


class Looker:
    """A pipeline whose annotations hold embeddings and no name; the vectors are those that the engine would keep."""

    def __init__(self, preset: Preset, *, device: str = "auto", dtype: str = "auto") -> None:
        """Loads the class filter of an engine preset. Raises InputError if it cannot be loaded, with what to do."""
        if preset.pipeline != "engine":
            raise InputError(f"only an engine preset has a class filter that looks at masks; {preset.name} is for SSA")
        self._device = pick_device(device)
        self._scale = preset.open_vocabulary.filter_scale
        self._filter = load_class_filter(
            preset.open_vocabulary.class_filter, self._device, pick_dtype(dtype, self._device)
        )

    def __call__(self, batch: list[Inputs]) -> list[Annotation]:
        """Annotations of a batch, in order."""
        sets = [inputs.masks or MaskSet.empty(inputs.image.shape[:2]) for inputs in batch]
        groups = []
        for inputs, masks in zip(batch, sets, strict=True):
            image = upload(np.ascontiguousarray(inputs.image), self._device)
            groups.append([Candidate(image, masks, int(index)) for index in np.flatnonzero(masks.areas_px)])
        found = self._filter.images([[candidate.crop(self._scale) for candidate in group] for group in groups])
        for group, looks in zip(groups, found, strict=True):
            for candidate, look in zip(group, looks, strict=True):
                candidate.look = look
        return [_unnamed(masks, group) for masks, group in zip(sets, groups, strict=True)]


def _unnamed(masks: MaskSet, group: list[Candidate]) -> Annotation:
    count = len(masks)
    return Annotation(
        masks=masks,
        labels=(None,) * count,
        confidences=np.zeros(count),
        proposals=(Proposals(),) * count,
        embeddings=embeddings_of(count, group),
    )
