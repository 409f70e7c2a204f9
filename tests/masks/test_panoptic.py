"""Overlapping masks resolved, beside a plain twin on dense masks."""

from __future__ import annotations

import numpy as np
import pytest

from fiftyone_ssa.masks.panoptic import order_of, resolve
from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.types import MaskSet


def plain(dense, order, groups, least_left):
    """One dense mask after the other."""
    ids, members, known = np.zeros(dense[0].shape, int), [], {}
    for index in order:
        free = dense[index] & (ids == 0)
        if free.sum() == 0 or (groups[index] < 0 and free.sum() < least_left * dense[index].sum()):
            continue
        group = groups[index] if groups[index] >= 0 else ("alone", index)
        if group not in known:
            known[group] = len(members) + 1
            members.append(())
        members[known[group] - 1] += (index,)
        ids[free] = known[group]
    return ids, tuple(members)


@pytest.mark.parametrize("seed", range(6))
def test_it_resolves_as_the_plain_twin_does(seed):
    random = np.random.default_rng(seed)
    dense = []
    for _ in range(30):
        y, x = random.integers(0, 30, 2)
        mask = np.zeros((37, 41), bool)
        mask[y : y + random.integers(0, 30), x : x + random.integers(1, 30)] = True
        dense.append(mask & (random.random(mask.shape) < 0.9))
    masks = mask_set((37, 41), [encode(mask) for mask in dense])
    order = random.permutation(30)[:25]
    groups = random.integers(-1, 3, 30) if seed % 2 else np.full(30, -1)
    found = resolve(masks, order, groups)
    ids, members = plain(dense, order.tolist(), groups.tolist(), 0.5)
    np.testing.assert_array_equal(found.ids, ids)
    assert found.members == members
    codes = dict(found.codes())
    assert all(codes[identity] == encode(ids == identity) for identity in np.unique(ids[ids > 0]).tolist())


def test_parts_then_things_then_the_surer_then_the_smaller():
    sizes = [20, 10, 8, 6, 4, 4]
    dense = [np.pad(np.ones((size, size), bool), ((0, 20 - size), (0, 20 - size))) for size in sizes]
    masks = mask_set((20, 20), [encode(mask) for mask in dense])
    order = order_of(
        masks,
        depths=np.array([0, 0, 0, 0, 1, 0]),
        things=np.array([False, True, True, True, False, True]),
        scores=np.array([1.0, 0.5, 0.9, 0.5, 0.1, np.nan]),
    )
    assert order.tolist() == [4, 5, 2, 3, 1, 0]


def test_nothing_makes_nothing():
    found = resolve(MaskSet.empty((4, 5)), np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert not found.ids.any()
    assert found.members == ()
