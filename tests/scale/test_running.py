"""Shards in, Parquet out: rows as the published JSONs have them, every image once, whatever is broken or stopped."""

from __future__ import annotations

import json
import os
import tarfile

import datasets
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from fiftyone_ssa.cli import main
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files import images
from fiftyone_ssa.folders.annotate import annotate_files
from fiftyone_ssa.masks import rle
from fiftyone_ssa.presets import load_preset
from fiftyone_ssa.scale import inputs, running, writing
from fiftyone_ssa.scale.layers import write_layer
from fiftyone_ssa.scale.manifest import MANIFEST, TABLES, read_manifest
from fiftyone_ssa.scale.parquet_rows import mask_rows
from fiftyone_ssa.scale.rows import FAILED, IMAGES, MASKS, mask_schema
from fiftyone_ssa.scale.running import annotate_shards
from fiftyone_ssa.scale.store import Store
from fiftyone_ssa.types import Annotation, Proposals
from tests.scale.conftest import broken, jpeg, masks, pairs, write_tar


def run(data, out, preset, **more):
    return annotate_shards(data, out, preset, device="cpu", progress=False, **more)


def rows(out, table="masks") -> list[dict]:
    """The rows of the parts that the manifest names, in its order."""
    parts = [entry.part for entry in read_manifest(Store(out)).values()]
    return [row for part in parts for row in pq.read_table(f"{out}/{table}/{part}").to_pylist()]


def test_rows_say_what_the_published_files_say(tars, tmp_path, preset):
    summary = run(tars, tmp_path / "out", preset)
    assert (summary.shards, summary.images, summary.masks, summary.failed) == (3, 15, 30, 0)
    for tar in tars.glob("*.tar"):
        with tarfile.open(tar) as file:
            file.extractall(tmp_path / "unpacked" / tar.stem, filter="data")
    annotate_files(tmp_path / "unpacked", tmp_path / "json", preset, device="cpu", progress=False)
    found = rows(tmp_path / "out")
    assert len(found) == 30
    for row in found:
        image = row["image_id"].removesuffix(".jpg")
        record = json.loads((tmp_path / "json" / f"{image}_semantic.json").read_text())
        (same,) = [each for each in record["annotations"] if each["id"] == row["mask_id"]]
        assert row["rle"].decode() == same["segmentation"]["counts"]
        assert (row["height"], row["width"], row["area"]) == (60, 90, rle.decode(row["rle"], (60, 90)).sum())
        assert row["label"] == same["class_name"]
        assert row["proposals"][:1] == same["class_proposals"]
        assert row["confidence"] == pytest.approx(same["confidence"])
        assert row["margin"] == pytest.approx(same["vote_margin"])
        assert (row["level"], row["parent"]) == (("whole", None) if row["mask_id"] == 7 else ("part", 7))
    content = (tars / "sa_000001.tar").read_bytes()
    for row in rows(tmp_path / "out", "images"):
        if row["shard"] == "sa_000001":
            assert content[row["offset"] :][: row["size"]] == jpeg(int(row["member"][3:-4]))


def test_files_are_made_for_scans_and_read_by_all(tars, tmp_path, preset, monkeypatch):
    monkeypatch.setattr(writing, "ROW_GROUP", 4)
    run(tars, tmp_path / "out", preset)
    pattern = f"{tmp_path}/out/masks/*.parquet"
    for path in (tmp_path / "out" / "masks").iterdir():
        file = pq.ParquetFile(path)
        keys = [(row["image_id"], row["mask_id"]) for row in file.read().to_pylist()]
        assert keys == sorted(keys)
        assert file.schema_arrow.equals(MASKS)
        assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [4, 4, 2]
        column = {file.metadata.row_group(0).column(i).path_in_schema: i for i in range(len(MASKS))}
        label = file.metadata.row_group(0).column(column["label"])
        assert label.compression == "ZSTD"
        assert "RLE_DICTIONARY" in label.encodings
        assert label.statistics.max in ("grass", "hill", "sky")
    for table, schema in (("images", IMAGES), ("failed", FAILED)):
        assert all(pq.read_schema(path).equals(schema) for path in (tmp_path / "out" / table).iterdir())
    counts = [
        len(pd.read_parquet(tmp_path / "out" / "masks")),
        len(pl.read_parquet(pattern)),
        duckdb.sql(f"select count(*) from '{pattern}'").fetchall()[0][0],
        len(datasets.load_dataset("parquet", data_files=pattern, cache_dir=str(tmp_path / "hf"))["train"]),
    ]
    assert counts == [30] * 4


def test_what_is_broken_is_listed_and_the_rest_done(tars, tmp_path, preset):
    broken(tars)
    (tars / "sa_000003.tar").write_bytes(b"none")
    summary = run(tars, tmp_path / "out", preset)
    failed = {row["image_id"]: row["reason"] for row in rows(tmp_path / "out", "failed")}
    assert summary.errors == failed
    assert summary.failed == len(failed)
    assert failed["sa_000001/x.jpg"] == "no x.json is in the tar"
    assert "no image y.*" in failed["sa_000001/y.json"]
    assert "damaged" in failed["sa_000001/z.jpg"]
    assert "not a JSON file" in failed["sa_000001/w.jpg"]
    assert "cut" in failed["sa_000000"]
    assert "damaged" in failed["sa_000003"]
    done = {row["image_id"] for row in rows(tmp_path / "out", "images") if row["status"] == "done"}
    whole = {f"sa_00000{n // 5}/sa_{n}.jpg" for n in range(5, 15)}
    assert whole < done
    assert {row["image_id"] for row in rows(tmp_path / "out")} == done
    again = run(tars, tmp_path / "out", preset)
    assert (again.shards, again.skipped, again.failed_before) == (0, 4, len(failed))


def test_a_mask_that_cannot_be_read_costs_itself_only(tmp_path, preset):
    content = json.loads(masks(0))
    content["annotations"].insert(1, {"id": 9, "bbox": [0, 0, 5, 5]})
    write_tar(tmp_path / "tars/sa_000000.tar", [("./sa_0.jpg", jpeg(0)), ("./sa_0.json", json.dumps(content).encode())])
    summary = run(tmp_path / "tars", tmp_path / "out", preset)
    assert (summary.images, summary.masks, summary.failed, summary.bad_masks) == (1, 2, 0, 1)
    assert "1 mask that could not be read" in str(summary)
    assert sorted(row["mask_id"] for row in rows(tmp_path / "out")) == [6, 7]


def test_failed_images_are_tried_again_and_the_others_stay(tars, tmp_path, preset, monkeypatch):
    fresh = run(tars, tmp_path / "fresh", preset)
    tried = []

    def read_image(source):
        tried.append(str(source))
        if failing and str(source) in ("sa_6.jpg", "sa_8.jpg"):
            raise InputError("not today")
        return images.read_image(source)

    failing = True
    monkeypatch.setattr("fiftyone_ssa.scale.stages.read_image", read_image)
    assert run(tars, tmp_path / "out", preset).failed == 2
    monkeypatch.setattr("fiftyone_ssa.scale.job.time.sleep", lambda seconds: None)
    (part,) = (tmp_path / "out" / "masks").glob("part-sa_000001-*")
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    summary = run(tars, tmp_path / "out", preset, retry_failed=True)
    assert f"{part.name} cannot be read" in summary.unread["sa_000001"]
    part.write_bytes(whole)
    tried.clear()
    failing = False
    summary = run(tars, tmp_path / "out", preset, retry_failed=True)
    assert sorted(tried) == ["sa_6.jpg", "sa_8.jpg"]
    assert (summary.shards, summary.skipped, summary.failed, summary.images) == (1, 2, 0, 5)
    assert fresh.images == 15
    for table in TABLES:
        assert rows(tmp_path / "out", table) == rows(tmp_path / "fresh", table)
        assert len(list((tmp_path / "out" / table).iterdir())) == 3


def test_a_changed_tar_is_done_again_and_others_are_not(tars, tmp_path, preset):
    run(tars, tmp_path / "out", preset)
    kept = {path.name for path in (tmp_path / "out" / "masks").iterdir()}
    write_tar(tars / "sa_000001.tar", pairs(range(5, 8)))
    summary = run(tars, tmp_path / "out", preset)
    assert (summary.shards, summary.changed, summary.skipped, summary.images) == (1, 1, 2, 3)
    now = {path.name for path in (tmp_path / "out" / "masks").iterdir()}
    assert (len(now), len(now & kept)) == (3, 2)
    assert len(rows(tmp_path / "out")) == 26


def once(out) -> list[str]:
    """The images, each of which is there once, with its masks."""
    found = [row["image_id"] for row in rows(out, "images")]
    assert len({(row["image_id"], row["mask_id"]) for row in rows(out)}) == len(rows(out)) == 2 * len(set(found))
    return sorted(found)


def test_an_image_stands_once_however_its_folder_changes_or_is_named(tmp_path, preset, monkeypatch):
    monkeypatch.setattr(inputs, "IMAGES_A_SHARD", 2)
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    for name, content in pairs(range(5)):
        (data / name).write_bytes(content)
    assert run(data / "sa_3.jpg", out, preset).images == 1
    assert run(data, out, preset).images == 5
    assert once(out) == [f"data/sa_{n}.jpg" for n in range(5)]
    with pytest.raises(InputError, match="named by a folder"):
        run(data / "sa_3.jpg", out, preset)
    with pytest.raises(InputError, match="named by a folder"):
        run(tmp_path, out, preset)
    for n in (0, 2, 3):
        (data / f"sa_{n}.jpg").unlink()
    assert run(data, out, preset).changed == 3
    assert once(out) == ["data/sa_1.jpg", "data/sa_4.jpg"]
    assert run(data, out, preset).shards == 0


def test_other_images_of_the_same_name_replace_none(tmp_path, preset):
    for place, number in (("a", 0), ("b", 1)):
        write_tar(tmp_path / place / "sa.tar", pairs([number]))
    run(tmp_path / "a" / "sa.tar", tmp_path / "out", preset)
    with pytest.raises(InputError, match=r"holds rows of .*a/sa\.tar as sa, which .*b/sa\.tar would be"):
        run(tmp_path / "b" / "sa.tar", tmp_path / "out", preset)
    (tmp_path / "a").rename(tmp_path / "moved")
    assert run(tmp_path / "moved" / "sa.tar", tmp_path / "out", preset).skipped == 1


def test_long_and_odd_names_reach_the_tables(tmp_path, preset):
    folder = tmp_path / "data" / ("a" * 120) / ("b" * 120) / "\u00e9" / os.fsdecode(b"\xe9")
    folder.mkdir(parents=True)
    for name, content in pairs(range(1)):
        (folder / name).write_bytes(content)
        (folder.parent / name).write_bytes(content)
    (folder / "sa.tar").write_bytes(b"none")
    assert run(tmp_path / "data", tmp_path / "out", preset).images == 1
    reasons = [row["reason"] for row in rows(tmp_path / "out", "failed")]
    assert ["not UTF-8" in reason or "damaged" in reason for reason in reasons] == [True, True]


def test_only_what_the_manifest_names_counts(tars, tmp_path, preset):
    run(tars, tmp_path / "out", preset)
    before = rows(tmp_path / "out")
    manifest = tmp_path / "out" / MANIFEST
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(lines[:2]) + lines[2][:40])
    (tmp_path / "out" / "masks" / ".1-2.ssa-part").write_bytes(b"half")
    summary = run(tars, tmp_path / "out", preset)
    assert (summary.shards, summary.skipped) == (1, 2)
    assert rows(tmp_path / "out") == before
    assert [len(list((tmp_path / "out" / table).iterdir())) for table in TABLES] == [3, 3, 3]
    manifest.write_bytes(b"no json\n" + b"".join(lines))
    with pytest.raises(InputError, match="damaged in line 1"):
        run(tars, tmp_path / "out", preset)


def test_a_shard_whose_store_fails_is_not_committed(tars, tmp_path, preset, monkeypatch):
    monkeypatch.setattr("fiftyone_ssa.scale.job.time.sleep", lambda seconds: None)
    find = running.find_shards

    def vanishing(*args, **more):
        shards = find(*args, **more)
        (tars / "sa_000001.tar").rename(tmp_path / "away")
        return shards

    monkeypatch.setattr(running, "find_shards", vanishing)
    summary = run(tars, tmp_path / "out", preset)
    assert "sa_000001.tar cannot be read" in summary.errors["sa_000001"]
    assert (summary.shards, list(summary.unread)) == (2, ["sa_000001"])
    assert "1 shard could NOT BE READ" in str(summary)
    monkeypatch.undo()
    (tmp_path / "away").rename(tars / "sa_000001.tar")
    assert (run(tars, tmp_path / "out", preset).shards, len(rows(tmp_path / "out"))) == (1, 30)


def test_other_settings_are_refused_unless_they_replace(tars, tmp_path, preset):
    run(tars, tmp_path / "out", preset)
    other = load_preset(preset, {"semantic.vote": "auto"})
    with pytest.raises(InputError, match=r"settings differ in semantic\.vote"):
        run(tars, tmp_path / "out", other)
    assert run(tars, tmp_path / "out", other, overwrite=True).shards == 3
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 3
    assert len({row["revisions"] for row in rows(tmp_path / "out")}) == 1
    for damaged in ("{", "[]", "null", '{"preset": 3}'):
        (tmp_path / "out" / "settings.json").write_text(damaged)
        with pytest.raises(InputError, match=r"settings\.json is (damaged|not a JSON)"):
            run(tars, tmp_path / "out", other)


def test_masks_that_people_corrected_are_not_found_anew_under_their_ids(tars, tmp_path, preset):
    run(tars, tmp_path / "out", preset)
    write_layer(tmp_path / "out", [])
    before = rows(tmp_path / "out")
    with pytest.raises(InputError, match="holds what people said of masks"):
        run(tars, tmp_path / "out", load_preset(preset, {"masks.source": "sam"}), overwrite=True)
    assert rows(tmp_path / "out") == before
    assert run(tars, tmp_path / "out", preset, overwrite=True).shards == 3  # the same masks, under the same ids


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"out": ""}, "cannot take results: it names no folder"),
        ({"out": "s3://"}, "cannot take results: it names no folder"),
        ({"data": ""}, "cannot be listed: it names no folder"),
        ({"price": float("nan")}, "price must be"),
        ({"price": -1}, "price must be"),
        ({"ray": ""}, "ray must be local"),
    ],
)
def test_what_no_run_can_begin_with_is_said(tars, tmp_path, preset, more, says):
    with pytest.raises(InputError, match=says):
        run(**{"data": tars, "out": tmp_path / "out", "preset": preset} | more)


def test_progress_is_told_by_shard(tars, tmp_path, preset):
    run(tars, tmp_path / "out", preset, price=3600.0)
    lines = [json.loads(line) for line in (tmp_path / "out" / "progress.jsonl").read_text().splitlines()]
    assert [(line["shard"], line["images"], line["shards_done"], line["shards"]) for line in lines] == [
        (f"sa_00000{n}", 5, n + 1, 3) for n in range(3)
    ]
    assert all(line["images_per_second"] > 0 for line in lines)
    assert lines[2]["seconds_left"] == 0
    assert lines[0]["seconds_left"] == pytest.approx(2 * lines[0]["seconds"], abs=0.1)
    assert lines[1]["cost"] == pytest.approx(lines[1]["seconds"], rel=0.01)


def test_any_store_takes_the_same_rows(tars, tmp_path, preset):
    run(tars, tmp_path / "out", preset)
    assert run(tars, "memory://results/out", preset).shards == 3
    assert run(tars, "memory://results/out", preset).skipped == 3
    store = Store("memory://results/out")
    found = []
    for entry in read_manifest(store).values():
        with store.open(f"masks/{entry.part}") as file:
            found += pq.read_table(file).to_pylist()
    assert found == rows(tmp_path / "out")


def test_what_the_engine_says_has_columns_too():
    codes = [rle.encode(np.eye(8, dtype=bool)), rle.encode(np.ones((8, 8), bool))]
    annotation = Annotation(
        rle.mask_set((8, 8), codes, source_ids=["b", None]),
        ("line", None),
        np.array([0.75, np.nan]),
        (Proposals(("line", "path"), (0.5, 0.25)), Proposals()),
        captions=("a line", ""),
        label_sources=("caption", None),
        embeddings=np.array([[1, 0, 0], [0, 0.5, 0]], np.float16),
    )
    batch = mask_rows(annotation, image_id="i", shard="s", member="m", preset="p", revisions="r")
    assert batch.schema.equals(mask_schema(3))
    first, second = batch.to_pylist()
    names = ("mask_id", "label", "proposals", "margin", "confidence", "source", "caption", "embedding", "parent")
    assert [first[name] for name in names] == [
        0,
        "line",
        ["line", "path"],
        0.25,
        0.75,
        "caption",
        "a line",
        [1, 0, 0],
        1,
    ]
    assert [second[name] for name in names] == [1, None, [], None, None, None, "", [0, 0.5, 0], None]


def test_the_command(tars, tmp_path, preset, capsys):
    broken(tars)
    own = ["-s", "masks.source=existing", "-s", f"semantic.model={preset.semantic.model}", "--device", "cpu"]
    command = ["annotate", *map(str, sorted(tars.glob("*.tar"))), str(tmp_path / "out"), "--preset", "mini-ssa", *own]
    assert main(command) == 2
    assert "several inputs can only be had with --format parquet" in capsys.readouterr().err
    assert main([*command, "--format", "parquet", "--limit", "3"]) == 2
    assert "--limit can only be had with --format json" in capsys.readouterr().err
    assert main([*command, "--format", "parquet"]) == 1
    told = capsys.readouterr()
    assert "3 shards with" in told.out
    assert "FAILED sa_000001/x.jpg: no x.json is in the tar" in told.err
