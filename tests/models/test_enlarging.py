"""Enlarging as torch does it, and patches without enlarging."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate as torch_interpolate

from fiftyone_ssa.models import enlarging
from fiftyone_ssa.models.enlarging import EnlargedPatches, interpolate, sources

CPU = torch.device("cpu")
SIZES = [(1, 1), (1, 3), (3, 1), (7, 40), (130, 61), (64, 64), (100, 200)]


@pytest.mark.parametrize("size_hw", SIZES)
@pytest.mark.parametrize("some", [1, 1 << 20])
@pytest.mark.parametrize(("patch", "bias"), [(8, False), (14, True)])
def test_patches_are_those_of_the_enlarged_crop(
    size_hw: tuple[int, int], some: int, patch: int, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enlarging, "KERNELS_AT_A_TIME", some)
    torch.manual_seed(0)
    embed = nn.Conv2d(3, 5, patch, patch, bias=bias).requires_grad_(False)
    scale, shift = torch.rand(2, 3, 1, 1)
    crop = torch.randint(0, 256, (*size_hw, 3), dtype=torch.uint8)
    square = torch_interpolate(crop.permute(2, 0, 1)[None].float() / 255, (64, 64), mode="bilinear")
    expected = embed(square * scale + shift).flatten(2).mT
    image = torch.randint(0, 256, (size_hw[0] + 9, size_hw[1] + 5, 3), dtype=torch.uint8)
    image[4 : 4 + size_hw[0], 2 : 2 + size_hw[1]] = crop
    place = (2, 4, 2 + size_hw[1], 4 + size_hw[0])
    found = EnlargedPatches(embed, 64, scale / 255, shift)(image, image.transpose(0, 1).contiguous(), place)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size_hw", SIZES)
def test_interpolation_is_torchs(size_hw: tuple[int, int]) -> None:
    torch.manual_seed(0)
    image = torch.rand(2, *size_hw)
    rows, columns = (sources(90, 5, 80, cells, CPU) for cells in size_hw)
    expected = torch_interpolate(image[None], (90, 90), mode="bilinear")[0, :, 5:80, 5:80]
    torch.testing.assert_close(interpolate(image.mT.contiguous(), rows, columns), expected, rtol=1e-4, atol=1e-5)
