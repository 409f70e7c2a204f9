"""Polygons to pixels, as the libraries that read them fill them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.filling import fill_coco, fill_opencv, fill_pillow


def test_fillers_equal_what_the_libraries_fill_where_a_ring_leaves_the_image():
    ring = np.array([(-5, 3), (12, -4), (30, 14), (7, 25)])
    canvas, image = np.zeros((20, 24), np.uint8), Image.new("L", (24, 20))
    cv2.fillPoly(canvas, [ring.astype(np.int32)], 1)
    ImageDraw.Draw(image).polygon([tuple(map(int, point)) for point in ring], fill=1, outline=1)
    assert fill_opencv([ring], (20, 24)) == rle.encode(canvas > 0)
    assert fill_pillow([ring], (20, 24)) == rle.encode(np.asarray(image) > 0)


@pytest.mark.parametrize("seed", range(5))
def test_several_rings_are_united(seed):
    random = np.random.default_rng(seed)
    rings = [random.integers(0, 30, (5, 2)) for _ in range(3)]
    canvas, image = np.zeros((30, 30), np.uint8), Image.new("L", (30, 30))
    for ring in rings:
        cv2.fillPoly(canvas, [ring.astype(np.int32)], 1)
        ImageDraw.Draw(image).polygon([tuple(map(int, point)) for point in ring], fill=1, outline=1)
    assert fill_opencv(rings, (30, 30)) == rle.encode(canvas > 0)
    assert fill_pillow(rings, (30, 30)) == rle.encode(np.asarray(image) > 0)
    lists = [ring.astype(float).ravel().tolist() for ring in rings]
    assert fill_coco(rings, (30, 30)) == coco.merge(coco.frPyObjects(lists, 30, 30))["counts"]


def test_a_ring_without_points_is_told():
    for fill in (fill_opencv, fill_pillow):
        with pytest.raises(InputError, match="at least one point"):
            fill([[]], (4, 4))
