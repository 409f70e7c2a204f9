"""Chosen masks in FiftyOne, equal to their rows, and what people corrected there laid over the rows."""

from dataclasses import replace
from pathlib import Path

import fiftyone as fo
import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("duckdb")

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.exporting import export
from fiftyone_ssa.labels.database import documents
from fiftyone_ssa.labels.stored_masks import mask_counts
from fiftyone_ssa.masks import rle
from fiftyone_ssa.scale.counting import stats
from fiftyone_ssa.scale.loading import select
from fiftyone_ssa.scale.pictures import safe_name
from fiftyone_ssa.scale.query import Output
from fiftyone_ssa.scale.returning import return_corrections
from tests.scale.conftest import jpeg, masks, pairs, write_tar
from tests.scale.outputs import SIZE_HW, in_store, pixels, write_shard


@pytest.fixture
def loaded(output, tmp_path):
    """A dataset with all masks of an output folder, that folder, and its rows."""
    out, rows = output
    dataset = select(out, media_dir=tmp_path / "media").dataset
    yield dataset, out, rows
    dataset.delete()


def held(out, where="true"):
    """The masks as a question sees them now."""
    with Output(out) as output:
        found = output.rows(f"SELECT * EXCLUDE (filename, file_row_number) FROM masks WHERE {where}")
        return {(row["image_id"], row["mask_id"]): row for row in found}


def change(dataset, image_id, mask_id, **values):
    """Edit one mask as the App does."""
    sample = dataset.match(fo.ViewField("image_id") == image_id).first()
    for detection in sample.ssa.detections:
        if detection.sa1b_id == mask_id:
            for name, value in values.items():
                detection[name] = value
    sample.save()


def test_masks_are_the_rows_and_images_come_from_their_tars(loaded, tmp_path):
    dataset, out, rows = loaded
    assert dataset.count() == 8
    left = {(row["image_id"], row["mask_id"]): row for row in rows}
    for document in documents(dataset):
        for detection in document["ssa"]["detections"]:
            row = left.pop((document["image_id"], detection["sa1b_id"]))
            assert mask_counts(detection, SIZE_HW) == row["rle"]
            assert (detection["label"] if row["label"] else None) == row["label"]
            assert detection.get("class_name") == row["label"]
            assert detection["area"] == row["area"]
            assert detection["confidence"] == pytest.approx(row["confidence"])
            assert detection.get("vote_margin") == (row["margin"] and pytest.approx(row["margin"]))
            assert detection["class_proposals"] == row["proposals"]
            assert "review" not in detection
        if document["image_id"] == "t1/sa_2.png":
            np.testing.assert_array_equal(np.asarray(PIL.Image.open(document["filepath"])), pixels(102))
    assert not left
    assert return_corrections(dataset).layer is None
    assert not (out / "corrections").exists()


def test_only_what_is_chosen_is_unpacked(output, tmp_path):
    out, _ = output
    done = select(out, "label = 'car'", limit=2, media_dir=tmp_path / "media")
    pictures = list((tmp_path / "media").rglob("*.png"))
    assert len(pictures) == done.images == done.dataset.count()
    assert done.masks == 2
    assert str(done).startswith("2 masks on")
    done.dataset.delete()


def test_corrections_come_back_and_the_next_select_sees_them(loaded):
    dataset, out, _ = loaded
    image, other = "t0/sa_0.png", "t1/sa_1.png"
    before = held(out)
    change(dataset, image, 100, label="house")
    change(dataset, image, 101, review="accepted", reviewed_by="ann")
    change(dataset, image, 102, tags=["odd"])
    mask = dataset.match(fo.ViewField("image_id") == other).first().ssa.detections[0].mask.copy()
    mask[0] = False
    change(dataset, other, 100, mask=mask)
    sample = dataset.match(fo.ViewField("image_id") == other).first()
    sample.ssa.detections = [each for each in sample.ssa.detections if each.sa1b_id != 101]
    box = [8 / 64, 8 / 48, 4 / 64, 4 / 48]
    sample.ssa.detections.append(fo.Detection(label="kite", bounding_box=box, mask=np.ones((4, 4), bool)))
    sample.save()

    told = return_corrections(dataset, dry_run=True)
    assert told.layer is None
    assert str(told).startswith("would return 6 corrections")
    done = return_corrections(dataset)
    assert done.counts == dict.fromkeys(("relabelled", "redrawn", "drawn", "deleted"), 1) | {"reviewed or tagged": 2}
    after = held(out)
    assert len(after) == len(before) + 1
    assert (after[image, 100]["label"], after[image, 100]["class_name"]) == ("house", before[image, 100]["label"])
    assert after[image, 100]["review"] == "corrected"
    assert (after[image, 101]["review"], after[image, 101]["reviewed_by"]) == ("accepted", "ann")
    assert after[image, 102]["tags"] == ["odd"]
    redrawn = after[other, 100]
    assert rle.decode(redrawn["rle"], SIZE_HW).sum() == redrawn["area"] < before[other, 100]["area"]
    assert (after[other, 101]["review"], after[other, 101]["label"]) == ("rejected", before[other, 101]["label"])
    (new,) = [row for key, row in after.items() if key[1] < 0]
    assert (new["label"], new["class_name"], new["area"], new["x"]) == ("kite", None, 16, 8)
    untouched = set(before) - {(image, 100), (image, 101), (image, 102), (other, 100), (other, 101)}
    assert all(after[key] == before[key] for key in untouched)
    assert return_corrections(dataset).layer is None  # once

    again = select(out, "review IS NOT NULL OR tags IS NOT NULL", media_dir=out.parent / "media").dataset
    words = {(s.image_id, d.sa1b_id): (d.label, getattr(d, "review", None)) for s in again for d in s.ssa.detections}
    assert words[image, 100] == ("house", "corrected")
    assert len(words) == 6
    assert return_corrections(again).layer is None
    again.delete()


def test_what_was_corrected_can_be_taken_back(loaded):
    dataset, out, rows = loaded
    said = rows[0]["label"]
    change(dataset, "t0/sa_0.png", 100, label="house")
    return_corrections(dataset)
    change(dataset, "t0/sa_0.png", 100, label=said)
    assert return_corrections(dataset).counts == {"taken back": 1}
    now = held(out)["t0/sa_0.png", 100]
    assert (now["label"], now["review"]) == (said, None)
    change(dataset, "t0/sa_0.png", 100, label="")
    return_corrections(dataset)
    now = held(out)["t0/sa_0.png", 100]
    assert (now["label"], now["review"]) == (None, "corrected")


def test_what_another_dataset_returned_meanwhile_stays(loaded, tmp_path):
    dataset, out, _ = loaded
    second = select(out, media_dir=tmp_path / "media").dataset
    change(dataset, "t0/sa_0.png", 100, label="house")
    return_corrections(dataset)
    assert return_corrections(second).layer is None  # what it has not touched is not its own
    change(second, "t0/sa_0.png", 100, label="barn")
    change(second, "t0/sa_0.png", 101, label="barn")
    done = return_corrections(second)
    assert done.counts == {"decided elsewhere": 1, "relabelled": 1}
    assert "decided elsewhere" in str(done)
    assert held(out)["t0/sa_0.png", 100]["label"] == "house"
    return_corrections(second, overwrite=True)
    assert held(out)["t0/sa_0.png", 100]["label"] == "barn"
    second.delete()


def test_a_bad_image_costs_itself_only(output, tmp_path):
    out, rows = output
    images = [
        {"image_id": f"t0/{name}", "shard": "t0", "member": name, "offset": place, "size": size}
        for name, place, size in (
            ("sa_0.png", 512, 9_000_000),
            ("sa_1.png", 0, 512),
            ("sa_2.png", -4, 9),
            ("sa_3.png", None, None),
        )
    ]
    images = [{**image, "height": 48, "width": 64, "masks": 3, "status": "done"} for image in images]
    write_shard(out, "t0", tmp_path / "t0.tar", images, [row for row in rows if row["shard"] == "t0"])
    done = select(out, media_dir=tmp_path / "media")
    assert sorted(done.errors) == [f"t0/sa_{index}.png" for index in range(3)]
    assert done.images == 5  # the fourth, without a place, is looked for in the tar
    done.dataset.delete()


def test_images_of_a_folder_stay_where_they_are_and_no_path_leaves_it(output, tmp_path):
    out, rows = output
    mine = [row | {"shard": "f", "image_id": f"f/{row['member']}"} for row in rows if row["image_id"] == "t0/sa_0.png"]
    mine.append(mine[0] | {"image_id": "f/out", "member": "../../secret.png"})
    (tmp_path / "folder").mkdir()
    PIL.Image.fromarray(pixels(0)).save(tmp_path / "linked.png")
    (tmp_path / "folder" / "sa_0.png").symlink_to(tmp_path / "linked.png")
    PIL.Image.fromarray(pixels(0)).save(tmp_path.parent / "secret.png")
    images = [
        {
            "image_id": row["image_id"],
            "shard": "f",
            "member": row["member"],
            "height": 48,
            "width": 64,
            "masks": 1,
            "status": "done",
        }
        for row in (mine[0], mine[-1])
    ]
    write_shard(out, "f", tmp_path / "folder", images, mine)
    done = select(out, "shard = 'f'")
    assert [sample.filepath for sample in done.dataset] == [str(tmp_path / "folder" / "sa_0.png")]
    assert "leaves its folder" in done.errors["f/out"]
    done.dataset.delete()


def test_what_a_run_wrote_is_asked_and_loaded(tars, tmp_path, preset):
    from fiftyone_ssa.scale.running import annotate_shards

    annotate_shards(tars, tmp_path / "out", preset, device="cpu", progress=False)
    done = select(tmp_path / "out", "label = 'grass' OR area > 0")
    assert done.errors == {}
    assert done.masks > done.images == done.dataset.count() > 0
    rows = held(tmp_path / "out")
    for document in documents(done.dataset):
        size_hw = document["metadata"]["height"], document["metadata"]["width"]
        for detection in document["ssa"]["detections"]:
            assert mask_counts(detection, size_hw) == rows[document["image_id"], detection["sa1b_id"]]["rle"]
    done.dataset.delete()


def write_parquet(folder):
    rows = [{"image": {"bytes": jpeg(n), "path": f"{n}.jpg" if n % 2 else None}, "json": masks(n)} for n in range(5)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet", row_group_size=2)


def write_folder(folder):
    for name, data in pairs(range(5)):
        (folder / name).write_bytes(data)


def write_store(folder):
    import fsspec

    for name, data in pairs(range(5)):
        fsspec.filesystem("memory").pipe_file(f"/pictures/{name[2:]}", data)
    return "memory://pictures"


def write_arrow(folder):
    rows = pa.Table.from_pylist([{"image": {"bytes": jpeg(n)}, "json": masks(n)} for n in range(5)])
    with pa.ipc.new_stream(folder / "rows.arrow", rows.schema) as file:
        file.write_table(rows, max_chunksize=2)


def write_lance(folder):
    lance = pytest.importorskip("lance")
    rows = [{"image": jpeg(n), "json": masks(n)} for n in range(5)]
    lance.write_dataset(pa.Table.from_pylist(rows), folder / "rows.lance", max_rows_per_file=2)


INPUTS = [
    lambda folder: write_tar(folder / "a.tar.gz", pairs(range(5))),
    write_parquet,
    write_arrow,
    write_lance,
    write_folder,
    write_store,
]


@pytest.mark.parametrize("write", INPUTS, ids=["compressed tar", "parquet", "arrow", "lance", "folder", "store"])
def test_pictures_of_every_kind_of_input_are_found_again(write, tmp_path, preset):
    from fiftyone_ssa.scale.running import annotate_shards

    folder = tmp_path / "in"
    folder.mkdir()
    url = write(folder)
    given = url if isinstance(url, str) else folder
    annotate_shards(given, tmp_path / "out", preset, device="cpu", progress=False)
    for where, count in (("true", 5), ("mask_id = 6 AND image_id = (SELECT max(image_id) FROM images)", 1)):
        done = select(tmp_path / "out", where, media_dir=tmp_path / "media")
        assert done.errors == {}
        assert sorted(Path(path).read_bytes() for path in done.dataset.values("filepath")) == sorted(
            jpeg(n) for n in (range(5) if count == 5 else [4])
        )
        assert all(path.endswith(".jpg") for path in done.dataset.values("filepath"))
        done.dataset.delete()


def test_rows_of_a_file_that_was_changed_since_are_no_other_pictures(tmp_path, preset):
    from fiftyone_ssa.scale.running import annotate_shards

    tar = write_tar(tmp_path / "in" / "a.tar.gz", pairs(range(3)))
    annotate_shards(tar, tmp_path / "out", preset, device="cpu", progress=False)
    write_tar(tar, [*pairs([0]), ("sa_1.jpg", b"no picture")])
    done = select(tmp_path / "out", media_dir=tmp_path / "media")
    assert done.images == 1
    assert "no longer in" in done.errors["a/sa_2.jpg"]
    assert "a/sa_1.jpg" in done.errors
    done.dataset.delete()
    tar.unlink()
    with_file = select(tmp_path / "out", media_dir=tmp_path / "media")  # what is there already needs no tar
    assert with_file.images == 1
    assert "cannot be read" in with_file.errors["a/sa_2.jpg"] or "gone" in with_file.errors["a/sa_2.jpg"]
    with_file.dataset.delete()


@pytest.mark.parametrize(
    "name", ["../../secret.jpg", "/etc/passwd", ".hidden", "a" * 300 + ".jpg", "x\n*.jpg", "", "a//b.jpg"]
)
def test_no_name_leaves_its_folder(name):
    safe = safe_name(name)
    assert safe
    assert not any(part in ("", "..") or part.startswith(".") or len(part) > 200 for part in safe.split("/"))
    assert safe != safe_name(name + "2")
    assert safe_name("sub/Bäume-1.jpg") == "sub/Bäume-1.jpg"


def test_a_part_without_a_column_that_may_be_null_is_read(output, tmp_path):
    out, rows = output
    part = next((out / "masks").glob("*t1*"))
    pq.write_table(pq.read_table(part).drop_columns(["caption", "level", "parent", "margin"]), part)
    done = select(out, media_dir=tmp_path / "media")
    assert (done.masks, done.errors) == (len(rows), {})
    done.dataset.delete()
    assert export(str(out), tmp_path / "coco", data_dir=tmp_path / "data", progress=False).errors == {}


def test_refusals(output, tmp_path):
    out, _ = output
    with pytest.raises(InputError, match="no mask"):
        select(out, "label = 'nothing'")
    fields = [{"label_field": name} for name in ("_x", "a.b", "", "id", "image_id", "shard", "filepath")]
    for values in ({"sample": "best"}, {"limit": 0}, {"per_class": "3"}, {"seed": 1.5}, *fields):
        with pytest.raises(InputError):
            select(out, **values)
    dataset = fo.Dataset()
    dataset.add_sample(fo.Sample(filepath="a.png", ssa=fo.Detections()))
    with pytest.raises(InputError, match="not filled by select"):
        return_corrections(dataset)
    dataset.delete()


def test_labels_in_a_store_are_chosen_and_corrected_as_those_of_a_folder(output, tmp_path):
    out, rows = output
    url = in_store(out)
    assert replace(stats(url), out="") == replace(stats(out), out="")
    assert held(url) == held(out)
    dataset = select(url, where="shard = 't0'", media_dir=tmp_path / "media").dataset
    of_shard = {(row["image_id"], row["mask_id"]): row["rle"] for row in rows if row["shard"] == "t0"}
    for document in documents(dataset):
        for detection in document["ssa"]["detections"]:
            assert mask_counts(detection, SIZE_HW) == of_shard.pop((document["image_id"], detection["sa1b_id"]))
    assert not of_shard
    change(dataset, "t0/sa_1.png", 101, label="house")
    done = return_corrections(dataset)
    assert str(done.layer).startswith(f"{url}/corrections/")
    assert held(url)["t0/sa_1.png", 101]["label"] == "house"
    assert return_corrections(dataset).layer is None
    assert not (out / "corrections").exists()
    dataset.delete()
    with Output(url) as asked, pytest.raises(InputError, match="Permission"):
        asked.check_where("(select count(*) from read_parquet('labels://settings.json')) > 0")
    with pytest.raises(InputError, match=r"no shard of memory://nothing is finished|no shard of memory:///nothing"):
        stats("memory://nothing")
