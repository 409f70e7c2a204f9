"""Enlarging and outlining, beside the dense way of segment_anything and transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything.utils.amg import batched_mask_to_box, calculate_stability_score
from torch.nn import functional
from transformers import Sam2ImageProcessor, SamImageProcessor

from fiftyone_ssa.models.lowres import Frame, _highest_near, outlines, stability_bound

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


@pytest.mark.parametrize("frame", FRAMES)
def test_outlines_equal_the_dense_masks(frame: Frame) -> None:
    logits = torch.cat([smooth_logits(6), torch.full((1, 32, 32), -3.0), torch.full((1, 32, 32), 3.0)])
    dense = plain(logits, frame)
    scores = calculate_stability_score(dense, 0.0, 1.0)
    boxes = batched_mask_to_box(dense > 0)
    for outline, mask, score, box in zip(outlines(logits, frame, 1.0), dense, scores, boxes, strict=True):
        drawn = np.zeros(frame.size_hw, np.bool_)
        for column, begin, end in zip(outline.columns[::2], outline.rows[::2], outline.rows[1::2], strict=True):
            drawn[begin:end, column] = True
        np.testing.assert_array_equal(drawn, (mask > 0).numpy())
        np.testing.assert_array_equal(outline.columns[::2], outline.columns[1::2])
        assert outline.stability_score == pytest.approx(score.item(), nan_ok=True)
        if drawn.any():
            assert outline.box_xyxy.tolist() == box.tolist()


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
