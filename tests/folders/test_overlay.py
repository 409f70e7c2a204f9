"""The overlay picture: colours where masks are, names where there is room, memory bounded."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image

from fiftyone_ssa.folders.overlay import overlay_jpeg
from fiftyone_ssa.layouts.colours import colour_of
from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.types import Annotation, Proposals


def _draw(image: np.ndarray, masks: list[np.ndarray], labels: list[str | None]) -> np.ndarray:
    annotation = Annotation(
        masks=mask_set(image.shape[:2], [encode(mask) for mask in masks]),
        labels=tuple(labels),
        confidences=np.ones(len(masks)),
        proposals=(Proposals(),) * len(masks),
    )
    with PIL.Image.open(io.BytesIO(overlay_jpeg(image, annotation))) as picture:
        assert picture.format == "JPEG"
        return np.asarray(picture).astype(int)


def _halves(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    left = np.zeros((height, width), bool)
    left[:, : width // 2] = True
    return left, ~left


def test_masks_are_coloured_by_name_and_others_are_left_alone() -> None:
    gray = np.full((200, 300, 3), 128, np.uint8)
    left, right = _halves(200, 300)
    top = np.zeros((200, 300), bool)
    top[:20] = True
    drawn = _draw(gray, [left & ~top, right & ~top, top], ["sky", "grass", None])
    assert np.abs(drawn[10, 150] - 128).max() < 8  # unnamed
    assert np.abs(drawn[190, 10] - 128).max() > 20
    assert np.abs(drawn[190, 10] - drawn[190, 290]).max() > 20
    same = _draw(gray, [left, right], ["sky", "sky"])
    assert np.abs(same[190, 10] - same[190, 290]).max() < 8


def test_names_are_written_on_large_masks_only() -> None:
    gray = np.full((400, 600, 3), 128, np.uint8)
    small = np.zeros((400, 600), bool)
    small[200:206, 300:306] = True
    large = np.zeros((400, 600), bool)
    large[150:250, 250:350] = True

    def text_px(mask: np.ndarray) -> int:
        return int((_draw(gray, [mask], ["ein Name mit Ümläut"]).min(axis=2) > 200).sum())

    assert text_px(small) == 0
    assert text_px(large) > 100


def test_a_large_image_is_drawn_at_1600_pixels_in_its_right_place() -> None:
    image = np.full((1200, 3200, 3), 128, np.uint8)
    mask = np.zeros((1200, 3200), bool)
    mask[1180:1200, 0:40] = True
    drawn = _draw(image, [mask], ["corner"])
    assert drawn.shape[:2] == (600, 1600)
    assert np.abs(drawn[596, 10] - 128).max() > 20
    assert np.abs(drawn[580, 30] - 128).max() < 8


def test_edge_cases() -> None:
    _draw(np.zeros((1, 700, 3), np.uint8), [np.ones((1, 700), bool)], ["line"])
    _draw(np.zeros((4000, 1, 3), np.uint8), [np.ones((4000, 1), bool)], ["line"])
    _draw(np.zeros((1, 1, 3), np.uint8), [np.ones((1, 1), bool)], ["dot"])
    _draw(np.zeros((30, 40, 3), np.uint8), [], [])
    _draw(np.zeros((30, 40, 3), np.uint8), [np.zeros((30, 40), bool)], [None])
    for name in ("", " ", "\n", "\0", "x" * 5000, "写真 🐈", "\ud800"):
        _draw(np.zeros((30, 40, 3), np.uint8), [np.ones((30, 40), bool)], [name])
    speck = np.zeros((3000, 3000), bool)
    speck[1, 1] = True  # vanishes when drawn smaller
    _draw(np.zeros((3000, 3000, 3), np.uint8), [speck], ["speck"])


def test_a_mask_has_the_colour_that_its_name_has_everywhere() -> None:
    gray = np.full((200, 300, 3), 128, np.uint8)
    left, right = _halves(200, 300)
    for names in (["sky", "Sky"], ["grass", "a name of no list"], ["a name of no list", "sky"]):
        drawn = _draw(gray, [left, right], names)
        for name, pixel in zip(names, (drawn[190, 10], drawn[190, 290]), strict=True):
            colour = np.array([int(colour_of(name)[i : i + 2], 16) for i in (1, 3, 5)])
            assert np.abs(pixel - (0.45 * colour + 0.55 * 128)).max() < 10  # what a JPEG keeps


def test_a_mask_above_many_others_has_its_own_colour_alone() -> None:
    """However many there are: the smallest lies above, and nothing shines through but the picture."""
    gray = np.full((200, 300, 3), 128, np.uint8)
    masks = [np.zeros((200, 300), bool) for _ in range(60)]
    for margin, mask in enumerate(masks):
        mask[margin : -margin or None, margin : -margin or None] = True
    drawn = _draw(gray, masks, [*["sky"] * 59, "grass"])
    colour = np.array([int(colour_of("grass")[i : i + 2], 16) for i in (1, 3, 5)])
    assert np.abs(drawn[63:136, 63:100] - (0.45 * colour + 0.55 * 128)).max() < 10


def test_a_name_stands_at_its_masks_centre_of_mass() -> None:
    gray = np.full((400, 600, 3), 128, np.uint8)
    corner = np.zeros((400, 600), bool)
    corner[:, :100] = corner[300:, :] = True  # of its box the centre is at (300, 200)
    white = _draw(gray, [corner], ["ein Name mit Ümläut"]).min(axis=2) > 200
    down, across = np.nonzero(white)
    rows, columns = np.nonzero(corner)
    assert abs(down.mean() - rows.mean()) < 8
    assert abs(across.mean() - columns.mean()) < 8
