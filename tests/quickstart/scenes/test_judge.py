"""The judge beside plain arithmetic on dense masks."""

import numpy as np
import pytest

from fiftyone_ssa.masks import rle
from fiftyone_ssa.quickstart.scenes import draw_scene
from fiftyone_ssa.quickstart.scenes.judge import best_mask, in_no_vocabulary, ious, names_right, right_names


@pytest.fixture(scope="module")
def scene():
    return draw_scene(77, (160, 224))


def test_iou_is_that_of_dense_masks(scene):
    random = np.random.default_rng(0)
    dense = [random.random(scene.size_hw) < 0.3, np.zeros(scene.size_hw, bool), np.ones(scene.size_hw, bool)]
    dense += [scene.mask(node.id) for node in scene.regions()[:5]]
    found = ious(scene, rle.mask_set(scene.size_hw, [rle.encode(mask) for mask in dense]))
    for row, mask in zip(found, dense, strict=True):
        for node in scene.regions():
            truth = scene.mask(node.id)
            assert row[node.id] == pytest.approx((mask & truth).sum() / max((mask | truth).sum(), 1))


def test_every_region_is_its_own_best_mask_and_has_its_own_name(scene):
    masks = scene.mask_set()
    found = ious(scene, masks)
    for node in scene.regions():
        index, iou = best_mask(found, node)
        assert iou == 1.0
        assert (scene.mask(masks.source_ids[index]) == scene.mask(node.id)).all()
    regions = scene.regions()
    assert names_right(scene, found, [node.name for node in regions]) == [True] * len(regions)
    assert not any(names_right(scene, found, ["nothing"] * len(regions)))


def test_no_masks_fit_nothing(scene):
    found = ious(scene, rle.mask_set(scene.size_hw, []))
    assert best_mask(found, scene.nodes[0]) == (-1, 0.0)
    assert names_right(scene, found, []) == []


def test_names_follow_the_vocabularies():
    scenes = [draw_scene(seed, (128, 128)) for seed in range(12)]
    wholes = {node.name: node for scene in scenes for node in scene.nodes if node.parent < 0}
    for node in wholes.values():
        assert node.name in right_names(node)
        assert in_no_vocabulary(node) == bool(node.kind and not node.kind.ade20k + node.kind.coco)
    assert {in_no_vocabulary(node) for node in wholes.values()} == {True, False}
