"""What is packed reads as it was, by other programs."""

from __future__ import annotations

import io
import zlib

import cv2
import numpy as np
import PIL.Image
import pytest

from fiftyone_ssa.files import packing


@pytest.fixture(params=[packing.zlib, zlib], ids=["zlib-ng", "zlib"], autouse=True)
def _either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "zlib", request.param)  # zlib: as where zlib-ng is not installed


def test_parts_are_packed_one_after_the_other() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400), np.uint8)
    mask = noise > 250
    packed = packing.deflate([b"head", noise, mask, b""])
    assert zlib.decompress(packed) == b"head" + noise.tobytes() + mask.tobytes()
    plain = zlib.compressobj(strategy=zlib.Z_RLE)
    assert len(packed) <= 1.01 * len(plain.compress(b"head" + noise.tobytes() + mask.tobytes()) + plain.flush())


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (37, 53), (200, 300)])
@pytest.mark.parametrize("kind", ["bool", "uint8", "uint16", "RGB"])
@pytest.mark.parametrize("turned", [False, True])
def test_pngs_are_read_by_pillow_and_opencv(shape: tuple[int, int], kind: str, turned: bool) -> None:
    random = np.random.default_rng(0)
    size = (*shape, 3) if kind == "RGB" else shape
    noise = random.integers(0, 1 << 16, size, np.uint16)
    values = noise > 40_000 if kind == "bool" else noise.astype(np.uint16 if kind == "uint16" else np.uint8)
    values = values.swapaxes(0, 1) if turned else values  # not contiguous
    file = packing.png(values, {"Image": "a/grün, 1.png"})
    picture = PIL.Image.open(io.BytesIO(file))
    np.testing.assert_array_equal(np.asarray(picture), values)
    assert picture.info["Image"] == "a/grün, 1.png"
    assert picture.mode == {"bool": "1", "uint8": "L", "uint16": "I;16", "RGB": "RGB"}[kind]
    by_opencv = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    expected = values * np.uint8(255) if kind == "bool" else values[..., ::-1] if kind == "RGB" else values
    np.testing.assert_array_equal(by_opencv, expected)
