"""Many crops at once, as torch resizes each of them."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import interpolate
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

from fiftyone_ssa.models import resizing
from fiftyone_ssa.models.resizing import Resizing


@pytest.fixture
def crops() -> list[torch.Tensor]:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (2, 400, 500, 3), dtype=torch.uint8)
    apart = torch.randint(0, 256, (9, 20, 3), dtype=torch.uint8)
    a, b = images
    return [a[10:200, 5:300], b[:3, 2:400], b[100:101, 7:8], apart[1:, 2:], a, b[50:90, 3:20], apart]


@pytest.mark.parametrize("limit", [1 << 25, 60_000])
@pytest.mark.parametrize(("bicubic", "antialias"), [(False, True), (True, True), (False, False)])
def test_crops_are_resized_as_one_by_one(
    bicubic: bool, antialias: bool, limit: int, crops: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resizing, "PIXELS_AT_A_TIME", limit)
    found = Resizing((96, 64), bicubic=bicubic, antialias=antialias)(crops)
    for crop, square in zip(crops, found, strict=True):
        mode = "bicubic" if bicubic else "bilinear"
        expected = interpolate(crop.permute(2, 0, 1)[None].float(), (96, 64), mode=mode, antialias=antialias)[0]
        torch.testing.assert_close(square, expected, rtol=0, atol=5e-3)  # of 255


def test_a_turned_view_is_gathered_too(crops: list[torch.Tensor]) -> None:
    turned = [crop.transpose(0, 1) for crop in crops[:2]]
    for crop, square in zip(turned, Resizing((20, 30))(turned), strict=True):
        torch.testing.assert_close(square, Resizing((20, 30))([crop.contiguous()])[0])


def test_the_middle_of_a_crop_in_its_proportions(crops: list[torch.Tensor]) -> None:
    found = Resizing((48, 48), bicubic=True, keep_ratio=True)(crops)
    steps = [Resize(48, InterpolationMode.BICUBIC, antialias=True), CenterCrop(48)]
    for crop, square in zip(crops, found, strict=True):
        expected = crop.permute(2, 0, 1).float()
        for step in steps:
            expected = step(expected)
        torch.testing.assert_close(square, expected, rtol=0, atol=5e-3)
