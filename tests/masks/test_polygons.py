"""Outlines of masks, filled back as their readers fill them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.filling import fill_coco, fill_opencv
from fiftyone_ssa.masks.polygons import edge_rings, pixel_rings
from tests.masks.odd_masks import odd_masks

MASKS = odd_masks()


@pytest.mark.parametrize("mask", MASKS)
def test_pixel_rings_filled_by_opencv_and_pillow_are_the_mask(mask):
    rings = pixel_rings(mask)
    canvas, image = np.zeros(mask.shape, np.uint8), Image.new("L", mask.shape[::-1])
    for ring in rings:
        cv2.fillPoly(canvas, [ring.astype(np.int32)], 1)
        ImageDraw.Draw(image).polygon([tuple(map(int, point)) for point in ring], fill=1)
    assert np.array_equal(canvas > 0, mask)
    assert np.array_equal(np.asarray(image) > 0, mask)
    assert min(map(len, rings)) >= 3


@pytest.mark.parametrize("mask", MASKS)
def test_edge_rings_filled_by_pycocotools_are_the_mask(mask):
    filled = np.zeros(mask.shape, bool)
    for ring in edge_rings(mask):
        filled ^= rle.decode(fill_coco([ring.corners_xy], mask.shape), mask.shape)
    assert np.array_equal(filled, mask)
    seamed = edge_rings(mask, seams=True)
    assert fill_coco([ring.corners_xy for ring in seamed], mask.shape) == rle.encode(mask)
    assert len(seamed) == _islands(mask)


@pytest.mark.parametrize("mask", MASKS)
def test_holes_and_islands_are_those_that_scipy_finds(mask):
    rings = edge_rings(mask)
    found = sum(ring.is_hole for ring in rings), len({ring.island for ring in rings})
    assert found == (_holes(mask), _islands(mask))


def _islands(mask):
    return ndimage.label(mask, np.ones((3, 3)))[1]


def _holes(mask):
    """Parts of the background, touching at sides only, that do not reach the border."""
    labels, count = ndimage.label(~mask)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return count - len(set(border.tolist()) - {0})


@pytest.mark.parametrize("mask", MASKS)
def test_one_ring_holds_the_mask_and_little_more(mask):
    (ring,) = pixel_rings(mask, one=True)
    filled = rle.decode(fill_opencv([ring], mask.shape), mask.shape)
    assert np.array_equal(filled & mask, mask)
    if _islands(mask) == 1:
        assert np.array_equal(filled, mask)


def test_corner_moves_rings_and_an_empty_mask_has_none():
    mask = MASKS[5]
    assert [ring.tolist() for ring in pixel_rings(mask, (7, 3))] == [
        np.add(ring, (7, 3)).tolist() for ring in pixel_rings(mask)
    ]
    assert pixel_rings(np.zeros((4, 4), bool)) == [] == edge_rings(np.zeros((0, 0), bool))


def test_what_is_no_mask_is_told():
    with pytest.raises(InputError, match="bool"):
        pixel_rings(np.ones((3, 3), np.uint8))
