"""How much of a mask each cell of a grid serves, against a dense twin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fiftyone_ssa.masks import grids
from fiftyone_ssa.masks.grids import Grid
from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.masks.runs import runs_of


def plain_served(
    mask: npt.NDArray[np.bool_], shape_hw: tuple[int, int], align_corners: bool
) -> npt.NDArray[np.float64]:
    """Each cell alone at 1, upsampled to the image and summed under the mask."""
    cells = torch.eye(shape_hw[0] * shape_hw[1], dtype=torch.float64).reshape(1, -1, *shape_hw)
    shares = torch.nn.functional.interpolate(cells, mask.shape, mode="bilinear", align_corners=align_corners)
    return np.asarray(shares[0][:, torch.from_numpy(mask)].sum(1).numpy())


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("pieces", [1, 40, 1 << 20])
@pytest.mark.parametrize(("size_hw", "shape_hw"), [((31, 42), (5, 7)), ((5, 6), (8, 9)), ((12, 1), (3, 1))])
def test_cells_serve_what_the_dense_mask_takes_of_them(
    size_hw: tuple[int, int],
    shape_hw: tuple[int, int],
    pieces: int,
    align_corners: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grids, "PIECES", pieces)
    rng = np.random.default_rng(0)
    noise, corner, whole = rng.random(size_hw) < 0.4, np.zeros(size_hw, bool), np.ones(size_hw, bool)
    noise[-1, -1] = corner[-1, -1] = True
    grid = Grid.over(size_hw, shape_hw, align_corners)
    runs = runs_of(mask_set(size_hw, [encode(mask) for mask in (noise, corner, whole)]))
    for index, mask in enumerate((noise, corner, whole)):
        cells, served = grid.served(*runs[index])
        found = np.zeros(shape_hw[0] * shape_hw[1])
        found[cells] = served
        np.testing.assert_allclose(found, plain_served(mask, shape_hw, align_corners), atol=1e-4)
    np.testing.assert_allclose(found, grid.full.ravel(), atol=1e-4)
