"""Label Studio's tasks: its converter reads them, and its exports come back with who handed in what."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports import label_studio
from fiftyone_ssa.exports.exporting import export
from fiftyone_ssa.exports.formats import reader_of
from fiftyone_ssa.masks import rle
from tests.exports.odd_dataset import NAMES, masks_of


@pytest.fixture(scope="module")
def exported(odd, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks") / "out"
    export(odd, folder, format="label-studio")
    return folder


def tasks_of(folder):
    return json.loads((folder / "tasks.json").read_text())


def handed_in(tasks, **annotation):
    """Tasks as Label Studio exports them when somebody submitted every prediction as it was."""
    about = {"completed_by": 3, "updated_at": "2026-11-26T10:00:00.5Z", "was_cancelled": False, "id": 9, **annotation}
    return [
        {"id": number, "data": task["data"], "annotations": [{**task["predictions"][0], **about}], "predictions": []}
        for number, task in enumerate(tasks, 1)
    ]


def test_label_studios_brush_converter_reads_the_masks_bit_for_bit(odd, exported):
    brush = pytest.importorskip(
        "label_studio_sdk.converter.brush", reason="label_studio_sdk.converter is not installed"
    )
    for task in tasks_of(exported):
        regions = task["predictions"][0]["result"]
        results = [{**region, **region["value"], "type": "BrushLabels"} for region in regions]
        layers = brush.decode_from_annotation("label", results)
        name = task["data"]["name"].rsplit("/")[-1]
        rows = masks_of(odd)[name]
        assert [rle.encode(layer > 0) for layer in layers.values()] == [code for _, code, _ in rows]
        assert [key.split("-")[1] for key in layers] == [label for label, _, _ in rows]


def test_fiftyone_reads_our_regions(odd, exported):
    from fiftyone.utils.labelstudio import import_label_studio_annotation

    for task in tasks_of(exported)[:2]:
        rows = masks_of(odd)[task["data"]["name"].rsplit("/")[-1]]
        for region, (label, code, identity) in zip(task["predictions"][0]["result"][:5], rows, strict=False):
            try:
                name, found = import_label_studio_annotation(region)
            except ImportError as error:  # FiftyOne 1.14 asks for a package that is no more
                pytest.skip(f"FiftyOne's own reader lacks a package: {error}")
            assert (name, found.label, found.id) == ("label", label, identity)
            assert rle.encode(found.mask > 0) == code


def test_label_studios_converter_takes_an_export_with_our_interface(odd, exported, tmp_path):
    converter = pytest.importorskip("label_studio_sdk.converter", reason="label_studio_sdk.converter is not installed")
    if not hasattr(converter, "Converter"):
        pytest.skip("label_studio_sdk.converter lacks one of its own dependencies (nltk, lxml, ...)")
    (tmp_path / "project.json").write_text(json.dumps(handed_in(tasks_of(exported))))
    (tmp_path / "numpy").mkdir()
    tool = converter.Converter(config=(exported / "config.xml").read_text(), project_dir=None)
    tool.convert(str(tmp_path / "project.json"), str(tmp_path / "numpy"), "BRUSH_TO_NUMPY", is_dir=False)
    found = [rle.encode(np.load(file) > 0) for file in (tmp_path / "numpy").glob("task-*.npy")]
    assert sorted(found) == sorted(code for rows in masks_of(odd).values() for _, code, _ in rows)


def test_tasks_hold_masks_proposals_and_a_configuration_with_all_names(odd, exported):
    tasks = tasks_of(exported)
    region = tasks[0]["predictions"][0]["result"][0]
    label, _, identity = masks_of(odd)["plain.png"][0]
    assert (region["id"], region["value"]["brushlabels"], region["score"]) == (identity, [label], 0.5)
    assert region["meta"] == {"text": [f"{NAMES[0]} 0.75, {NAMES[1]} 0.25"]}
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=data/sub/plain.png"
    labels = ElementTree.fromstring((exported / "config.xml").read_text()).findall("BrushLabels/Label")
    assert sorted(label.get("value") for label in labels) == sorted(NAMES)


def test_what_was_handed_in_last_counts_with_its_person_and_time(odd, exported, tmp_path):
    tasks = handed_in(tasks_of(exported), completed_by={"id": 3, "email": "ann@example.org"})
    first, second, third = tasks
    late = {**first["annotations"][0], "updated_at": "2026-11-26T11:00:00Z", "result": []}
    first["annotations"].insert(0, late)
    second["annotations"][0]["was_cancelled"] = True
    (tmp_path / "project.json").write_text(json.dumps(tasks))
    images = list(reader_of("label-studio")().read(tmp_path / "project.json", exported / "data"))
    assert [len(image.masks) for image in images] == [0, 0, 3]
    assert [image.corrected for image in images] == [True, False, True]
    assert (images[2].by, str(images[2].at)) == ("ann@example.org", "2026-11-26 10:00:00.500000")
    assert images[2].path.is_file()
    assert images[2].sample_id == third["data"]["sample_id"]


def test_polygons_and_rectangles_that_people_drew_are_masks_too(exported, tmp_path):
    task = handed_in(tasks_of(exported))[2]
    size = {"original_width": 90, "original_height": 90}
    points = [[10, 10], [20, 10], [20, 30], [10, 30]]
    result = [
        {"id": "a", "type": "polygonlabels", **size, "value": {"points": points, "polygonlabels": ["car"]}},
        {"id": "b", "type": "rectanglelabels", **size, "value": {"x": 10, "y": 10, "width": 10, "height": 20}},
        {"id": "c", "type": "choices", "value": {"choices": ["night"]}},
    ]
    task["annotations"][0]["result"] = result
    (tmp_path / "project.json").write_text(json.dumps([task]))
    (image,) = reader_of("label-studio")().read(tmp_path)
    assert image.labels == ("car", None)
    assert image.masks.boxes_xywh.tolist() == [[9, 9, 10, 19]] * 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"value": {"format": "rle", "rle": [1, 2, 3]}}, "brush code"),
        ({"original_width": 89}, "not of this image"),
        ({"original_width": "90"}, "original_height and original_width"),
        ({"type": "polygonlabels", "value": {"points": [[1, "x"]]}}, "finite numbers"),
        ({"type": "rectanglelabels", "value": {"x": 1}}, "rectangle must have"),
    ],
)
def test_a_damaged_region_costs_its_image_only(exported, tmp_path, change, told):
    tasks = handed_in(tasks_of(exported))
    tasks[2]["annotations"][0]["result"][0] |= change
    (tmp_path / "project.json").write_text(json.dumps(tasks))
    problems = [image.problem for image in reader_of("label-studio")().read(tmp_path)]
    assert problems[:2] == ["", ""]
    assert told in problems[2]


def test_what_is_no_export_of_label_studio_is_told(tmp_path):
    with pytest.raises(InputError, match="holds no tasks"):
        list(reader_of("label-studio")().read(tmp_path))
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match="list of tasks"):
        list(reader_of("label-studio")().read(tmp_path / "x.json"))


def test_names_that_lead_out_of_the_folder_do_not(tmp_path):
    tasks = [{"data": {"image": "s3://x/y.png", "name": name}} for name in ("../../etc/passwd", "/etc/passwd")]
    (tmp_path / "x.json").write_text(json.dumps(tasks))
    assert {image.path for image in reader_of("label-studio")().read(tmp_path)} == {tmp_path / "y.png"}


def test_many_tasks_are_files_of_a_size_that_label_studio_takes(odd, tmp_path, monkeypatch):
    monkeypatch.setattr(label_studio, "MOST_CHARACTERS", 10)
    export(odd, tmp_path / "out", format="label-studio")
    assert sorted(file.name for file in (tmp_path / "out").glob("tasks*")) == [
        "tasks-2.json",
        "tasks-3.json",
        "tasks.json",
    ]
    assert sum(len(image.masks) for image in reader_of("label-studio")().read(tmp_path / "out")) == odd.count(
        "ssa.detections"
    )


@pytest.mark.parametrize(("options", "told"), [({"results": "x"}, "results must be"), ({"url": 3}, "url must be")])
def test_options_that_cannot_be_are_told(odd, tmp_path, options, told):
    with pytest.raises(InputError, match=told):
        export(odd, tmp_path / "out", format="label-studio", **options)
