"""The rule that weighs masks by how much they contradict the segmenter, against a plain twin at the image's size."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.ndimage import binary_erosion
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.models.scores import ClassScores
from fiftyone_ssa.naming.auto_vote import auto_vote, temper
from fiftyone_ssa.naming.soft_voting import mean_probabilities
from fiftyone_ssa.types import MaskSet

SIZE_HW = (61, 83)
Dense = list[npt.NDArray[np.bool_]]


def upsampled(values: torch.Tensor, align: bool) -> npt.NDArray[np.float64]:
    found = torch.nn.functional.interpolate(values[None].double(), SIZE_HW, mode="bilinear", align_corners=align)
    return np.asarray(found[0].numpy())


def plain_temper(logs: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
    """The first temperature, searched in small steps, at which the doubt is a quarter."""

    def at(temperature: float) -> npt.NDArray[np.float64]:
        high = np.exp((logs - logs.max(0)) / temperature)
        return np.asarray(high / high.sum(0))

    low, high = 1e-3, 1e3
    while high / low > 1 + 1e-12:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if 1 - at(middle).max(0).mean() < 0.25 else (low, middle)
    return at(low), low


def plain_inner(owners: npt.NDArray[np.int64], index: int) -> npt.NDArray[np.bool_]:
    """Pixels around which, as far as the image goes, 5 x 5 belong to one mask."""
    return np.asarray(binary_erosion(owners == index, np.ones((5, 5)), border_value=1))


def plain_blur(p: npt.NDArray[np.float64]) -> int:
    """How far from each other two cells of two likeliest classes tell them apart by .4, from 2 cells on."""
    likeliest, (height, width) = p.argmax(0), p.shape[1:]
    most = max(2, min(height, width) // 16)
    for reach in (2, 3, 4, 6, 8, 11, 15):
        near = [
            p[likeliest[y, x], y, x] - p[likeliest[i, j], y, x]
            for y, x in np.ndindex(height, width)
            for i, j in ((y + reach, x), (y - reach, x), (y, x + reach), (y, x - reach))
            if 0 <= i < height and 0 <= j < width and likeliest[i, j] != likeliest[y, x]
        ]
        if reach >= most or not near or np.mean(near) >= 0.4:
            return min(reach, most)
    raise AssertionError("a grid of this size is not met here")


def plain_dispute(
    owners: npt.NDArray[np.int64], of_mask: npt.NDArray[np.int64], p: npt.NDArray[np.float64], align: bool
) -> float:
    """What cells along borders say for the other side, by what they say for their own: pair by pair."""
    own, other = 10.0, 10.0
    shape = p.shape[1:]
    middle = [
        [round(i * (n - 1) / (k - 1)) if align else int((i + 0.5) * n / k) for i in range(k)]
        for n, k in zip(owners.shape, shape, strict=True)
    ]
    reach = plain_blur(p)
    for y, x in np.ndindex(shape):
        for down, right in ((-reach, 0), (reach, 0), (0, -reach), (0, reach)):
            there = y + down, x + right
            if not (0 <= there[0] < shape[0] and 0 <= there[1] < shape[1]):
                continue
            (mask, mine), (neighbour, its) = (
                (owner, of_mask[owner] if owner >= 0 else p[:, i, j].argmax())
                for i, j in ((y, x), there)
                for owner in [owners[middle[0][i], middle[1][j]]]
            )
            if mask >= 0 and mask != neighbour and mine != its:
                more = p[mine, y, x] - p[its, y, x]
                own, other = own + max(more, 0), other + max(-more, 0)
    return float(other / own)


def plain_auto_vote(
    dense: Dense, masks: MaskSet, scores: ClassScores
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], float]:
    """Weights, map and firmness, with every array at the image's size."""
    align = scores.align_corners
    classes, height, width = scores.values.shape
    logs = scores.values.double().numpy()
    logs = logs if scores.logits else np.log(logs / logs.sum(0) + 1e-12)
    p, temperature = plain_temper(logs)
    pi = p.mean((1, 2))
    for c in set(range(classes)) - set(p.argmax(0).ravel().tolist()):
        p[c] = 0  # likeliest nowhere
    # the pixels' shares in every cell
    share = upsampled(torch.eye(height * width).reshape(height * width, height, width), align)
    full = share.sum((1, 2))
    cells = p.reshape(classes, -1)
    means, sizes, order = np.zeros((len(dense), classes)), np.zeros(len(dense)), masks.order_by_area().tolist()
    owners = np.full(SIZE_HW, -1)
    for index in order:
        owners[dense[index]] = index
    own = means.copy()
    owned = np.array([(owners == index).sum() for index in range(len(dense))])
    for index, mask in enumerate(dense):
        if mask.any():
            weight = share[:, mask].sum(1)
            sizes[index] = weight.sum() / full.mean()
            own[index] = means[index] = cells @ (weight**2 / full) / (weight**2 / full).sum()
            if owned[index]:
                inner = plain_inner(owners, index)
                mine = share[:, inner if inner.sum() >= 30 else owners == index].sum(1)
                own[index] = cells @ (mine**2 / full) / (mine**2 / full).sum()
    firm = 8 / (1 + (plain_dispute(owners, own.argmax(1), p, align) / 0.14) ** 4)
    leant = means.copy()
    for rank, index in enumerate(order):
        holding = [i for i in order[:rank] if (dense[i] & dense[index]).sum() >= 0.8 * dense[index].sum()]
        if holding and dense[index].any():
            leant[index] = (sizes[index] * means[index] + 4 * leant[holding[-1]]) / (sizes[index] + 4)
    full_size = upsampled(scores.values, align)
    pixel = full_size if scores.logits else np.log(full_size)
    ids = pixel.argmax(0)
    owned_cells = owned[:, None] / full.mean()
    mixed = (owned_cells * own + 4 * leant) / (owned_cells + 4)
    pi = np.maximum(pi, 1 / classes)
    for index in np.unique(owners[owners >= 0]) if firm >= 0.03 else []:
        prior = firm * (np.log(np.maximum(mixed[index], 1e-12)) - 0.25 * np.log(pi))
        ids[owners == index] = (pixel / temperature + prior[:, None, None]).argmax(0)[owners == index]
    return leant / pi**0.25, ids, firm


def truth_of(dense: Dense) -> npt.NDArray[np.int64]:
    """The classes of a scene: small blobs lie over large ones, parts are of their blob's class."""
    truth = np.zeros(SIZE_HW, np.int64)
    for index in sorted(range(2, len(dense), 2), key=lambda index: -int(dense[index].sum())):
        truth[dense[index]] = index // 2 % 6
    return truth


def scene(seed: int, logits: bool, align: bool, noise: float) -> tuple[Dense, MaskSet, ClassScores]:
    """Blobs, parts in them, and a segmenter that sees them through noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    dense = [np.ones(SIZE_HW, bool), np.zeros(SIZE_HW, bool)]
    for _ in range(12):
        top, left, radius = rng.integers(SIZE_HW[0]), rng.integers(SIZE_HW[1]), rng.integers(4, 20)
        dense += [(y - top) ** 2 + (x - left) ** 2 < r**2 for r in (radius, radius // 2)]
    rough = torch.nn.functional.one_hot(torch.from_numpy(truth_of(dense)), 6).permute(2, 0, 1).float()
    values = torch.nn.functional.interpolate(rough[None], (9, 12), mode="area")[0] * 5
    values += noise * torch.from_numpy(rng.normal(size=(6, 9, 12)).astype(np.float32))
    scores = ClassScores(values if logits else values.softmax(0) * 2, tuple("abcdef"), SIZE_HW, logits, align)
    return dense, mask_set(SIZE_HW, list(map(encode, dense))), scores


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("noise", [0.1, 1.0, 4.0])
def test_equals_the_plain_twin(noise: float, logits: bool, align: bool) -> None:
    dense, masks, scores = scene(1, logits, align, noise)
    weights, semantic, _ = auto_vote(masks, scores)
    expected, ids, _ = plain_auto_vote(dense, masks, scores)
    np.testing.assert_allclose(weights, expected, rtol=2e-4, atol=1e-7)
    np.testing.assert_array_equal(semantic.ids, ids)
    assert not weights[1].any()


def test_good_masks_decide_and_bad_ones_do_not() -> None:
    dense, masks, scores = scene(1, True, False, 0.1)
    scrambled = mask_set(SIZE_HW, [encode(np.roll(mask, (17, 31), (0, 1)) | mask) for mask in dense[2:]])
    branch, truth = scores.semantic_map().ids, truth_of(dense)
    alone, good, bad = (
        float((ids == truth).mean())
        for ids in (branch, auto_vote(masks[2:], scores)[1].ids, auto_vote(scrambled, scores)[1].ids)
    )
    assert good > alone + 0.04
    assert bad > alone - 0.01
    np.testing.assert_array_equal(auto_vote(masks[:1], scores)[1].ids, branch)  # one mask over everything has no say


@pytest.mark.parametrize("temperature", [0.25, 0.5, 2.0, 4.0])
def test_how_sure_the_segmenter_is_makes_no_difference(temperature: float) -> None:
    _, masks, scores = scene(2, True, False, 1.0)
    weights, semantic, _ = auto_vote(masks, scores)
    other_weights, other, _ = auto_vote(masks, replace(scores, values=scores.values / temperature))
    np.testing.assert_array_equal(semantic.ids, other.ids)
    np.testing.assert_allclose(weights, other_weights, rtol=1e-4)


def test_a_class_that_is_the_likeliest_nowhere_is_no_masks() -> None:
    values = torch.full((3, 8, 8), -9.0)
    values[0, :, :4], values[1, :, 4:] = 0, 0
    values[2, :, 3:5] = -0.2  # between the two, second everywhere, and seldom: the prior makes most of it
    scores = ClassScores(values, ("left", "right", "edge"), (8, 8), logits=True)
    edge = np.zeros((8, 8), bool)
    edge[:, 3:5] = True
    weights, semantic, _ = auto_vote(mask_set((8, 8), [encode(edge)]), scores)
    assert weights[0, 2] == 0
    assert set(np.unique(semantic.ids)) <= {0, 1}


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_segmenter_that_tells_nothing_makes_no_class_sure(value: float) -> None:
    scores = ClassScores(torch.full((4, 6, 8), value), tuple("abcd"), (6, 8), logits=False)
    weights, _, _ = auto_vote(mask_set((6, 8), [encode(np.ones((6, 8), bool))]), scores)
    np.testing.assert_allclose(weights / weights.sum(), 0.25)


def test_no_class_counts_as_rarer_than_if_all_were_as_frequent() -> None:
    values = torch.full((4, 10, 10), -20.0)
    values[0], values[1, 0, 0] = 0, 3  # 1 of 100 cells, which a quarter of four classes is not
    scores = ClassScores(values, tuple("abcd"), (10, 10), logits=True)
    whole = mask_set((10, 10), [encode(np.ones((10, 10), bool))])
    tempered, _ = temper(scores)
    lifted = auto_vote(whole, scores)[0][0] / tempered.mean((1, 2), dtype=np.float64)
    assert lifted[1] / lifted[0] == pytest.approx((tempered[0].mean() / 0.25) ** 0.25, rel=1e-4)


def test_doubt_is_a_quarter() -> None:
    _, _, scores = scene(3, True, False, 1.0)
    probabilities, temperature = temper(scores)
    assert 1 - probabilities.max(0).mean() == pytest.approx(0.25, abs=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(0), scores.values.argmax(0).numpy())
    assert temperature > 0


def test_a_part_leans_on_its_whole() -> None:
    """A part of one cell that looks like something else is what its whole is; on its own it is not."""
    values = torch.full((3, 8, 8), -2.0)
    values[0], values[1, 2:6, 2:6], values[2, 4, 4], values[0, 2:6, 2:6] = 1.0, 2.0, 2.6, -2.0
    scores = ClassScores(values, ("around", "whole", "part"), (64, 64), logits=True)
    whole, part = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    whole[16:48, 16:48], part[32:40, 32:40] = True, True
    alone, both = mask_set((64, 64), [encode(part)]), mask_set((64, 64), [encode(whole), encode(part)])
    assert auto_vote(alone, scores)[0].argmax(1).tolist() == [2]
    assert auto_vote(both, scores)[0].argmax(1).tolist() == [1, 1]


@pytest.mark.parametrize("count", [0, 1])
def test_no_masks_and_one_class(count: int) -> None:
    scores = ClassScores(torch.zeros((1, 3, 4)), ("all",), (6, 8), logits=True)
    weights, semantic, _ = auto_vote(mask_set((6, 8), [encode(np.ones((6, 8), bool))] * count), scores)
    assert weights.shape == (count, 1)
    assert not semantic.ids.any()


def test_small_images_of_averaged_grids() -> None:
    """OneFormer's grid may be finer than the image."""
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.random((4, 32, 32)).astype(np.float32))
    scores = ClassScores(values, tuple("abcd"), (9, 11), logits=False, antialias=True)
    mask = np.zeros((9, 11), bool)
    mask[2:7, 3:9] = True
    masks = mask_set((9, 11), [encode(mask)])
    weights, semantic, _ = auto_vote(masks, scores)
    assert semantic.size_hw == (9, 11)
    outside = ~mask
    np.testing.assert_array_equal(semantic.ids[outside], scores.semantic_map().ids[outside])
    assert mean_probabilities(masks, scores.probabilities(), align_corners=False).shape == weights.shape


def test_no_array_of_all_classes_at_the_images_size() -> None:
    rng = np.random.default_rng(0)
    size_hw, classes = (384, 384), 200
    values = torch.from_numpy(rng.normal(size=(classes, 48, 48)).astype(np.float32))
    y, x = np.mgrid[:384, :384]
    dense = [(y - top) ** 2 + (x - left) ** 2 < 90**2 for top, left in rng.integers(384, size=(6, 2))]
    masks = mask_set(size_hw, list(map(encode, dense)))
    whole = classes * size_hw[0] * size_hw[1]
    scores = ClassScores(values, tuple(map(str, range(classes))), size_hw, logits=True)
    with Largest() as largest:
        auto_vote(masks, scores)
    tracemalloc.start()
    auto_vote(masks, scores)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0 < largest.numbers < whole / 8
    assert peak < whole / 4  # bytes of NumPy's at once: not even one for four classes of a pixel


class Largest(TorchDispatchMode):
    """How many numbers the largest tensor holds that torch makes meanwhile."""

    numbers = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        self.numbers = max([self.numbers, *(t.numel() for t in tree_leaves(made) if isinstance(t, torch.Tensor))])
        return made
