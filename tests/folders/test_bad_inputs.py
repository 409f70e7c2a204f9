"""One bad thing costs itself only: files of every bad kind among good ones, in one run through the public door."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from fiftyone_ssa.folders.annotate import annotate_files
from fiftyone_ssa.presets import load_preset

SEGMENTER = Path(__file__).parents[1] / "user_segmenter.py"
HW = (16, 24)
SQUARE = [[2, 1, 9, 1, 9, 8, 2, 8]]


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


SEGMENTATIONS: dict[str, Any] = {
    "absurd size": {"size": [10**9, 10**9], "counts": "x"},
    "beyond 1e9": [[0, 0, 1e9, 0, 1e9, 1e9]],
    "counts of text": {"size": list(HW), "counts": "no code"},
    "counts too long": {"size": list(HW), "counts": [0, 10**9]},
    "infinite": [[0, 0, float("inf"), 0, 5, 5]],
    "nan": [[0, 0, float("nan"), 0, 5, 5]],
    "negative counts": {"size": list(HW), "counts": [-5, 389]},
    "of another image": {"size": [24, 16], "counts": [384]},
    "probabilities": np.full(HW, 0.5).tolist(),
    "rows of another size": np.ones((24, 16), int).tolist(),
    "text": "a mask",
    "two points": [[0, 0, 5, 5]],
}
EXTRA: dict[str, Any] = {
    "box of nan": {"bbox": [float("nan")] * 4},
    "box of 400 digits": {"bbox": [10**400, 0, 1, 1]},
    "box turned round": {"bbox": [5, 5, -1, -1]},
    "nested 900 deep": {"mine": _nested(900)},
    "score of text": {"predicted_iou": "high"},
}
GOOD: dict[str, Any] = {
    "good array": {"segmentation": np.ones(HW, int).tolist()},
    "good nested": {"segmentation": SQUARE, "mine": _nested(90)},
    "good polygon": {"segmentation": SQUARE[0], "mine": [float("nan"), 1e308, 10**300]},
}
FILES: dict[str, bytes] = {
    "5000 digits": b'{"annotations": [{"id": ' + b"9" * 5000 + b"}]}",
    "empty": b"",
    "half": b'{"annotations": [{"segmentation": [[0, 0, 5, 0',
    "key twice": b'{"annotations": [], "annotations": []}',
    "latin": '{"annotations": [], "ü": 1}'.encode("latin-1"),
    "list": b"[]",
    "null": b'{"annotations": null}',
}


def _picture(path: Path) -> None:
    PIL.Image.new("RGB", HW[::-1], (200, 10, 10)).save(path)


def _masks(path: Path, annotation: dict[str, Any]) -> None:
    path.write_text(json.dumps({"annotations": [annotation]}))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with a picture, and a mask file that cannot be used, of each name above."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, segmentation in SEGMENTATIONS.items():
        _masks(folder / f"{name}.json", {"segmentation": segmentation})
    for name, more in EXTRA.items():
        _masks(folder / f"{name}.json", {"segmentation": SQUARE, **more})
    for name, annotation in GOOD.items():
        _masks(folder / f"{name}.json", annotation)
    for name, content in FILES.items():
        (folder / f"{name}.json").write_bytes(content)
    os.mkfifo(folder / "pipe.json")
    (folder / "device.json").symlink_to("/dev/zero")
    (folder / "folder.json").mkdir()
    with (folder / "huge.json").open("wb") as file:
        file.truncate(100_000_000_000)
    for path in sorted(folder.glob("*.json")):
        _picture(path.with_suffix(".png"))
    _picture(folder / "none.png")
    return folder


def test_bad_mask_files(data: Path, tmp_path: Path) -> None:
    preset = load_preset("mini-ssa", {"masks.source": "existing", "semantic.model": f"{SEGMENTER}:brightness"})
    summary = annotate_files(data, tmp_path / "out", preset, device="cpu", progress=False)
    bad = {*SEGMENTATIONS, *EXTRA, *FILES, "pipe", "device", "folder", "huge", "none"}
    assert {Path(name).stem for name in summary.errors} == bad
    assert summary.done == len(GOOD)
    for name, reason in summary.errors.items():
        assert f"{Path(name).stem}.json" in reason, reason
        assert "\n" not in reason
        assert len(reason) < 600
    named = {path.stem.removesuffix("_semantic") for path in (tmp_path / "out").glob("*_semantic.json")}
    assert named == set(GOOD)
    areas = json.loads((tmp_path / "out/good array_semantic.json").read_text())["annotations"][0]["segmentation"]
    assert areas["size"] == list(HW)


def test_a_mask_that_cannot_be_read_costs_itself_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = [{"segmentation": each} for each in SEGMENTATIONS.values()]
    bad += [{"segmentation": SQUARE, **more} for name, more in EXTRA.items() if name != "nested 900 deep"]
    bad += [{"bbox": [0, 0, 5, 5]}, 7]  # type: ignore[list-item]
    data, good = tmp_path / "in", list(GOOD.values())
    data.mkdir()
    (data / "all.json").write_text(json.dumps({"annotations": [*bad[:3], good[0], *bad[3:], good[2]]}))
    _picture(data / "all.png")
    preset = load_preset("mini-ssa", {"masks.source": "existing", "semantic.model": f"{SEGMENTER}:brightness"})
    summary = annotate_files(data, tmp_path / "out", preset, device="cpu", progress=False)
    assert (summary.done, summary.masks, summary.bad_masks, summary.errors) == (1, 2, len(bad), {})
    assert f"{len(bad)} masks that could not be read" in str(summary)
    (told,) = [record.getMessage() for record in caplog.records if "could not be read" in record.getMessage()]
    assert "all.json: annotation 0: its mask is of size" in told
    rows = json.loads((tmp_path / "out/all_semantic.json").read_text())["annotations"]
    assert len(rows) == 2
    assert all(row["class_name"] for row in rows)


def test_bad_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "in"
    data.mkdir()
    for ending in ("jpg", "png", "webp", "tif", "bmp", "gif", "jp2", "avif"):
        path = data / f"{ending}.{ending}"
        PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (*HW, 3), np.uint8)).save(path)
        content = path.read_bytes()
        (data / f"half {ending}.{ending}").write_bytes(content[: len(content) // 2])
    (data / "empty.png").touch()
    (data / "text.png").write_text("no picture")
    PIL.Image.new("F", HW[::-1]).save(data / "real.tif")
    PIL.Image.new("1", (2000, 2000)).save(data / "large.png")
    os.mkfifo(data / "pipe.png")
    (data / "lost.png").symlink_to(data / "nowhere.png")
    (data / "phone.HEIC").touch()
    good = {f"{path.stem}.json" for path in data.iterdir()}
    for name in good:
        _masks(data / name, {"segmentation": SQUARE})
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1_000_000)
    preset = load_preset("mini-ssa", {"masks.source": "existing", "semantic.model": f"{SEGMENTER}:brightness"})
    summary = annotate_files(data, tmp_path / "out", preset, device="cpu", progress=False)
    assert summary.done == 8
    assert len(summary.errors) == 8 + 6
    assert all(f"{data / name}" in reason and "\n" not in reason for name, reason in summary.errors.items())
    assert "1 .heic left out (no decoder for such pictures; convert them to JPEG or PNG)" in str(summary)
