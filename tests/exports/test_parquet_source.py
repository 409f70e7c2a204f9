"""A folder of Parquet labels through the exchange: every format, masks as people corrected them, streaming."""

import json
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("duckdb")

from fiftyone_ssa.cli import main
from fiftyone_ssa.exports.exporting import export
from fiftyone_ssa.exports.formats import FORMATS
from fiftyone_ssa.exports.parquet_source import ParquetSource
from fiftyone_ssa.masks import rle
from fiftyone_ssa.scale import selecting
from fiftyone_ssa.scale.layers import write_layer
from tests.scale.outputs import SIZE_HW, in_store, make_output, mask_row, pixels, write_shard


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """OUT of two tars, with a mask renamed, one rejected and one drawn; and the rows as they hold then."""
    out, rows = make_output(tmp_path_factory.mktemp("made"))
    named = [row for row in rows if row["label"]]
    renamed, rejected = named[0], named[1]
    drawn = mask_row("t1", "sa_3.png", -7, 901, label="kite", review="corrected", dataset="d")
    said = [
        {**renamed, "rle": None, "label": "house", "review": "corrected", "dataset": "d"},
        {**rejected, "rle": None, "review": "rejected", "dataset": "d"},
        {**drawn, "parent": None},
    ]
    columns = ("image_id", "shard", "member", "mask_id", "height", "width", *"xywh", "area", "rle", "label", "review")
    write_layer(out, [{name: row.get(name) for name in (*columns, "dataset")} for row in said])
    held = [row for row in named if row is not rejected and row is not renamed]
    return out, [*held, {**renamed, "label": "house"}, drawn]


def test_coco_holds_the_rows_as_they_were_corrected(made, tmp_path):
    out, rows = made
    done = export(out, tmp_path / "coco")
    assert done.errors == {}
    assert (done.annotations, done.rejected, done.images) == (len(rows), 1, 8)
    content = json.loads((tmp_path / "coco" / "labels.json").read_text())
    files = {image["id"]: image["file_name"] for image in content["images"]}
    names = {each["id"]: each["name"] for each in content["categories"]}
    found = {
        (files[each["image_id"]], names[each["category_id"]], each["segmentation"]["counts"].encode())
        for each in content["annotations"]
    }
    assert found == {(row["image_id"], row["label"], row["rle"]) for row in rows}
    picture = next((tmp_path / "coco").rglob("t1/sa_2.png"))
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(picture)), pixels(102))
    card = json.loads((tmp_path / "coco" / "data_card.json").read_text())
    assert card["reviewed_share"] > 0


def test_labels_in_a_store_are_exported_as_those_of_a_folder(made, tmp_path):
    out, _ = made
    export(out, tmp_path / "here")
    assert main(["export", in_store(out), str(tmp_path / "there")]) == 0
    here, there = (json.loads((tmp_path / name / "labels.json").read_text()) for name in ("here", "there"))
    assert there["annotations"] == here["annotations"]
    assert there["images"] == here["images"]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_takes_them(made, tmp_path, monkeypatch, format):
    out, rows = made
    if format == "hugging-face":
        pytest.importorskip("datasets")
    (tmp_path / "unpacked").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "unpacked"))
    done = export(out, tmp_path / "x", format=format)
    assert done.errors == done.mask_errors == {}
    assert (done.images, done.annotations) == (8, len(rows))
    assert not [
        path for path in (tmp_path / "unpacked").rglob("*") if path.is_file()
    ]  # each was there in its turn only


def test_lots_are_all_of_it(made, monkeypatch):
    from fiftyone_ssa.scale.query import Output

    out, _ = made

    def everything():
        with Output(out) as output:
            parts = [(part, selecting.done_images(output, part)) for part in output.parts]
            return [image for part, images in parts for image in selecting.all_masks(output, part, images)]

    whole = everything()
    monkeypatch.setattr(selecting, "LOT", 4)
    assert everything() == whole
    assert sum(len(image.masks) for image in whole) == 25


def test_the_command_and_what_it_refuses(made, tmp_path, capsys):
    out, _ = made
    options = ["--format", "yolo", "--splits", "train=1,val=1", "--reviewed-only"]
    assert main(["export", str(out), str(tmp_path / "yolo"), *options]) == 0
    assert "2 masks of" in capsys.readouterr().out
    assert main(["export", str(out), str(tmp_path / "y"), "--export-media", "symlink"]) == 2
    assert "--data-dir" in (told := capsys.readouterr().err) or "data_dir" in told
    data = ["--data-dir", str(tmp_path / "data")]
    assert main(["export", str(out), str(tmp_path / "links"), "--export-media", "symlink", *data]) == 0
    links = list((tmp_path / "links").rglob("*.png"))
    assert len(links) == 8
    assert all(path.is_symlink() and path.resolve().is_relative_to(tmp_path / "data") for path in links)
    assert main(["export", str(out), str(tmp_path / "z"), "--splits", "shard"]) == 2
    assert main(["export", str(tmp_path), str(tmp_path / "z")]) == 2


def test_images_that_cannot_be_read_cost_themselves(made, tmp_path):
    out, _ = made
    copy = tmp_path / "OUT"
    shutil.copytree(out, copy)
    folder = tmp_path / "folder"
    folder.mkdir()
    PIL.Image.fromarray(pixels(0)).save(folder / "a.png")
    PIL.Image.fromarray(pixels(0)[:9]).save(folder / "b.png")
    names = ("a.png", "b.png", "c.png", "../out.png")
    head = {"shard": "f", "height": SIZE_HW[0], "width": SIZE_HW[1], "masks": 1, "status": "done"}
    images = [{**head, "image_id": f"f/{name}", "member": name, "offset": None, "size": None} for name in names]
    masks = [mask_row("f", name, 1, 1) for name in names]
    write_shard(copy, "f", folder, sorted(images, key=lambda row: row["image_id"]), masks)
    done = export(copy, tmp_path / "coco")
    assert done.images == 9
    assert len(done.errors) == 3
    assert any("changed since" in reason for reason in done.errors.values())
    assert any("leaves its folder" in reason for reason in done.errors.values())


def test_a_mask_without_pixels_costs_its_image_only(made, tmp_path):
    out, _ = made
    shutil.copytree(out, tmp_path / "OUT")
    row = {"image_id": "t0/sa_1.png", "shard": "t0", "member": "sa_1.png", "mask_id": -3, "label": "none"}
    said = {**row, "height": SIZE_HW[0], "width": SIZE_HW[1], "review": "corrected", "dataset": "d"}
    write_layer(tmp_path / "OUT", [said])
    done = export(tmp_path / "OUT", tmp_path / "coco")
    assert done.images == 7
    assert "mask -3 has no pixels" in next(iter(done.errors.values()))


def test_rows_of_a_parquet_file_without_names_are_called_by_what_they_are(tmp_path, out_of_rows):
    out = out_of_rows
    done = export(out, tmp_path / "coco")
    assert done.errors == {}
    names = sorted(path.name for path in (tmp_path / "coco").rglob("*.jpg"))
    assert names == ["000000.jpg", "000001-b.jpg", "000002.jpg"]
    again = export(out, tmp_path / "again", data_dir=tmp_path / "data", export_media="none")
    assert again.images == 3
    assert {path.suffix for path in (tmp_path / "data").rglob("*.*") if path.is_file()} == {".jpg"}


def test_no_more_pictures_lie_about_than_one_shard_has(out_of_rows):
    source = ParquetSource(out_of_rows)
    folder = Path(source._temporary.name)
    assert [Path(path).name for path in source.paths()] == ["000000.jpg", "000001-b.jpg", "000002.jpg"]
    assert not [path for path in folder.rglob("*") if path.is_file()]
    assert [Path(image.path).is_file() for image in source.images(None)] == [True] * 3
    assert not [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def out_of_rows(tmp_path):
    """A Parquet file of three JPEGs, and OUT with a mask on each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.scale.conftest import SIZE_HW as JPEG_HW
    from tests.scale.conftest import jpeg

    folder = tmp_path / "in"
    folder.mkdir()
    rows = [{"image": {"bytes": jpeg(n), "path": "b.jpg" if n == 1 else None}} for n in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    head = {"height": JPEG_HW[0], "width": JPEG_HW[1]}
    there = {**head, "shard": "rows", "offset": None, "size": None, "masks": 1, "status": "done"}
    ids = [f"rows/00000{n}{'-b.jpg' if n == 1 else ''}" for n in range(3)]
    images = [{**there, "image_id": name, "member": str(n)} for n, name in enumerate(ids)]
    code = rle.encode(np.ones(JPEG_HW, bool))
    area = JPEG_HW[0] * JPEG_HW[1]
    said = {**head, "rle": code, "area": area, "label": "all"}
    masks = [mask_row("rows", str(n), 0, 1, **said, image_id=name) for n, name in enumerate(ids)]
    write_shard(tmp_path / "OUT", "rows", folder / "rows.parquet", images, masks)
    return tmp_path / "OUT"
