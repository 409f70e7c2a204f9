"""The class map made tile by tile, against one interpolation of everything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fiftyone_ssa.masks.grids import AxisSources, axis_sources
from fiftyone_ssa.models import scores as module
from fiftyone_ssa.models.scores import ClassScores

SHAPES = [((150, 32, 32), (150, 227)), ((19, 32, 40), (213, 320)), ((5, 40, 40), (20, 31)), ((3, 1, 1), (7, 9))]
SHAPES += [((4, 8, 8), (1, 5)), ((300, 9, 9), (50, 60))]


@pytest.mark.parametrize(("grid", "size_hw"), SHAPES)
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("tile_bytes", [1 << 16, 64 << 20])
@pytest.mark.parametrize("leads", [0.0, 0.5, 3.0])  # none; a class alone in some tiles; one alone in all
def test_map_is_interpolate_and_argmax(
    grid: tuple[int, int, int],
    size_hw: tuple[int, int],
    align: bool,
    tile_bytes: int,
    leads: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TILE_BYTES", tile_bytes)
    values = torch.randn(grid, generator=torch.Generator().manual_seed(0))
    values[grid[0] // 2] += 2 * leads
    values[0, :, : grid[2] // 2] += 3 * leads
    names = tuple(map(str, range(grid[0])))
    answer = ClassScores(values, names, size_hw, logits=True, align_corners=align).semantic_map()
    full = torch.nn.functional.interpolate(values[None], size_hw, mode="bilinear", align_corners=align)[0]
    np.testing.assert_array_equal(answer.ids, full.argmax(0).numpy())
    assert answer.ids.dtype == (np.uint8 if grid[0] <= 255 else np.uint16)
    monkeypatch.setattr(module, "DEVICE_TILE_BYTES", tile_bytes)
    monkeypatch.setattr(ClassScores, "dense", True)  # as a GPU does it
    dense = ClassScores(values, names, size_hw, logits=True, align_corners=align).semantic_map()
    differ = answer.ids != dense.ids
    two = full.topk(2, 0).values[:, torch.from_numpy(differ)]
    assert ((two[0] - two[1]) < 1e-4).all()  # places are rounded otherwise
    assert differ.mean() < 0.001


def test_a_map_that_does_not_fit_is_made_in_smaller_tiles(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scores = ClassScores(torch.rand((7, 20, 24)), tuple("abcdefg"), (900, 1300), logits=True)
    expected = scores.semantic_map().ids
    enlarge, room = ClassScores._enlarged, 5 << 20

    def scarce(scores: ClassScores, y: AxisSources, x: AxisSources, *more: Any) -> torch.Tensor:
        if 4 * len(scores.names) * len(y.low) * len(x.low) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return enlarge(scores, y, x, *more)

    monkeypatch.setattr(ClassScores, "dense", True)
    monkeypatch.setattr(ClassScores, "_enlarged", scarce)
    assert (scores.semantic_map().ids == expected).mean() > 0.999
    assert "going on with tiles of 4 MB" in caplog.text
    room = 100
    with pytest.raises(torch.OutOfMemoryError):
        scores.semantic_map()


def test_antialias_averages_where_the_image_is_smaller_than_the_grid() -> None:
    values = torch.randn((6, 40, 40), generator=torch.Generator().manual_seed(0))
    answer = ClassScores(values, tuple("abcdef"), (11, 90), logits=False, antialias=True).semantic_map()
    full = torch.nn.functional.interpolate(values[None], (11, 90), mode="bilinear", antialias=True)[0]
    np.testing.assert_array_equal(answer.ids, full.argmax(0).numpy())


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("strength", [0.0, 1.0, 30.0])
def test_priors_of_masks_are_added_before_the_argmax(logits: bool, strength: float) -> None:
    rng = np.random.default_rng(0)
    values, size_hw = torch.rand((30, 20, 24), generator=torch.Generator().manual_seed(0)), (130, 180)
    owners = np.repeat(np.repeat(rng.integers(-1, 40, (26, 36)), 5, 0), 5, 1)
    priors = strength * rng.normal(size=(40, 30))
    scores = ClassScores(values, tuple(map(str, range(30))), size_hw, logits=logits)
    full = torch.nn.functional.interpolate(values[None], size_hw, mode="bilinear")[0].numpy()
    added = np.vstack([priors, np.zeros((1, 30))])[owners].transpose(2, 0, 1)
    expected = ((full if logits else np.log(full)) + added).argmax(0)
    np.testing.assert_array_equal(scores.semantic_map(owners, priors).ids, expected)
    rows, columns = axis_sources(20, 130, False), axis_sources(24, 180, False)
    dense = scores._enlarged(rows, columns, owners, scores._changes(priors))  # as a GPU does it
    np.testing.assert_array_equal(dense.argmax(0).numpy(), expected)


def test_ties_go_to_the_lowest_id() -> None:
    answer = ClassScores(torch.ones(3, 2, 2), tuple("abc"), (4, 4), logits=True).semantic_map()
    assert not answer.ids.any()


def test_probabilities_sum_to_one() -> None:
    values = torch.rand((4, 3, 5), generator=torch.Generator().manual_seed(0))
    for logits in (False, True):
        shares = ClassScores(values, tuple("abcd"), (9, 9), logits=logits).probabilities()
        np.testing.assert_allclose(shares.sum(0), 1, atol=1e-6)
        assert shares.argmax(0).tolist() == values.argmax(0).tolist()
