"""FiftyOne's metadata of a picture, upright."""

from __future__ import annotations

from pathlib import Path

import fiftyone as fo
import PIL.Image
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.metadata import image_metadata, mended


def test_it_is_fiftyones_where_nothing_is_turned(tmp_path: Path) -> None:
    for name, mode in (("a.jpg", "RGB"), ("b.png", "RGBA"), ("c.tif", "CMYK"), ("d.webp", "RGB"), ("e.bmp", "L")):
        PIL.Image.new(mode, (7, 4)).save(tmp_path / name)
        assert image_metadata(tmp_path / name).to_dict() == fo.ImageMetadata.build_for(str(tmp_path / name)).to_dict()


def test_a_turned_picture_is_upright_whatever_its_format(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 8
    for name in ("a.jpg", "a.png", "a.webp", "a.tif"):
        PIL.Image.new("RGB", (7, 4)).save(tmp_path / name, exif=exif)
        metadata = image_metadata(tmp_path / name)
        assert (metadata.height, metadata.width) == (7, 4), name


def test_what_is_stored_is_checked_and_mended(tmp_path: Path) -> None:
    path = str(tmp_path / "a.png")
    PIL.Image.new("RGB", (7, 4)).save(path)
    assert mended({"width": 7, "height": 4, "mine": 1}, path, (4, 7)) is None
    for stored in (None, {}, {"width": 4, "height": 7}, {"width": None, "height": None}):
        fresh = mended(stored, path, (4, 7))
        assert fresh is not None
        assert (fresh["width"], fresh["height"], fresh["_cls"]) == (7, 4, "ImageMetadata")
    assert mended(None, str(tmp_path / "gone.png"), (4, 7)) is None


def test_a_damaged_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no")
    with pytest.raises(InputError, match="not a picture"):
        image_metadata(tmp_path / "a.jpg")
