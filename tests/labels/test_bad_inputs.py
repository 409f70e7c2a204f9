"""One bad thing costs itself only: samples whose picture or masks cannot be used, among some that can."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.utils as fou
import numpy as np
import PIL.Image
import pytest
from bson import ObjectId

import fiftyone_ssa as ssa
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.annotate import annotate

SEGMENTER = Path(__file__).parents[1] / "user_segmenter.py"
SETTINGS = {"semantic.model": f"{SEGMENTER}:brightness"}
MASK = np.ones((4, 6), bool)
GOOD: dict[str, Any] = {"bounding_box": [0.25, 0.25, 6 / 24, 4 / 16], "mask": fou.serialize_numpy_array(MASK)}
BAD: dict[str, dict[str, Any]] = {
    "nan": {"bounding_box": [math.nan] * 4},
    "infinite": {"bounding_box": [0, 0, math.inf, 1]},
    "none": {"bounding_box": None},
    "text": {"bounding_box": ["0", "0", "1", "1"]},
    "negative": {"bounding_box": [0, 0, -0.5, 0.5]},
    "outside": {"bounding_box": [7, 7, 0.5, 0.5]},
    "no mask": {"mask": None},
    "damaged": {"mask": b"nonsense"},
    "flat": {"mask": fou.serialize_numpy_array(np.ones(5))},
    "lost file": {"mask": None, "mask_path": "/no/such/mask.png"},
    "device": {"mask": None, "mask_path": "/dev/zero"},
}


def test_bad_masks_of_a_field(tmp_path: Path) -> None:
    bad = [*BAD, "no row", "no list"]
    names = ["good", *bad, "good too"]
    for name in names:
        PIL.Image.new("RGB", (24, 16), (200, 10, 10)).save(tmp_path / f"{name}.png")
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(filepath=str(tmp_path / f"{name}.png")) for name in names])
    dataset.add_sample_field("m", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    for sample_id, name in zip(dataset.values("_id"), names, strict=True):
        rows = [GOOD, {**GOOD, **BAD.get(name, {})}]
        detections = [{"_id": ObjectId(), "_cls": "Detection", "label": "x", **row} for row in rows]
        rest = {"no row": [detections[0], 7], "no list": 7}.get(name, detections)
        label = {"_cls": "Detections", "detections": rest}
        dataset._sample_collection.update_one({"_id": sample_id}, {"$set": {"m": label}})
    summary = annotate(dataset, "mini-ssa", masks_field="m", overrides=SETTINGS)
    assert (summary.done, summary.bad_masks) == (len(names) - 1, len(bad) - 1)
    assert [Path(path).stem for path in summary.errors] == ["no list"]
    assert summary.bad_mask.startswith(f"{tmp_path / 'nan.png'}: detection 1: ")
    done = dataset.exists("ssa")
    found = dict(zip(done.values("filepath"), done.values("ssa.detections.class_name"), strict=True))
    masks = {Path(path).stem: len(labels) for path, labels in found.items()}
    assert masks == {name: 1 if name in bad else 2 for name in names if name != "no list"}
    assert set(done.values("metadata.width")) == {24}


def test_bad_pictures(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (24, 16)).save(tmp_path / "good.png")
    content = (tmp_path / "good.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    PIL.Image.new("F", (24, 16)).save(tmp_path / "real.tif")
    PIL.Image.new("RGB", (24, 16)).save(tmp_path / "telescope.jp2")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    os.mkfifo(tmp_path / "pipe.png")
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(filepath=str(path)) for path in sorted(tmp_path.iterdir()) if path.suffix != ".mp4"])
    dataset.add_sample(fo.Sample(filepath=str(tmp_path / "missing.png")))
    for sample in dataset:
        sample["m"] = fo.Detections(detections=[fo.Detection(bounding_box=GOOD["bounding_box"], mask=MASK)])
        sample.save()
    summary = annotate(dataset, "mini-ssa", masks_field="m", overrides=SETTINGS)
    assert summary.done == 2
    assert len(summary.errors) == 8
    assert all(path in reason and "\n" not in reason for path, reason in summary.errors.items())


@pytest.mark.parametrize(
    "call",
    [
        lambda view: ssa.annotate(view, "mini-ssa", masks_field="m"),
        lambda view: ssa.annotate(view, "mini-ssa", label_field="other", semantic_field="truth"),
        lambda view: ssa.calibrate(view, "m", "truth"),
        lambda view: ssa.repaint(view, "m"),
        lambda view: ssa.review(view, "accept", "m"),
        lambda view: ssa.Ontology.suggest(view, "m"),
    ],
)
def test_a_view_that_leaves_its_field_out(call: Callable[[Any], Any]) -> None:
    dataset = fo.Dataset()
    dataset.add_sample(fo.Sample("a.png", m=fo.Detections(), truth=fo.Segmentation()))
    for view in (dataset.select_fields(), dataset.exclude_fields(["m", "truth"])):
        with pytest.raises(InputError, match=r"this view leaves the field '(m|truth)' out; pass a view that has it"):
            call(view)
