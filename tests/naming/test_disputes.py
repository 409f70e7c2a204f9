"""What cells along borders say of masks that end where things end, and of others, through noise and blur."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fiftyone_ssa.naming.disputes import blur, disputed
from fiftyone_ssa.types import Floats, Ints

SIDE = 64


def things() -> Ints:
    """(64, 64) classes: discs of 1 to 5 before 0."""
    y, x = np.mgrid[:SIDE, :SIDE]
    found = np.zeros((SIDE, SIDE), np.int64)
    for index, (top, left, radius) in enumerate(((14, 14, 9), (16, 46, 11), (44, 12, 8), (48, 40, 12), (32, 30, 7))):
        found[(y - top) ** 2 + (x - left) ** 2 < radius**2] = index + 1
    return found


def seen(classes: Ints, noise: float = 0.0, enlarged: int = 1) -> npt.NDArray[np.float32]:
    """(C, h, w) probabilities of a segmenter that is right up to noise, cell by cell."""
    logits = 3 * np.moveaxis(np.eye(6)[classes], 2, 0) + noise * np.random.default_rng(0).normal(size=(6, SIDE, SIDE))
    values = torch.from_numpy(logits.astype(np.float32))[None]
    if enlarged > 1:
        values = torch.nn.functional.interpolate(values, scale_factor=enlarged, mode="bilinear")
    return np.asarray(values[0].softmax(0).numpy())


def dispute(owners: Ints, probabilities: npt.NDArray[np.float32]) -> float:
    """Of masks that are called what they hold most of."""
    by_cell = np.ascontiguousarray(probabilities.reshape(len(probabilities), -1).T)
    likeliest = by_cell.argmax(1).reshape(owners.shape)
    means: Floats = np.array([by_cell[(owners == index).ravel()].mean(0) for index in range(owners.max() + 1)])
    return disputed(owners, means.argmax(1) if len(means) else np.zeros(0, int), likeliest, by_cell)


@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_masks_that_end_elsewhere_are_disputed_and_noise_is_not(noise: float) -> None:
    probabilities = seen(things(), noise)
    there, grown = things(), things()
    for _ in range(3):  # a disc's neighbours in four directions become its own
        for step, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
            grown = np.where(grown == 0, np.roll(grown, step, axis), grown)
    good, grown_, moved = (dispute(owners, probabilities) for owners in (there, grown, np.roll(there, (5, 4), (0, 1))))
    assert good < 0.1
    assert grown_ > 3 * good
    assert moved > 0.5


def test_under_no_mask_a_cells_own_class_is_the_other_side() -> None:
    probabilities = seen(things())
    alone = things() - 1  # nobody's where class 0 is
    assert dispute(alone, probabilities) < 0.1
    assert dispute(np.roll(alone, 6, 1), probabilities) > 0.5


def test_a_segmenter_whose_scores_were_enlarged_is_asked_farther_from_borders() -> None:
    small, large = seen(things()), seen(things(), enlarged=4)
    reach = [blur(found.argmax(0), np.moveaxis(found, 0, 2).reshape(-1, 6)) for found in (small, large)]
    assert reach[0] == 2
    assert 2 < reach[1] <= 4 * SIDE // 16
    owners = things().repeat(4, 0).repeat(4, 1)
    assert dispute(owners, large) == pytest.approx(dispute(things(), small), abs=0.1)


def test_one_where_nothing_is_known() -> None:
    probabilities = seen(things())
    for owners in (np.zeros((SIDE, SIDE), int), np.full((SIDE, SIDE), -1)):
        assert dispute(owners, probabilities) == 1
    assert dispute(things()[:1, :1], probabilities[:, :1, :1]) == 1
