"""Label Studio's brush code, beside Label Studio's own coder."""

from __future__ import annotations

import numpy as np
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import brush_rle, rle
from tests.masks.odd_masks import odd_masks

MASKS = odd_masks()
SIZE_HW = MASKS[-1].shape


def label_studio():
    return pytest.importorskip("label_studio_sdk.converter.brush", reason="label_studio_sdk.converter is not installed")


@pytest.mark.parametrize("mask", [*MASKS, np.zeros((3, 5), bool), np.ones((300, 400), bool)])
def test_code_is_label_studios_byte_for_byte_and_comes_back(mask):
    code = brush_rle.encode(mask, (0, 0), mask.shape)
    assert code == label_studio().mask2rle(mask.astype(np.uint8) * 255)
    assert rle.decode(brush_rle.decode(code, mask.shape), mask.shape).tolist() == mask.tolist()


def test_values_that_do_not_repeat_are_read_and_opacity_alone_counts():
    random = np.random.default_rng(1)
    picture = (random.integers(0, 3, (17, 13, 4)) * (random.random((17, 13, 1)) > 0.5)).astype(np.uint8)
    code = label_studio().encode_rle(picture.ravel())
    assert brush_rle.decode(code, (17, 13)) == rle.encode(picture[..., 3] > 0)
    for bits, lengths in ((8, (3, 4, 8, 16)), (4, (1, 2, 5, 7))):
        assert brush_rle.decode(_literals(picture, bits, lengths), (17, 13)) == rle.encode(picture[..., 3] > 0)


def _literals(picture, bits, lengths):
    """The code of a picture in blocks of values that do not repeat, as the page writes noisy parts."""
    values = picture.ravel().tolist()
    text = f"{len(values):032b}{bits - 1:05b}" + "".join(f"{length - 1:04b}" for length in lengths)
    for start in range(0, len(values), 2 ** lengths[1]):
        block = values[start : start + 2 ** lengths[1]]
        text += f"001{len(block) - 1:0{lengths[1]}b}" + "".join(f"{value:0{bits}b}" for value in block)
    text += "0" * (8 - len(text) % 8)
    return [int(text[place : place + 8], 2) for place in range(0, len(text), 8)]


@pytest.mark.parametrize("code", [None, "rle", [1, 2], [256] * 9, [-1] * 9, [[1]], [1.5, None]])
def test_what_is_no_code_is_told(code):
    with pytest.raises(InputError, match="brush code must be a list"):
        brush_rle.decode(code, SIZE_HW)


def test_code_of_another_size_or_cut_off_is_told():
    code = brush_rle.encode(MASKS[-1], (0, 0), SIZE_HW)
    with pytest.raises(InputError, match="not of this image"):
        brush_rle.decode(code, (SIZE_HW[0] + 1, SIZE_HW[1]))
    for length in range(7, len(code) - 1):
        with pytest.raises(InputError, match="damaged"):
            brush_rle.decode(code[:length], SIZE_HW)
