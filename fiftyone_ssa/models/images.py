"""Images on the device, brought there once for all models that look at them, and as a processor shapes them."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from fiftyone_ssa.models.devices import upload
from fiftyone_ssa.types import Image

_THERE: dict[tuple[int, torch.device], tuple[weakref.ref[Image], torch.Tensor]] = {}


def images_on(images: Sequence[Image], device: torch.device) -> list[torch.Tensor]:
    """Each (H, W, 3) uint8 image as a tensor on `device`; those that are new there share one storage and one copy.

    What was brought is kept as long as the image is.
    """
    if device.type == "cpu":
        return [torch.from_numpy(np.ascontiguousarray(image)) for image in images]
    new = {id(image): image for image in images if not _is_there(image, device)}
    if new:
        flat = upload(np.concatenate([image.reshape(-1) for image in new.values()]), device)
        parts = torch.split(flat, [image.size for image in new.values()])
        for (key, image), part in zip(new.items(), parts, strict=True):
            _THERE[key, device] = weakref.ref(image), part.view(image.shape)
            weakref.finalize(image, _THERE.pop, (key, device), None)
    return [_THERE[id(image), device][1] for image in images]


def processed(
    processor: Any, images: Sequence[torch.Tensor], device: torch.device, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """What a Hugging Face image processor makes of (h, w, 3) uint8 images, on `device`, its fractions as `dtype`."""
    # the data format is named: an image 1 or 3 pixels high would be taken for channels otherwise
    inputs = processor(
        images=[image.permute(2, 0, 1) for image in images], input_data_format="channels_first", return_tensors="pt"
    )
    return {key: value.to(device, dtype if value.is_floating_point() else None) for key, value in inputs.items()}


def _is_there(image: Image, device: torch.device) -> bool:
    known = _THERE.get((id(image), device))
    return known is not None and known[0]() is image
