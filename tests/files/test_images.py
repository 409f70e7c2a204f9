"""Pictures in and out: pixels, size and orientation alike for every format; one sentence for what cannot be read."""

from __future__ import annotations

import io
import os
import resource
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import image_size_hw, read_image, save_png

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


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    PIL.Image.fromarray(np.array([[0, 257, 25700, 65535]], np.uint16)).save(tmp_path / name)
    assert read_image(tmp_path / name)[0, :, 0].tolist() == [0, 1, 100, 255]


def test_float_pixels_are_refused(tmp_path: Path) -> None:
    PIL.Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(InputError, match=r"f\.tif is damaged.*no fixed range; save it with 8 or 16 bits"):
        read_image(tmp_path / "f.tif")


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
