"""Class maps as files hold them: by index, at their own depth, upright; colours only where they are asked for."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.class_maps import read_colours, read_values

VALUES = np.array([[0, 1, 2], [3, 1, 0]], np.uint8)


def write_gray(path, values, bits):
    """A gray PNG of 1, 2, 4, 8 or 16 bits, byte by byte: Pillow writes no 2 or 4."""
    height, width = values.shape

    def row(line):
        text = "".join(format(int(v), f"0{bits}b") for v in line)
        return b"\0" + int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    data = zlib.compress(b"".join(map(row, values)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_gray_values_have_the_depth_of_their_file(tmp_path, bits):
    values = np.random.default_rng(bits).integers(0, 2**bits, (5, 7))
    write_gray(tmp_path / "a.png", values, bits)
    found = read_values(tmp_path / "a.png")
    assert found.dtype.kind in "iu"
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_is_read_by_index_and_its_colours_where_asked(tmp_path, bits):
    values = (VALUES % np.int64(2**bits)).astype(np.uint8)
    picture = Image.fromarray(values, "L").convert("P")
    picture.putdata(values.ravel().tolist())
    picture.putpalette([9, 9, 9, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.save(tmp_path / "a.png", bits=bits)
    np.testing.assert_array_equal(read_values(tmp_path / "a.png"), values)
    colours = np.array([0x090909, 0xFF0000, 0x00FF00, 0x0000FF])
    np.testing.assert_array_equal(read_colours(tmp_path / "a.png"), colours[values])


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA"])
def test_equal_channels_are_gray_and_alpha_is_left_out(tmp_path, mode):
    pixels = np.repeat(VALUES[..., None], len(mode), axis=2)
    if mode.endswith("A"):
        pixels[..., -1] = np.arange(6).reshape(2, 3)
    Image.fromarray(pixels, mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_values(tmp_path / "a.png"), VALUES)


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
def test_colours_are_no_values(tmp_path, ending):
    Image.new("RGB", (2, 1), (1, 2, 3)).save(tmp_path / f"a.{ending}")
    with pytest.raises(InputError, match="holds colours where class values are expected"):
        read_values(tmp_path / f"a.{ending}")
    assert read_colours(tmp_path / f"a.{ending}").tolist() == [[0x010203, 0x010203]]


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_exif_orientation_turns_a_class_map(tmp_path, mode):
    picture = Image.fromarray(VALUES.astype(np.uint16)) if mode == "I;16" else Image.fromarray(VALUES)
    if mode == "P":
        picture = picture.convert("P")
        picture.putdata(VALUES.ravel().tolist())
    exif = Image.Exif()
    exif[0x112] = 6
    picture.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_values(tmp_path / "a.png"), np.rot90(VALUES, -1))


def test_what_cannot_be_exact_is_refused(tmp_path):
    Image.fromarray(VALUES).save(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="JPEG, which does not keep class values exactly"):
        read_values(tmp_path / "a.jpg")
    Image.fromarray(VALUES.astype(np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"whole numbers, got \(2, 3\) float32"):
        read_values(tmp_path / "a.tif")
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="not a picture of a known format"):
        read_values(tmp_path / "a.png")
