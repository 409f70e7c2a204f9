"""Which shards an input has, and when one counts as changed."""

from __future__ import annotations

import json
import os
import shutil
import sys

import datasets
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.folders.sa1b_json import masks_of
from fiftyone_ssa.scale import inputs, lance_images
from fiftyone_ssa.scale.inputs import find_shards, read_folder
from fiftyone_ssa.scale.lance_images import read_lance
from fiftyone_ssa.scale.parquet_images import read_arrow, read_parquet
from fiftyone_ssa.scale.readers import READERS
from fiftyone_ssa.scale.shards import Shard
from fiftyone_ssa.scale.stages import read_inputs
from tests.scale.conftest import SIZE_HW, jpeg, masks, pairs, write_tar


def names(*sources, needs_masks=True, **more) -> list[str]:
    return [shard.name for shard in find_shards(sources, needs_masks=needs_masks, **more)]


def fill(folder, numbers) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
        (folder / f"{number}.json").write_bytes(masks(number))


def test_a_folder_gives_its_tars_and_its_images_by_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "IMAGES_A_SHARD", 3)
    fill(tmp_path / "in", range(4))
    fill(tmp_path / "in" / "deep" / "er", range(2))
    fill(tmp_path / "in" / ".hidden", range(2))
    write_tar(tmp_path / "in" / "a" / "sa_1.tar", [])
    write_tar(tmp_path / "in" / "sa_2.tar.gz", [])
    (tmp_path / "in" / "out" / "masks").mkdir(parents=True)
    (tmp_path / "in" / "out" / "masks" / "part.parquet").write_bytes(b"")
    expected = ["sa_2", "in/00000", "in/00001", "a/sa_1", "in/deep/er/00000"]
    assert names(tmp_path / "in", leave_out=f"file://{tmp_path}/in/out") == expected
    shards = find_shards([f"{tmp_path}/in/"], needs_masks=True, leave_out=f"file://{tmp_path}/in/out")
    records = [record for shard in shards if shard.kind == "folder" for record in read_folder(shard, needs_masks=True)]
    assert {record.id: (record.image, record.masks) for record in records} == {
        **{f"in/{n}.jpg": (jpeg(n), masks(n)) for n in range(4)},
        **{f"in/deep/er/{n}.jpg": (jpeg(n), masks(n)) for n in range(2)},
    }


def test_lists_patterns_and_numbers(tmp_path):
    for number in range(8, 12):
        write_tar(tmp_path / f"sa_{number:03d}.tar", [])
    assert names(f"{tmp_path}/sa_{{009..010}}.tar") == ["sa_009", "sa_010"]
    assert names(f"{tmp_path}/sa_00*.tar") == ["sa_008", "sa_009"]
    assert names(tmp_path / "sa_011.tar", tmp_path / "sa_008.tar") == ["sa_011", "sa_008"]


def test_an_image_that_is_named_itself(tmp_path):
    fill(tmp_path / "in", range(2))
    shards = find_shards([tmp_path / "in" / "1.jpg", tmp_path / "in" / "0.jpg"], needs_masks=True)
    assert [shard.name for shard in shards] == ["in/1.jpg", "in/0.jpg"]
    assert [record.id for shard in shards for record in read_folder(shard, needs_masks=True)] == [
        "in/1.jpg",
        "in/0.jpg",
    ]


def test_any_store_of_fsspec():
    store = fsspec.filesystem("memory")
    for number in range(2):
        store.pipe_file(f"/bucket/in/{number}.jpg", jpeg(number))
        store.pipe_file(f"/bucket/in/{number}.json", masks(number))
    (shard,) = find_shards(["memory://bucket/in"], needs_masks=True)
    assert (shard.name, shard.source) == ("in/00000", "memory:///bucket/in")
    assert [record.image for record in read_folder(shard, needs_masks=True)] == [jpeg(0), jpeg(1)]


def test_a_changed_file_changes_the_stamp(tmp_path):
    fill(tmp_path / "in", range(3))
    write_tar(tmp_path / "in" / "sa.tar", pairs([1]))

    def stamps():
        return [shard.stamp for shard in find_shards([tmp_path / "in"], needs_masks=True)]

    before = stamps()
    assert stamps() == before
    os.utime(tmp_path / "in" / "2.json")
    assert [new != old for new, old in zip(stamps(), before, strict=True)] == [False, True]


def test_masks_that_are_missing(tmp_path, caplog):
    fill(tmp_path / "in", range(2))
    (tmp_path / "in" / "1.json").unlink()
    (tmp_path / "in" / "none").mkdir()
    (tmp_path / "in" / "none" / "9.jpg").write_bytes(jpeg(9))
    (shard,) = find_shards([tmp_path / "in"], needs_masks=True)
    assert [record.problem for record in read_folder(shard, needs_masks=True)] == ["", "no 1.json beside it"]
    assert "none/ is left out: none of its 1 images" in caplog.text
    (tmp_path / "in" / "0.jpg").unlink()
    assert "is gone" in next(iter(read_folder(shard, needs_masks=True))).problem


def test_links_are_followed_once_and_pipes_are_no_images(tmp_path, caplog):
    fill(tmp_path / "elsewhere", range(2))
    fill(tmp_path / "in", range(2, 3))
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "circle").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "in" / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "in" / "linked.jpg").symlink_to(tmp_path / "pipe")
    (tmp_path / "in" / "odd.tar.zst").write_bytes(b"")
    shards = find_shards([tmp_path / "in"], needs_masks=False)
    records = [record for shard in shards for record in read_folder(shard, needs_masks=False)]
    assert {record.id: record.image for record in records if not record.problem} == {
        "in/2.jpg": jpeg(2),
        **{f"in/again/{n}.jpg": jpeg(n) for n in range(2)},
    }
    assert [record.id for record in records if record.problem] == ["in/gone.jpg"]
    assert "circle is left out: it is a link to a folder that holds" in caplog.text
    assert "linked is left out" in caplog.text
    assert "1 .zst left out" in caplog.text


def test_a_file_that_cannot_be_read_costs_itself_only(tmp_path, monkeypatch):
    fill(tmp_path / "in", range(2))
    (shard,) = find_shards([tmp_path / "in"], needs_masks=False)
    (tmp_path / "in" / "0.jpg").unlink()
    (tmp_path / "in" / "0.jpg").symlink_to("0.jpg")
    assert [record.problem[:17] for record in read_folder(shard, needs_masks=False)] == ["it cannot be read", ""]


def test_names_that_are_no_utf_8_are_told(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9")
    fill(path, range(1))
    write_tar(path / "sa.tar", pairs(range(1)))
    folder, tar = sorted(find_shards([tmp_path], needs_masks=True), key=lambda shard: shard.kind)
    (record,) = read_folder(folder, needs_masks=True)
    assert (record.id, tar.name) == (f"{tmp_path.name}/caf\\udce9/0.jpg", "caf\\udce9/sa")
    assert "is not UTF-8" in record.problem


def test_results_are_no_input(tmp_path):
    fill(tmp_path / "in", range(1))
    for folder in (tmp_path / "in", tmp_path / "in" / "other"):
        fill(folder / "images", range(1))
        (folder / "images" / "part.parquet").write_bytes(b"")
        (folder / "manifest.jsonl").write_text("")
    assert names(tmp_path / "in") == ["in/00000"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: [folder / "nowhere"], "does not exist"),
        (lambda folder: [folder], "holds no images with <image name>.json beside them, no tar"),
        (lambda folder: ["nostore://x/y"], "cannot be listed"),
        (lambda folder: [write_tar(folder / place / "sa.tar", []) for place in "ab"], "would both be called sa"),
        (lambda folder: [write_tar(folder / "sa.tar", [])] * 2, r"sa\.tar is named twice"),
        (lambda folder: [write_tar(folder / "a" / "sa.tar", []), folder, f"{folder}-"], r"sa\.tar lies in .*, which"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path, make, says):
    with pytest.raises(InputError, match=says):
        find_shards(make(tmp_path), needs_masks=True)


@pytest.mark.parametrize(
    ("columns", "ids"),
    [
        ({"image": [{"bytes": jpeg(n), "path": f"{n}.jpg"} for n in range(3)]}, ["0.jpg", "1.jpg", "2.jpg"]),
        ({"jpg": [jpeg(n) for n in range(3)], "__key__": ["a", "b", "b"]}, ["a", "b", "b"]),
        ({"text": ["x"] * 3, "other": [jpeg(n) for n in range(3)], "id": [5, 6, 7]}, ["5", "6", "7"]),
    ],
)
def test_parquet_with_image_bytes(tmp_path, columns, ids):
    table = pa.table(columns | {"json": [masks(0).decode(), masks(1).decode(), None]})
    pq.write_table(table, tmp_path / "d.parquet", row_group_size=2)
    (shard,) = find_shards([tmp_path], needs_masks=True)
    records = list(read_parquet(shard, needs_masks=True))
    assert [record.id for record in records] == [f"d/{place:06d}-{name}" for place, name in enumerate(ids)]
    assert [record.member for record in records] == ["0", "1", "2"]
    assert [record.image for record in records] == [jpeg(n) for n in range(3)]
    assert [record.masks for record in records] == [masks(0), masks(1), None]
    assert [record.problem for record in records] == ["", "", "this row holds no masks"]
    assert [record.problem for record in read_parquet(shard, needs_masks=False)] == [""] * 3


@pytest.mark.parametrize(
    "columns",
    [
        {"image": pa.array([jpeg(0)]).dictionary_encode(), "json": pa.array([masks(0).decode()]).dictionary_encode()},
        {"photo": pa.array([jpeg(0)], pa.binary(len(jpeg(0)))), "json": [masks(0)]},
        {"json": [json.loads(masks(0))], "image": [jpeg(0)]},
        {"annotations": [json.loads(masks(0))["annotations"]], "image": pa.array([jpeg(0)], pa.large_binary())},
    ],
)
def test_columns_in_other_forms(tmp_path, columns):
    pq.write_table(pa.table(columns), tmp_path / "d.parquet")
    (record,) = read_parquet(Shard("d", "parquet", f"{tmp_path}/d.parquet", ""), needs_masks=True)
    assert (record.image, record.problem) == (jpeg(0), "")
    found = read_inputs(record, with_names=False).masks
    assert found.areas_px.tolist() == masks_of(json.loads(masks(0)), "", SIZE_HW).areas_px.tolist()
    assert found.source_ids == (7, 6)


def test_a_damaged_file_of_rows_gives_what_stands_before(tmp_path):
    table = pa.table({"image": [jpeg(n) for n in range(4)]})
    with pa.OSFile(f"{tmp_path}/d.arrow", "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        for batch in table.to_batches(max_chunksize=1):
            stream.write_batch(batch)
    pq.write_table(table, tmp_path / "e.parquet", row_group_size=1, compression="none")
    place = pq.ParquetFile(tmp_path / "e.parquet").metadata.row_group(2).column(0)
    parquet = bytearray((tmp_path / "e.parquet").read_bytes())
    start = place.dictionary_page_offset or place.data_page_offset
    parquet[start : start + 20] = b"\xff" * 20
    (tmp_path / "e.parquet").write_bytes(parquet)
    (tmp_path / "d.arrow").write_bytes((tmp_path / "d.arrow").read_bytes()[:-900])
    for shard in find_shards([tmp_path], needs_masks=False):
        *good, last = READERS[shard.kind](shard, needs_masks=False)
        assert [record.image for record in good] == [jpeg(n) for n in range(len(good))]
        assert len(good) >= 2
        assert "is damaged" in last.problem


def test_what_datasets_saves_to_a_disk(tmp_path):
    images = [{"bytes": jpeg(n), "path": f"{n}.jpg"} for n in range(5)]
    features = datasets.Features({"image": datasets.Image(), "json": datasets.Value("string")})
    saved = datasets.Dataset.from_dict({"image": images, "json": [masks(n).decode() for n in range(5)]}, features)
    saved.save_to_disk(tmp_path / "saved" / "train", num_shards=2)
    shards = find_shards([tmp_path / "saved"], needs_masks=True)
    assert [shard.name for shard in shards] == ["train/data-00000-of-00002", "train/data-00001-of-00002"]
    records = [record for shard in shards for record in READERS[shard.kind](shard, needs_masks=True)]
    assert [record.id.rpartition("/")[2] for record in records] == [f"{n % 3:06d}-{n}.jpg" for n in range(5)]
    assert [(record.image, record.masks) for record in records] == [(jpeg(n), masks(n)) for n in range(5)]
    with pa.OSFile(f"{tmp_path}/file.arrow", "wb") as file, pa.ipc.new_file(file, saved.data.schema) as whole:
        whole.write_table(saved.data.table)
    (shard,) = find_shards([tmp_path / "file.arrow"], needs_masks=True)
    assert [record.image for record in read_arrow(shard, needs_masks=True)] == [jpeg(n) for n in range(5)]
    (tmp_path / "file.arrow").write_bytes((tmp_path / "file.arrow").read_bytes()[:900])
    assert "damaged" in next(iter(read_arrow(shard, needs_masks=False))).problem


def test_lance(tmp_path, monkeypatch):
    lance = pytest.importorskip("lance", reason="needs pylance (pip install 'fiftyone-ssa[lance]')")
    monkeypatch.setattr(lance_images, "ROWS_A_SHARD", 2)
    path = str(tmp_path / "in" / "deep" / "set.lance")

    def table(numbers):
        return pa.table({"id": list(numbers), "image": [jpeg(n) for n in numbers], "json": [masks(n) for n in numbers]})

    lance.write_dataset(table(range(5)), path, max_rows_per_file=3)
    shards = find_shards([tmp_path / "in"], needs_masks=True)
    assert [shard.name for shard in shards] == [
        f"deep/set/{name}" for name in ("00000-00000", "00000-00001", "00001-00000")
    ]
    records = [record for shard in shards for record in READERS[shard.kind](shard, needs_masks=True)]
    assert [(record.id, record.image, record.masks) for record in records] == [
        (f"{shards[n // 2 if n < 3 else 2].name}/{n % 3:06d}-{n}", jpeg(n), masks(n)) for n in range(5)
    ]
    lance.write_dataset(table([7]), path, mode="append").delete("id = 4")
    later = find_shards([path], needs_masks=False)
    assert [shard.stamp == before.stamp for shard, before in zip(later, shards, strict=False)] == [True, True, False]
    assert [record.image for record in read_lance(later[3], needs_masks=False)] == [jpeg(7)]
    shutil.rmtree(path)
    with pytest.raises(OSError, match="cannot be opened"):
        next(read_lance(later[0], needs_masks=False))
    (tmp_path / "none.lance").mkdir()
    with pytest.raises(InputError, match=r"none\.lance cannot be listed"):
        find_shards([tmp_path / "none.lance"], needs_masks=False)


def test_without_lance_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lance", None)
    (tmp_path / "set.lance").mkdir()
    with pytest.raises(MissingDependencyError, match=r"pip install 'fiftyone-ssa\[lance\]'"):
        find_shards([tmp_path / "set.lance"], needs_masks=False)


def test_parquet_of_something_else_is_one_problem(tmp_path):
    shard = Shard("d", "parquet", str(tmp_path / "d.parquet"), "")
    (tmp_path / "d.parquet").write_bytes(b"PAR1 and no more")
    assert "damaged" in next(iter(read_parquet(shard, needs_masks=False))).problem
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "d.parquet")
    assert "no column holds image bytes" in next(iter(read_parquet(shard, needs_masks=False))).problem
    pq.write_table(pa.table({"image": [b"x"]}), tmp_path / "d.parquet")
    assert "no column holds SA-1B's JSON" in next(iter(read_parquet(shard, needs_masks=True))).problem
