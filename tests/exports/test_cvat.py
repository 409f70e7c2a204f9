"""CVAT for images: its own run lengths, what a task says of people, and files that are damaged."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.exporting import export
from fiftyone_ssa.exports.formats import reader_of
from fiftyone_ssa.masks import rle
from tests.exports.odd_dataset import NAMES, masks_of


@pytest.fixture(scope="module")
def exported(odd, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cvat") / "out"
    export(odd, folder, format="cvat")
    return folder


def test_fiftyones_reader_of_cvats_run_lengths_gives_the_masks(odd, exported):
    from fiftyone.utils.cvat import HasCVATBinaryMask

    root = ElementTree.parse(exported / "annotations.xml").getroot()
    for image in root.iter("image"):
        size_hw = int(image.get("height")), int(image.get("width"))
        rows = masks_of(odd)[image.get("name").rsplit("/")[-1]]
        for mask, (label, code, identity) in zip(image.iter("mask"), rows, strict=True):
            width, height = int(mask.get("width")), int(mask.get("height"))
            runs = [int(run) for run in mask.get("rle").split(",")]
            crop = HasCVATBinaryMask._rle_to_binary_image_mask(runs, width, height)
            assert HasCVATBinaryMask._mask_to_cvat_rle(crop) == runs
            corner = int(mask.get("left")), int(mask.get("top"))
            assert rle.encode_crop(crop.astype(bool), corner, size_hw) == code
            values = {entry.get("name"): entry.text for entry in mask}
            assert (mask.get("label"), values["label_id"]) == (label, identity)
            assert values["proposals"].count(",") == 1


def test_the_tasks_labels_keep_what_masks_are_known_by(exported):
    labels = json.loads((exported / "labels.json").read_text())
    assert sorted(label["name"] for label in labels) == sorted(NAMES)
    assert [entry["name"] for entry in labels[0]["attributes"]] == ["label_id", "confidence", "proposals"]
    assert len({label["color"] for label in labels}) == len(labels)


def test_who_worked_on_a_task_and_when_is_read(exported, tmp_path):
    text = (exported / "annotations.xml").read_text()
    about = "<owner><username>bo</username></owner><assignee><username>ann</username></assignee>"
    about += "<updated>2026-11-26 10:00:00.123456+01:00</updated></task>"
    (tmp_path / "annotations.xml").write_text(text.replace("</task>", about))
    image = next(iter(reader_of("cvat")().read(tmp_path, exported / "data")))
    assert (image.by, str(image.at)) == ("ann", "2026-11-26 09:00:00.123000")


def test_boxes_and_other_shapes_of_people(tmp_path):
    shapes = '<box label="car" xtl="1" ytl="2" xbr="4" ybr="5"/><points label="car" points="1,1"/>'
    shapes += '<polygon label="car" points="0,0;3,0;3,3;0,3" group_id="4"/>'
    shapes += '<polygon label="car" points="6,6;7,6;7,7;6,7" group_id="4"/>'
    (tmp_path / "annotations.xml").write_text(
        f'<annotations><image name="a.png" width="9" height="8">{shapes}</image></annotations>'
    )
    (image,) = reader_of("cvat")().read(tmp_path)
    assert image.masks.areas_px.tolist() == [9, 10]
    assert image.labels == ("car", "car")


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        ('rle="1, x"', "run lengths and a corner"),
        ('rle="99"', "do not fit"),
        ('rle="-1, 3"', "do not fit"),
        ('rle="0, 4" left="8"', "do not fit"),
        ('rle="0, 4" width="0"', "whole number above 0"),
        ('rle="0, 4" width="99999999999999"', "whole number above 0"),
        ('rle="0, 4" width="00000000200000000000"', "whole number above 0"),
    ],
)
def test_a_damaged_mask_costs_its_image_only(tmp_path, mask, told):
    values = {"left": "0", "top": "0", "width": "2", "height": "2"}
    rest = " ".join(f'{key}="{value}"' for key, value in values.items() if f"{key}=" not in mask)
    image = '<image name="{}" width="9" height="8"><mask label="car" {}/></image>'
    text = image.format("a.png", f"{mask} {rest}") + image.format("b.png", 'rle="0, 4" ' + " ".join(
        f'{key}="{value}"' for key, value in values.items()
    )) + image.format("../../c.png", "")  # fmt: skip
    (tmp_path / "annotations.xml").write_text(f"<annotations>{text}</annotations>")
    first, second, third = reader_of("cvat")().read(tmp_path)
    assert told in first.problem
    assert np.array_equal(second.masks.areas_px, [4])
    assert "leads out of the folder" in third.problem


def test_what_is_no_xml_of_cvat_is_told(tmp_path):
    with pytest.raises(InputError, match="holds no CVAT"):
        list(reader_of("cvat")().read(tmp_path))
    (tmp_path / "annotations.xml").write_text("<annotations><image")
    with pytest.raises(InputError, match="not XML of CVAT"):
        list(reader_of("cvat")().read(tmp_path))
    bomb = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    (tmp_path / "annotations.xml").write_text(f'<!DOCTYPE x [<!ENTITY a0 "x">{bomb}]><annotations>&a11;</annotations>')
    with pytest.raises(InputError, match="not XML of CVAT"):
        list(reader_of("cvat")().read(tmp_path))
