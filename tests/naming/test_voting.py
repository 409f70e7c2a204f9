"""Votes and painting on runs, against the plain twin on pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.naming import voting
from fiftyone_ssa.naming.voting import refine, vote
from fiftyone_ssa.types import MaskSet, SemanticMap, Votes

Dense = list[npt.NDArray[np.bool_]]


def scene(seed: int, size_hw: tuple[int, int], classes: int) -> tuple[Dense, SemanticMap]:
    """Blobs over blobs, with an empty mask, a full one, a twin pair and some ignored pixels."""
    rng = np.random.default_rng(seed)
    height, width = size_hw
    y, x = np.mgrid[:height, :width]
    dense = [
        ((x - rng.integers(width)) / rng.integers(1, width + 1)) ** 2
        + ((y - rng.integers(height)) / rng.integers(1, height + 1)) ** 2
        < rng.random()
        for _ in range(12)
    ]
    dense += [np.zeros(size_hw, bool), np.ones(size_hw, bool), dense[0].copy(), rng.random(size_hw) < 0.5]
    ids = rng.integers(0, classes, (height // 7 + 1, width // 7 + 1)).repeat(7, 0).repeat(7, 1)[:height, :width]
    dtype = np.uint8 if classes <= 255 else np.uint16
    ids = ids.astype(dtype)
    ids[rng.random(size_hw) < 0.1] = np.iinfo(dtype).max
    return dense, SemanticMap(ids, tuple(map(str, range(classes))))


def encoded(dense: Dense) -> MaskSet:
    return mask_set(dense[0].shape, [encode(mask) for mask in dense])


def plain_vote(dense: Dense, semantic: SemanticMap) -> Votes:
    ids, shares, margins, entropies = [], [], [], []
    for mask in dense:
        pixels = semantic.ids[mask]
        pixels = pixels[pixels != semantic.ignore_id]
        counts = np.bincount(pixels, minlength=len(semantic.names)) if len(pixels) else np.zeros(len(semantic.names))
        part = np.sort(counts / max(counts.sum(), 1))[::-1]
        ids.append(int(counts.argmax()) if len(pixels) else -1)
        shares.append(part[0])
        margins.append(part[0] - (part[1] if len(part) > 1 else 0))
        entropies.append(-sum(p * np.log(p) for p in part if p > 0))
    return Votes(np.array(ids), np.array(shares), np.array(margins), np.array(entropies))


def plain_refine(dense: Dense, class_ids: npt.NDArray[np.int64], semantic: SemanticMap) -> npt.NDArray[np.integer]:
    ids = semantic.ids.copy()
    for index in sorted(range(len(dense)), key=lambda i: -dense[i].sum()):
        if class_ids[index] >= 0:
            ids[dense[index]] = class_ids[index]
    return ids


@pytest.mark.parametrize("size_hw", [(40, 61), (61, 40), (1, 50), (50, 1), (1, 1)])
@pytest.mark.parametrize("classes", [1, 5, 300])
def test_equal_to_the_plain_twin(size_hw: tuple[int, int], classes: int) -> None:
    dense, semantic = scene(3, size_hw, classes)
    votes, plain = vote(encoded(dense), semantic), plain_vote(dense, semantic)
    np.testing.assert_array_equal(votes.class_ids, plain.class_ids)
    for name in ("shares", "margins", "entropies"):
        np.testing.assert_allclose(getattr(votes, name), getattr(plain, name), atol=1e-12)
    refined = refine(encoded(dense), votes.class_ids, semantic)
    np.testing.assert_array_equal(refined.ids, plain_refine(dense, votes.class_ids, semantic))


def test_noise_is_counted_in_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    dense, semantic = scene(5, (30, 40), 4)
    whole = vote(encoded(dense), semantic)
    monkeypatch.setattr(voting, "PIECES", 7)
    np.testing.assert_array_equal(vote(encoded(dense), semantic).shares, whole.shares)


def test_a_tie_goes_to_the_lowest_id_and_a_small_mask_over_a_large_one() -> None:
    semantic = SemanticMap(np.array([[2, 2, 1, 1], [0, 0, 0, 0]], np.uint8), ("a", "b", "c"))
    top, all_of_it = np.zeros((2, 4), bool), np.ones((2, 4), bool)
    top[0] = True
    votes = vote(encoded([top, all_of_it]), semantic)
    assert votes.class_ids.tolist() == [1, 0]
    assert votes.shares.tolist() == [0.5, 0.5]
    assert votes.margins.tolist() == [0.0, 0.25]
    assert votes.entropies[0] == pytest.approx(np.log(2))
    assert refine(encoded([top, all_of_it]), votes.class_ids, semantic).ids.tolist() == [[1] * 4, [0] * 4]


def test_equal_areas_are_painted_in_their_order() -> None:
    semantic = SemanticMap(np.array([[0, 0, 1, 1, 1]], np.uint8), ("a", "b"))
    left, right = np.array([[True, True, True, False, False]]), np.array([[False, False, True, True, True]])
    for first, second, expected in ((left, right, [0, 0, 1, 1, 1]), (right, left, [0, 0, 0, 1, 1])):
        masks = encoded([first, second])
        assert refine(masks, vote(masks, semantic).class_ids, semantic).ids.tolist() == [expected]


def test_an_empty_mask_and_one_over_ignored_pixels_have_no_class() -> None:
    semantic = SemanticMap(np.array([[255, 255, 0]], np.uint8), ("a",))
    masks = encoded([np.zeros((1, 3), bool), np.array([[True, True, False]])])
    votes = vote(masks, semantic)
    assert votes.class_ids.tolist() == [-1, -1]
    assert votes.shares.tolist() == votes.margins.tolist() == votes.entropies.tolist() == [0, 0]
    assert refine(masks, votes.class_ids, semantic).ids.tolist() == [[255, 255, 0]]


def test_no_masks() -> None:
    semantic = SemanticMap(np.zeros((3, 4), np.uint8), ("a",))
    assert len(vote(MaskSet.empty((3, 4)), semantic)) == 0
    assert refine(MaskSet.empty((3, 4)), np.zeros(0, np.int64), semantic).ids.tolist() == semantic.ids.tolist()


def test_best_classes_are_ranked_by_share_and_leave_out_what_got_nothing() -> None:
    weights = np.array([[1.0, 6.0, 2.0, 1.0], [0, 0, 0, 0], [0, 5, 0, 0], [2, 2, 2, 4]])
    found = voting.best_classes(weights, ["a", "b", "c", "d"])
    assert [proposals.names for proposals in found] == [("b", "c", "a"), (), ("b",), ("d", "a", "b")]
    assert [proposals.scores for proposals in found] == [(0.6, 0.2, 0.1), (), (1.0,), (0.4, 0.2, 0.2)]
    votes = voting.votes_from_shares(weights)
    for proposals, share, margin in zip(found, votes.shares, votes.margins, strict=True):
        assert (*proposals.scores, 0)[0] == share
        assert sum((*proposals.scores, 0, 0)[:2]) == pytest.approx(2 * share - margin)
