"""Wholes, parts and subparts, beside a plain twin on dense masks."""

from __future__ import annotations

import numpy as np
import pytest

from fiftyone_ssa.masks.containment import Lore, contain, overlapping_pairs
from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.quickstart.scenes import draw_scene
from fiftyone_ssa.types import MaskSet


def box(y0, x0, y1, x1, size_hw=(60, 60)):
    mask = np.zeros(size_hw, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def masks_of(dense, **columns):
    return mask_set(dense[0].shape, [encode(mask) for mask in dense], **columns)


LORE = Lore(
    lambda part, whole: (part, whole) in {("b", "a"), ("c", "b")}, lambda name: name == "a", lambda name: name == "b"
)


def plain(masks: MaskSet, dense, names=None, lore=None):
    """Depths, parents and duplicates, one pair of dense masks at a time, as `contain` defines them."""
    count, areas = len(dense), [int(mask.sum()) for mask in dense]
    stability = np.nan_to_num(masks.stability_score, nan=1.0)
    score = np.nan_to_num(masks.predicted_iou, nan=1.0) * stability
    by_area = sorted(range(count), key=lambda i: (-areas[i], i))
    iou, same, holds, usual, lies_in, near = {}, {}, {}, {}, {}, {}
    for place, big in enumerate(by_area):
        for small in by_area[place + 1 :]:
            if not areas[small]:
                continue
            shared = int((dense[big] & dense[small]).sum())
            iou[small, big] = shared / (areas[big] + areas[small] - shared)
            alike = min(max(0.95 * stability[big] * stability[small], 0.5), 0.95)
            if names is not None and names[big] is not None and names[big] == names[small]:
                alike = 0.4
            known = lore is not None and names[small] is not None and names[big] is not None
            part = known and shared >= 0.5 * areas[small] and lore.is_part(names[small], names[big])
            usual[small, big] = part
            alone = lore is not None and names[small] is not None and lore.is_only_whole(names[small])
            surer = alone and names[big] != names[small] and masks.stability_score[small] > masks.stability_score[big]
            same[small, big] = iou[small, big] >= alike and not part and not surer
            holds[small, big] = shared >= 0.8 * areas[small] or part
            lies_in[small, big] = shared >= 0.8 * areas[small]
            near[small, big] = near[big, small] = shared >= 0.5 * areas[small]
    exact = np.isnan(masks.stability_score)
    for small, big in same:
        both = exact[small] and exact[big]
        stable = min(stability[small], stability[big]) >= 0.9
        if (both or stable) and names is not None and names[small] is not None and names[small] == names[big]:
            parts = [part for part, whole in usual if whole == big and usual[part, whole] and lies_in[part, whole]]
            lacked = int((dense[big] & ~dense[small]).sum())
            for part in parts:
                fills = both or int((dense[part] & dense[big]).sum()) >= 0.5 * lacked
                if part != small and not near.get((part, small)) and fills:
                    same[small, big] = False
    duplicates = [-1] * count
    kept = []
    for best in sorted(range(count), key=lambda i: (-score[i], -areas[i], i)):
        if duplicates[best] >= 0:
            continue
        for other in range(count):
            pair = (other, best) if (other, best) in iou else (best, other)
            alike = pair in iou and same[pair] and iou[pair] >= 0.7
            if alike and duplicates[other] < 0 and other not in kept:
                duplicates[other] = best
        kept.append(best)
    depths, parents = [-1] * count, [-1] * count
    for place, one in enumerate(by_area):
        if not areas[one]:
            continue
        larger = by_area[:place]
        likes = [(iou[one, other], larger.index(other), other) for other in larger if same[one, other]]
        holders = [other for other in larger if holds[one, other]]
        depths[one] = 0
        if likes:
            best_iou, _, like = max(likes)
            depths[one] = depths[like]
            parents[one] = like if holds[one, like] and best_iou < 0.7 else parents[like]
        elif holders:
            wholes = [other for other in larger if usual[one, other]]
            between = holders[-1]
            namesakes = [other for other in holders if names is not None and names[other] == names[one]]
            alone = lore is not None and names[one] is not None and lore.is_only_whole(names[one])
            wavers = masks.stability_score[one] > masks.stability_score[between] or (
                not exact[between] and any(usual.get((part, one)) for part in range(count))
            )
            if alone and wavers and not wholes and not namesakes:
                continue
            another = exact[one] and wholes and usual.get((between, wholes[-1])) and between not in namesakes
            passed = wholes and between not in wholes and not another
            parents[one] = whole = wholes[-1] if passed else between
            while whole in wholes and parents[whole] >= 0 and names[parents[whole]] == names[whole]:
                whole = parents[whole]
            depths[one] = depths[whole] + 1
        if lore is not None and names[one] is not None and lore.is_only_part(names[one]):
            depths[one] = max(depths[one], 1)
    kept_parents = []
    for one, above in enumerate(parents):
        chain = [above]
        while chain[-1] >= 0:
            chain.append(parents[chain[-1]])
        may = [p if duplicates[p] < 0 else duplicates[p] for p in chain[:-1]]
        may = [p for p in may if p != duplicates[one] and by_area.index(p) < by_area.index(one)]
        kept_parents.append(may[0] if may else -1)
    return depths, kept_parents, duplicates


def check_like_plain(masks, dense, names=None, lore=None):
    found = contain(masks, names=names, lore=lore)
    depths, parents, duplicates = plain(masks, dense, names, lore)
    assert found.depths.tolist() == depths
    assert found.parents.tolist() == parents
    assert found.duplicates.tolist() == duplicates


@pytest.mark.parametrize("seed", range(6))
def test_it_finds_what_the_plain_twin_finds(seed):
    random = np.random.default_rng(seed)
    dense = []
    for _ in range(60):
        y, x = random.integers(0, 40, 2)
        h, w = random.integers(1, 40, 2)
        mask = box(y, x, y + h, x + w, (48, 52))
        dense.append(mask & (random.random(mask.shape) < 0.97) if random.random() < 0.5 else mask)
    dense += [np.zeros((48, 52), bool), dense[0].copy(), np.ones((48, 52), bool)]
    known = random.random(len(dense)) < 0.8
    scores = {
        name: np.where(known, random.uniform(0.6, 1, len(dense)), np.nan)
        for name in ("predicted_iou", "stability_score")
    }
    names = random.choice(np.array(["a", "b", "c", None], object), len(dense)).tolist()
    check_like_plain(masks_of(dense, **scores), dense)
    check_like_plain(masks_of(dense, **scores), dense, names)
    check_like_plain(masks_of(dense, **scores), dense, names, LORE)


@pytest.mark.parametrize("seed", range(3))
def test_masks_of_a_drawn_scene_stand_where_it_drew_them(seed):
    scene = draw_scene(60_000 + seed, (192, 256))
    masks = scene.mask_set()
    found = contain(masks)
    exact = {code: index for index, code in reversed(list(enumerate(masks.rles)))}
    for index, node in enumerate(scene.nodes[i] for i in masks.source_ids):
        alone = [other for other, code in enumerate(masks.rles) if code == masks.rles[index]]
        levels = {scene.nodes[masks.source_ids[other]].level for other in alone}
        assert ["whole", "part", "subpart"].index(found.level(index)) in levels
        if node.parent in masks.source_ids and len(alone) == 1:
            parent = masks.source_ids.index(node.parent)
            assert found.parents[index] == exact[masks.rles[parent]]


def test_a_worse_mask_of_the_same_is_a_duplicate_and_no_level_of_its_own():
    dense = [box(0, 0, 40, 40), box(0, 0, 40, 36), box(4, 4, 20, 20)]
    scores = {"predicted_iou": [0.8, 0.95, 0.9], "stability_score": [0.9, 0.95, 0.95]}
    found = contain(masks_of(dense, **scores))
    assert found.duplicates.tolist() == [1, -1, -1]
    assert found.depths.tolist() == [0, 0, 1]
    assert found.parents.tolist() == [-1, -1, 1]
    exact = contain(masks_of(dense))
    assert exact.duplicates.tolist() == [-1, -1, -1]
    assert exact.depths.tolist() == [0, 1, 2]


def test_no_mask_is_a_part_of_itself_or_of_what_it_repeats():
    size_hw, dense = (20, 40), np.zeros((3, 800), bool)
    dense[0, :100] = dense[1, :112] = dense[1, 200:227] = dense[2, :140] = True  # each holds the first, and more
    found = contain(masks_of(dense.reshape(3, *size_hw), predicted_iou=[0.99, 0.9, 0.9]), names=["a"] * 3)
    assert found.duplicates.tolist() == [-1, 0, 0]
    assert found.parents.tolist() == [-1, -1, -1]


def test_less_of_a_thing_with_its_name_is_no_part_of_it():
    dense = [box(0, 0, 40, 40), box(0, 0, 40, 20)]
    assert [contain(masks_of(dense)).level(i) for i in (0, 1)] == ["whole", "part"]
    named = contain(masks_of(dense), names=["car", "car"])
    assert [named.level(i) for i in (0, 1)] == ["whole", "whole"]
    assert named.parents.tolist() == [-1, 0]
    assert contain(masks_of(dense), names=[None, None]).level(1) == "part"


def test_a_part_may_stick_out_a_little():
    assert contain(masks_of([box(0, 0, 40, 40), box(36, 10, 41, 20)])).level(1) == "part"
    assert contain(masks_of([box(0, 0, 40, 40), box(36, 10, 45, 20)])).level(1) == "whole"


def test_no_masks_and_empty_ones():
    assert contain(MaskSet.empty((4, 5))).depths.shape == (0,)
    empty = contain(masks_of([np.zeros((4, 5), bool), np.ones((4, 5), bool)]))
    assert [empty.level(0), empty.level(1)] == [None, "whole"]
    assert overlapping_pairs(masks_of([np.zeros((4, 5), bool)] * 2), 0.5).smaller.size == 0
