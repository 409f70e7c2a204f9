"""Pictures in and out: pixels, size and orientation alike for every format; one sentence for what cannot be read."""

from __future__ import annotations

import io
import os
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import image_size_hw, is_set, read_image, read_mask, read_values, save_png

RED_LEFT = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)


def test_colour_modes_become_rgb(tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(np.repeat(np.repeat(RED_LEFT, 8, 0), 8, 1))
    for mode, suffix in [("RGB", "png"), ("RGBA", "png"), ("P", "png"), ("P", "gif"), ("CMYK", "tif"), ("RGB", "webp")]:
        path = tmp_path / f"{mode}.{suffix}"
        picture.convert(mode).save(path, **({"lossless": True} if suffix == "webp" else {}))
        image = read_image(path)
        assert (image.shape, image.dtype) == ((8, 16, 3), np.uint8), path
        assert image[0, 0].tolist() == [255, 0, 0], path
        assert image[0, 15].tolist() == [0, 0, 255], path


def test_gray_is_repeated(tmp_path: Path) -> None:
    PIL.Image.fromarray(np.array([[0, 100, 255]], np.uint8)).save(tmp_path / "gray.png")
    assert read_image(tmp_path / "gray.png")[0].tolist() == [[0] * 3, [100] * 3, [255] * 3]
    PIL.Image.fromarray(np.array([[False, True]])).save(tmp_path / "bits.png")
    assert read_image(tmp_path / "bits.png")[0].tolist() == [[0] * 3, [255] * 3]


def _tiff(path: Path, bits: int, data: bytes, width: int, height: int, *, channels: int = 1, **tags: int) -> Path:
    """A TIFF as Pillow does not write it: little endian, one strip; tags by name `t<number>`."""
    bits_at = 8 + 2 + 12 * (9 + len(tags)) + 4
    strip_at = bits_at + 2 * channels
    entries = {
        256: (3, 1, width),
        257: (3, 1, height),
        258: (3, channels, bits if channels == 1 else bits_at),
        259: (3, 1, 1),
        262: (3, 1, 1 if channels == 1 else 2),
        273: (4, 1, strip_at),
        277: (3, 1, channels),
        278: (3, 1, height),
        279: (4, 1, len(data)),
    } | {int(name[1:]): (3, 1, value) for name, value in tags.items()}
    content = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    content += b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(entries.items()))
    content = (content + bytes(4)).ljust(bits_at, b"\0") + struct.pack("<H", bits) * channels + data
    path.write_bytes(content)
    return path


def _png16(path: Path, values: np.ndarray) -> Path:
    """A PNG of 16 bits a channel, RGB, which Pillow does not write."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    whole = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    whole.seek(8)
    PIL.PngImagePlugin.putchunk(whole, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    PIL.PngImagePlugin.putchunk(whole, b"IDAT", zlib.compress(rows))
    PIL.PngImagePlugin.putchunk(whole, b"IEND", b"")
    path.write_bytes(whole.getvalue())
    return path


SIXTEEN = np.array([[0, 257, 25700, 65535]], np.uint16)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm", "a.jp2"])
def test_of_sixteen_bits_gray_the_upper_eight_are_taken(tmp_path: Path, name: str) -> None:
    PIL.Image.fromarray(np.repeat(SIXTEEN, 8, 0)).save(tmp_path / name)
    assert read_image(tmp_path / name)[3, :, 0].tolist() == [0, 1, 100, 255]


def test_sixteen_bits_rgb_are_read_as_gray_is(tmp_path: Path) -> None:
    rgb = np.repeat(SIXTEEN[:, :, None], 3, axis=2)
    png = read_image(_png16(tmp_path / "a.png", rgb))
    tiff = read_image(_tiff(tmp_path / "a.tif", 16, rgb.astype("<u2").tobytes(), 4, 1, channels=3))
    assert png[0, :, 1].tolist() == tiff[0, :, 1].tolist() == [0, 1, 100, 255]


def test_twelve_bits_fill_the_range(tmp_path: Path) -> None:
    values = [0x000, 0x010, 0x640, 0xFFF]
    packed = b"".join(((a << 12) | b).to_bytes(3, "big") for a, b in zip(values[::2], values[1::2], strict=True))
    assert read_image(_tiff(tmp_path / "a.tif", 12, packed, 4, 1))[0, :, 0].tolist() == [0, 1, 100, 255]


def test_white_may_be_zero(tmp_path: Path) -> None:
    path = _tiff(tmp_path / "a.tif", 16, SIXTEEN.astype("<u2").tobytes(), 4, 1, t262=0)
    assert read_image(path)[0, :, 0].tolist() == [255, 254, 155, 0]
    path = _tiff(tmp_path / "b.tif", 8, bytes([0, 1, 100, 255]), 4, 1, t262=0)
    assert read_image(path)[0, :, 0].tolist() == [255, 254, 155, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint32, np.int16])
def test_pixels_without_a_range_are_refused_whatever_they_hold(tmp_path: Path, dtype: type) -> None:
    for value in (0, 100, 255, 30_000):
        data = np.full((2, 2), value, dtype)
        kind = {"f": 3, "i": 2, "u": 1}[data.dtype.kind]
        path = _tiff(tmp_path / "f.tif", 8 * data.itemsize, data.tobytes(), 2, 2, t339=kind)
        with pytest.raises(InputError, match=r"f\.tif has \w+ numbers of no fixed range.*8 or 16 bits a channel"):
            read_image(path)


def test_cmyk_is_the_same_in_both_its_formats(tmp_path: Path) -> None:
    picture = PIL.Image.new("CMYK", (16, 16), (0, 200, 200, 20))
    picture.save(tmp_path / "a.jpg", quality=100)
    picture.save(tmp_path / "a.tif")
    jpeg, tiff = (read_image(tmp_path / name)[8, 8].astype(int) for name in ("a.jpg", "a.tif"))
    assert np.abs(jpeg - tiff).max() < 4
    assert tiff[0] > 200
    assert tiff[1] < 60


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(RED_LEFT)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be turned 90 degrees clockwise: what was left is on top
    picture.save(tmp_path / "turned.png", exif=exif)
    assert read_image(tmp_path / "turned.png").tolist() == [[[255, 0, 0]], [[0, 0, 255]]]


def test_one_pixel_high(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (700, 1)).save(tmp_path / "line.png")
    assert read_image(tmp_path / "line.png").shape == (1, 700, 3)


def test_a_name_with_spaces_and_unicode(tmp_path: Path) -> None:
    path = tmp_path / "ein Bild – 写真 🐈.jpg"
    PIL.Image.new("RGB", (3, 2)).save(path)
    assert read_image(path).shape == (2, 3, 3)


def _broken_files() -> dict[str, bytes]:
    picture = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    broken = {"empty.jpg": b"", "text.jpg": b"not a picture", "html.png": b"<html>404</html>"}
    for kind in ("jpeg", "png", "webp", "bmp", "tiff"):
        whole = io.BytesIO()
        picture.save(whole, kind)
        broken[f"half.{kind}"] = whole.getvalue()[: len(whole.getvalue()) // 2]
    return broken


@pytest.mark.parametrize(("name", "content"), _broken_files().items())
def test_a_broken_picture_is_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"0 bytes|not a picture|damaged") as caught:
        read_image(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_picture_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(InputError, match="Is a directory"):
        read_image(tmp_path)


def test_a_picture_beyond_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PIL.Image.new("1", (100, 100)).save(tmp_path / "large.png")
    monkeypatch.setattr("fiftyone_ssa.files.images.memory_bytes", lambda: 490_000)
    for read in (read_image, image_size_hw, read_values, read_mask):
        with pytest.raises(InputError, match=r"too large: 100 x 100 = 10,000 pixels, at most 6,805 .*tiles") as caught:
            read(tmp_path / "large.png")
        assert "memory" in str(caught.value)


def test_a_picture_beyond_the_pixel_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PIL.Image.new("1", (100, 100)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match=r"too large.*cut it into tiles"):
        read_image(tmp_path / "bomb.png")


TURNED = {"png": {}, "jpg": {"quality": 95}, "webp": {"lossless": True}, "tif": {}, "avif": {"quality": 100}}


@pytest.mark.parametrize("suffix", TURNED)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_and_pixels_are_upright_in_every_format(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = np.zeros((16, 48, 3), np.uint8)
    upright[:8, :24] = (250, 10, 10)
    upright[8:, :24] = (10, 250, 10)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, 3),
    }[orientation]
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{suffix}"
    PIL.Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, **TURNED[suffix])
    assert image_size_hw(path) == (16, 48)
    image = read_image(path)
    assert image.shape == upright.shape
    assert np.abs(image[2:6, 4:20].astype(int) - (250, 10, 10)).max() < 40
    assert np.abs(image[10:14, 4:20].astype(int) - (10, 250, 10)).max() < 40


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "packbits"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_tiffs_of_every_kind_are_turned(tmp_path: Path, mode: str, compression: str, orientation: int) -> None:
    stored = np.zeros((12, 17, 3), np.uint8)
    stored[2:6, 3:12] = 255
    picture = PIL.Image.fromarray(stored).convert("L" if mode == "I;16" else mode)
    picture = PIL.Image.fromarray(stored[..., 0].astype(np.uint16) * 257) if mode == "I;16" else picture
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.tif", compression=compression, exif=exif)
    upright = np.rot90(stored, {3: 2, 6: 3}[orientation])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), upright)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif"), upright[..., 0] > 0)
    assert image_size_hw(tmp_path / "a.tif") == upright.shape[:2]


def test_an_orientation_behind_the_pixels_of_a_png_is_found(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    whole = io.BytesIO()
    PIL.Image.new("RGB", (9, 5)).save(whole, "PNG")
    chunk = io.BytesIO()
    PIL.PngImagePlugin.putchunk(chunk, b"eXIf", exif.tobytes()[6:])
    content = whole.getvalue()
    (tmp_path / "late.png").write_bytes(content[:-12] + chunk.getvalue() + content[-12:])
    assert read_image(tmp_path / "late.png").shape == (9, 5, 3)
    assert image_size_hw(tmp_path / "late.png") == (9, 5)


def test_a_damaged_orientation_is_none(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (9, 5)).save(tmp_path / "odd.jpg", exif=b"Exif\0\0nonsense")
    assert read_image(tmp_path / "odd.jpg").shape == (5, 9, 3)
    assert image_size_hw(tmp_path / "odd.jpg") == (5, 9)


def test_a_pipe_is_refused_unopened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    for read in (read_image, image_size_hw):
        with pytest.raises(InputError, match="a pipe, a socket or a device"):
            read(tmp_path / "a.png")


def _saved(path: Path, mode: str, **options: object) -> Path:
    """A picture of 2 rows of 3: black, and in the second row the first pixel white; alpha is full everywhere."""
    values = np.zeros((2, 3, 3), np.uint8)
    values[1, 0] = 255
    picture = PIL.Image.fromarray(values)
    if mode in ("LA", "RGBA"):
        picture.putalpha(255)
    picture.convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        *((mode, "a.png") for mode in ("1", "L", "LA", "RGB", "RGBA", "P", "I;16")),
        *((mode, "a.tif") for mode in ("CMYK", "RGBA", "I", "F")),
        ("P", "a.gif"),
        ("RGBA", "a.webp"),
    ],
)
def test_of_a_mask_the_colours_decide(tmp_path: Path, mode: str, name: str) -> None:
    path = _saved(tmp_path / name, mode, **({"lossless": True} if name.endswith("webp") else {}))
    assert read_mask(path).tolist() == [[False] * 3, [True, False, False]]


def test_of_a_palette_the_colours_mask_and_the_indices_classify(tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(np.array([[0, 1, 2]], np.uint8), "L")
    picture.putpalette([9, 9, 9, 0, 0, 0, 7, 0, 0])
    picture.save(tmp_path / "a.png", transparency=2)
    assert read_mask(tmp_path / "a.png").tolist() == [[True, False, True]]
    assert read_values(tmp_path / "a.png").tolist() == [[0, 1, 2]]


def test_the_numbers_of_a_class_map(tmp_path: Path) -> None:
    for mode in ("1", "L", "LA", "RGB", "RGBA", "I;16"):
        values = read_values(_saved(tmp_path / "a.png", mode))
        assert values.dtype == (np.uint16 if mode == "I;16" else np.uint8)
        assert values.shape == ((2, 3, 3) if mode.startswith("RGB") else (2, 3)), mode
        assert values[1, 0].max() == {"1": 1}.get(mode, 255), mode
        assert values[0].max() == 0, mode
    with pytest.raises(InputError, match="holds CMYK colours, no class map"):
        read_values(_saved(tmp_path / "a.tif", "CMYK"))


def test_a_mask_is_of_numbers() -> None:
    alpha = np.zeros((2, 2, 4))
    alpha[..., 3] = 1
    assert not is_set(alpha).any()
    assert is_set(np.array([[-1, 0, np.nan, 0.1]])).tolist() == [[False, False, False, True]]
    for bad in (np.zeros(3), np.zeros((2, 2, 5)), np.array([["a"]]), np.array([[None]]), np.array(1)):
        with pytest.raises(InputError, match=r"a mask must be \(H, W\) or \(H, W, channels\) numbers"):
            is_set(bad)


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    target = tmp_path / "map.png"
    target.write_bytes(b"old")
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"map\.png cannot be written: File too large"):
            save_png(noise, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]
    assert target.read_bytes() == b"old"


def test_pixels_are_pillows_whatever_the_number_of_rows(tmp_path: Path) -> None:
    for height in (1, 63, 64, 65, 200):
        pixels = np.random.default_rng(height).integers(0, 256, (height, 7, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / "picture.png")
        found = read_image(tmp_path / "picture.png")
        assert np.array_equal(found, pixels)
        assert found.flags.writeable
