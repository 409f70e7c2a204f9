"""Enlarging and outlining, beside the dense way of segment_anything and transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything.utils.amg import batched_mask_to_box, calculate_stability_score
from torch.nn import functional
from transformers import Sam2ImageProcessor, SamImageProcessor

from fiftyone_ssa.models.lowres import Frame, Planes, _highest_near, stability_bound
from fiftyone_ssa.models.mask_windows import Windows, are_worth_it

FRAMES = [
    Frame((90, 131), (88, 128), 128, by_input=True),
    Frame((300, 40), (128, 17), 128, by_input=True),
    Frame((1, 200), (1, 128), 128, by_input=True),
    Frame((200, 1), (128, 1), 128, by_input=True),
    Frame((1, 1), (128, 128), 128, by_input=True),
    Frame((90, 131), (128, 128), 128, by_input=False),
    Frame((3, 400), (128, 128), 128, by_input=False),
]


def smooth_logits(count: int, cells: int = 32, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(count, 1, 9, 9, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(noise, (cells, cells), mode="bicubic")[:, 0] * 3 - 1


def plain(logits: torch.Tensor, frame: Frame) -> torch.Tensor:
    """(N, H, W) as transformers enlarges them."""
    if frame.by_input:
        return SamImageProcessor().post_process_masks(
            [logits[:, None]], [frame.size_hw], [frame.input_hw], binarize=False, pad_size={"height": 128, "width": 128}
        )[0][:, 0]
    return Sam2ImageProcessor().post_process_masks([logits[:, None]], [frame.size_hw], binarize=False)[0][:, 0]


@pytest.mark.parametrize("frame", FRAMES)
def test_enlarging_equals_transformers(frame: Frame) -> None:
    logits = smooth_logits(4)
    torch.testing.assert_close(frame.enlarge(logits).transpose(1, 2), plain(logits, frame), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [Planes, Windows])
@pytest.mark.parametrize("frame", FRAMES)
def test_outlines_equal_the_dense_masks(frame: Frame, kind: type[Planes] | type[Windows]) -> None:
    logits = torch.cat([smooth_logits(6), torch.full((1, 32, 32), -3.0), torch.full((1, 32, 32), 3.0)])
    dense = plain(logits, frame)
    scores = calculate_stability_score(dense, 0.0, 1.0)
    boxes = batched_mask_to_box(dense > 0)
    numbers, kept = kind(frame, 1.0).measure(logits)
    for outline, (above, below, *found), mask, score, box in zip(
        kind(frame, 1.0).outlines(kept), numbers.tolist(), dense, scores, boxes, strict=True
    ):
        drawn = np.zeros(frame.size_hw, np.bool_)
        for column, begin, end in zip(outline.columns[::2], outline.rows[::2], outline.rows[1::2], strict=True):
            drawn[begin:end, column] = True
        np.testing.assert_array_equal(drawn, (mask > 0).numpy())
        np.testing.assert_array_equal(outline.columns[::2], outline.columns[1::2])
        assert (above / below if below else float("nan")) == pytest.approx(score.item(), nan_ok=True)
        assert found == (box.tolist() if drawn.any() else [0, 0, -1, -1])


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("noisy", [False, True])
def test_no_stability_score_exceeds_its_bound(frame: Frame, noisy: bool) -> None:
    logits = torch.randn(40, 32, 32) * 2 if noisy else smooth_logits(40)
    exact = calculate_stability_score(plain(logits, frame), 0.0, 1.0).double()
    bound = stability_bound(logits, frame, 1.0)
    assert bool(((exact <= bound + 1e-6) | exact.isnan()).all())


def test_the_bound_rejects_what_is_far_from_stable() -> None:
    ramp = torch.linspace(-2, 2, 32).expand(1, 32, 32)
    assert stability_bound(ramp, FRAMES[0], 1.0).item() < 0.5


def test_every_pixel_has_its_cell() -> None:
    for frame in FRAMES:
        rows, columns = frame.pixels_per_cell((32, 32))
        assert (rows.sum(), columns.sum()) == frame.size_hw


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 5), (2, 5, 1), (3, 2, 2), (4, 7, 9)])
def test_highest_near_is_max_pooling(shape: tuple[int, int, int]) -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(size=shape))
    assert torch.equal(_highest_near(values), torch.nn.functional.max_pool2d(values[:, None], 3, 1, 1)[:, 0])


@pytest.mark.parametrize(
    "frame",
    [
        Frame((400, 451), (114, 128), 128, by_input=True),
        Frame((451, 400), (128, 128), 128, by_input=False),
        Frame((390, 1300), (39, 128), 128, by_input=True),
    ],
)
@pytest.mark.parametrize("offset", [0.0, 1.0, 2.5])
def test_a_part_of_an_image_is_the_whole_image_bit_by_bit(frame: Frame, offset: float) -> None:
    if not are_worth_it(frame, (32, 32)):
        pytest.skip("this processor does not fuse what torch's kernels fuse")
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    middles = torch.rand(24, 2, 1, 1, generator=torch.Generator().manual_seed(1)) * 40 - 4  # some outside
    away = (y - middles[:, 0]).hypot(x - middles[:, 1])
    radii = torch.linspace(0.3, 30, 24)[:, None, None]
    logits = torch.cat([(radii - away) * 3, smooth_logits(6), -smooth_logits(3), torch.full((1, 32, 32), offset)])
    whole, parts = Planes(frame, offset), Windows(frame, offset)
    (numbers, planes), (found, windows) = whole.measure(logits), parts.measure(logits)
    assert torch.equal(numbers, found)
    assert (numbers[:, 4] < 0).any()
    some = [index for index in range(len(logits)) if numbers[index, 4] >= 0]
    drawn = zip(whole.outlines([planes[i] for i in some]), parts.outlines([windows[i] for i in some]), strict=True)
    for outline, part in drawn:
        np.testing.assert_array_equal(outline.columns, part.columns)
        np.testing.assert_array_equal(outline.rows, part.rows)
    kept = sum(window.cells.numel() for window in windows)
    assert kept < 0.8 * logits.numel()
