"""Votes on coarse probabilities, against the plain twin that upsamples them to the image first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.naming import soft_voting
from fiftyone_ssa.naming.soft_voting import mean_probabilities
from fiftyone_ssa.types import MaskSet

Dense = list[npt.NDArray[np.bool_]]


def scene(size_hw: tuple[int, int]) -> tuple[Dense, MaskSet, npt.NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    height, width = size_hw
    probabilities = rng.random((7, 9, 12)).astype(np.float32) ** 3
    y, x = np.mgrid[:height, :width]
    dense = [
        (x - rng.integers(width)) ** 2 / rng.integers(4, 900) + (y - rng.integers(height)) ** 2 / rng.integers(4, 900)
        < 1
        for _ in range(20)
    ]
    dense += [np.ones(size_hw, bool), np.zeros(size_hw, bool)]
    masks = mask_set(size_hw, list(map(encode, dense)), predicted_iou=rng.random(22), stability_score=rng.random(22))
    return dense, masks, probabilities / probabilities.sum(0)


def upsampled(probabilities: npt.NDArray[np.float32], size_hw: tuple[int, int], align: bool) -> npt.NDArray[np.float32]:
    tensor = torch.from_numpy(probabilities)[None]
    return torch.nn.functional.interpolate(tensor, size_hw, mode="bilinear", align_corners=align)[0].numpy()


def eroded(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Pixels whose 5 x 5 neighbourhood, as far as it lies in the image, is all mask."""
    height, width = mask.shape
    return np.array(
        [[mask[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].all() for x in range(width)] for y in range(height)]
    )


@pytest.fixture(params=[50, 1 << 20], ids=["narrow bands", "one band"], autouse=True)
def band(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soft_voting, "BAND_PX", request.param)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("core", [False, True])
@pytest.mark.parametrize("size_hw", [(61, 83), (5, 7)])
def test_means_are_those_of_upsampled_probabilities(size_hw: tuple[int, int], core: bool, align: bool) -> None:
    dense, masks, probabilities = scene(size_hw)
    full = upsampled(probabilities, size_hw, align)
    means = mean_probabilities(masks, probabilities, align_corners=align, core=core)
    for mask, mean in zip(dense, means, strict=True):
        inside = eroded(mask) if core else mask
        inside = inside if inside.sum() >= 30 or not core else mask
        np.testing.assert_allclose(mean, full[:, inside].mean(1) if inside.any() else 0, atol=1e-6)
