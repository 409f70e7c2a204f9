"""An output folder asked: what matches, which of it, and that a question can neither write nor read elsewhere."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from fiftyone_ssa.errors import InputError

pytest.importorskip("duckdb")

from fiftyone_ssa.scale.counting import stats
from fiftyone_ssa.scale.layers import write_layer
from fiftyone_ssa.scale.query import Output
from fiftyone_ssa.scale.sampling import Sample
from fiftyone_ssa.scale.selecting import READERS, Selection, choose
from tests.scale.outputs import SIZE_HW, tar_shard, write_shard


def chosen(out, where="true", **sample):
    with Output(out) as output:
        selection = choose(output, where, Sample(**sample))
        found = [row for image in selection for row in image.masks]
        assert len(found) == selection.masks
        ranked = [(row["image_id"], row["mask_id"]) for row in selection.first(10**6)]
        return {(row["image_id"], row["mask_id"]): row for row in found}, ranked


def keys(rows):
    return [(row["image_id"], row["mask_id"]) for row in rows]


def test_rows_come_back_as_they_were_written(output):
    out, rows = output
    found, _ = chosen(out)
    assert len(found) == len(rows)  # and nothing of the shard that was killed
    for row in rows:
        same = found[row["image_id"], row["mask_id"]]
        assert {name: same[name] for name in ("rle", "label", "area", "proposals", "parent", "caption", "w")} == {
            name: row[name] for name in ("rle", "label", "area", "proposals", "parent", "caption", "w")
        }
        assert same["class_name"] == row["label"]
        assert same["review"] is None
        assert same["embedding"] == pytest.approx(row["embedding"].tolist())


def test_a_condition_is_that_of_a_plain_loop(output):
    out, rows = output
    plain = [row for row in rows if row["label"] == "car" and row["confidence"] > 0.4]
    assert 0 < len(plain) < len(rows)
    found, _ = chosen(out, "label = 'car' and confidence > .4 -- the sure ones")
    assert sorted(found) == sorted(keys(plain))
    many, _ = chosen(out, "image_id IN (SELECT image_id FROM masks WHERE label = 'car')")
    images = {row["image_id"] for row in rows if row["label"] == "car"}
    assert sorted(many) == sorted(keys(row for row in rows if row["image_id"] in images))


def test_samples(output):
    out, rows = output
    _, first = chosen(out, how="first", limit=5)
    assert first == sorted(keys(rows))[:5]
    _, doubtful = chosen(out, how="margin")
    plain = sorted(rows, key=lambda row: (row["margin"] is None, row["margin"] or 0, row["image_id"], row["mask_id"]))
    assert doubtful == keys(plain)
    _, any_ = chosen(out, limit=10)
    _, again = chosen(out, limit=10)
    _, other = chosen(out, limit=10, seed=52)
    assert any_ == again != other
    by_class, _ = chosen(out, per_class=2)
    assert {row["label"]: 0 for row in by_class.values()} == {row["label"]: 0 for row in rows}
    assert len(by_class) == 2 * len({row["label"] for row in rows})


def test_near_a_mask_is_by_cosine(output):
    import numpy as np

    out, rows = output
    target = rows[7]
    vectors = np.stack([row["embedding"] for row in rows]).astype(np.float64)
    cosine = vectors @ vectors[7] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[7])
    plain = [keys(rows)[place] for place in np.argsort(-cosine) if place != 7]
    _, found = chosen(out, near=f"{target['image_id']}:{target['mask_id']}", limit=4)
    assert found == plain[:4]
    for near, told in (
        ("t0/sa_0.png", "IMAGE_ID:MASK_ID"),
        ("t0/sa_0.png:--5", "IMAGE_ID:MASK_ID"),
        ("t0/sa_0.png:5", "no such mask"),
    ):
        with pytest.raises(InputError, match=told):
            chosen(out, near=near)


def test_shards_are_read_side_by_side_as_one_after_the_other(tmp_path, monkeypatch):
    out = tmp_path / "OUT"
    rows = [row for number in range(7) for row in tar_shard(tmp_path, out, f"t{number}", 2, seed=100 * number)]
    write_layer(out, [{**rows[9], "label": "house", "review": "corrected", "dataset": "d"}])
    with Output(out) as output:
        selection = choose(output, "shard != 't3'")
        plain = [image for part in output.parts for image in selection._read(part)]
        assert list(selection) == plain
        assert [image.image["image_id"] for image in plain] == sorted(
            {row["image_id"] for row in rows[:18] + rows[24:]}
        )
        begun = []
        read = Selection._read
        monkeypatch.setattr(Selection, "_read", lambda *given: begun.append(given[1].shard) or read(*given))
        images = iter(selection)
        assert next(images) == plain[0]
        images.close()  # and the database may be closed: nobody asks it any more
        assert begun == [part.shard for part in output.parts[: len(begun)]]
        assert len(begun) <= READERS
        (out / "masks" / output.parts[4].part).unlink()
        with pytest.raises(InputError, match="t4"):
            list(selection)


@pytest.mark.parametrize(
    "where",
    [
        "labl = 'car'",
        "label = 'car",
        "true; DROP VIEW masks",
        "true) UNION SELECT (1",
        "true ORDER BY 1",
        "count(*) > 1",
        "x = 'a'",
        "? = 1",
        "",
        "label IN (SELECT content FROM read_text('/etc/hostname'))",
        "label IN (SELECT file FROM glob('/etc/*'))",
        "EXISTS (SELECT 1 FROM '/etc/passwd')",
        "EXISTS (SELECT 1 FROM rows)",
        "(COPY (SELECT 1) TO '{out}/written.csv')",
        "label = (SET threads = 1)",
        "label = '\udce9'",
        5,
    ],
)
def test_a_bad_condition_is_one_sentence_and_touches_nothing(output, where):
    out, _ = output
    where = where.replace("{out}", str(out)) if isinstance(where, str) else where
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(InputError) as told:
        chosen(out, where)
    assert "\n" not in str(told.value)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_the_database_is_locked_whatever_it_is_asked(output, tmp_path):
    out, _ = output
    (tmp_path / "other.csv").write_text("a\n1\n")
    part = next((out / "masks").glob("*t0*"))
    with Output(out) as open_:
        for sql in (
            f"COPY masks TO '{tmp_path}/x.parquet'",
            f"COPY masks TO '{part}'",
            f"ATTACH '{tmp_path}/x.db'",
            f"FROM '{tmp_path}/other.csv'",
            "SET enable_external_access = true",
            "INSTALL httpfs",
        ):
            with pytest.raises(InputError):
                list(open_.rows(sql))


def test_what_is_no_output_folder(tmp_path, output):
    out, _ = output
    with pytest.raises(InputError, match=r"manifest\.jsonl"):
        Output(tmp_path)
    (tmp_path / "manifest.jsonl").write_text("half")
    with pytest.raises(InputError, match="no shard"):
        Output(tmp_path)
    (part := next((out / "images").glob("*t1*"))).rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"part-t1\.parquet is gone"):
        Output(out)
    (tmp_path / "moved").rename(part)
    odd = out.rename(tmp_path / "OUT[1]")
    with pytest.raises(InputError, match="patterns"):
        Output(odd)


def test_the_names_of_folders_above_are_no_columns(output, tmp_path):
    out, rows = output
    named = tmp_path / "label=bus" / "area=3" / "OUT"
    named.parent.mkdir(parents=True)
    out.rename(named)
    assert stats(named).classes == Counter(row["label"] for row in rows)
    with Output(named) as open_:
        assert choose(open_, "area = 3").masks == sum(row["area"] == 3 for row in rows)


def test_a_shard_that_was_done_again_counts_once(output, tmp_path):
    out, rows = output
    tar_shard(tmp_path, out, "t0", 1, masks=1, seed=7)
    again = tar_shard(tmp_path / "again", tmp_path / "other", "t0", 2, masks=2, seed=9)
    write_shard(out, "t0", tmp_path / "again" / "t0.tar", [], again, part="part-t0-2.parquet")
    found, _ = chosen(out)
    assert sorted(found) == sorted(keys([*again, *(row for row in rows if row["shard"] == "t1")]))


def test_stats_are_those_of_a_plain_count(output):
    out, rows = output
    found = stats(out)
    assert (found.shards, found.images, found.masks, found.failed) == (2, 8, len(rows), 2)
    labels = [row["label"] for row in rows]
    assert dict(found.classes) == {name: labels.count(name) for name in labels}
    assert found.failures == {"truncated": 2}
    assert sum(found.sizes.values()) == len(rows)
    json.dumps({str(key): count for key, count in found.classes.items()})


def test_the_latest_layer_holds(output):
    out, rows = output
    row = rows[0]
    about = {name: row[name] for name in ("image_id", "shard", "member", "mask_id", "height", "width")}
    drawn = {**about, "mask_id": -5, "label": "kite", "review": "corrected", "dataset": "d"}
    drawn |= {"rle": rows[3]["rle"], **dict.fromkeys("xywh", 1.0), "area": 9}
    write_layer(out, [{**about, "label": "house", "review": "corrected", "dataset": "d"}])
    write_layer(out, [{**about, "label": "tower", "review": "accepted", "tags": ["a"], "dataset": "d"}, drawn])
    found, _ = chosen(out, "label IN ('tower', 'kite', 'house')")
    assert sorted(found) == sorted([(row["image_id"], row["mask_id"]), (row["image_id"], -5)])
    mine = found[row["image_id"], row["mask_id"]]
    assert (mine["class_name"], mine["review"], mine["tags"], mine["rle"]) == (
        row["label"],
        "accepted",
        ["a"],
        row["rle"],
    )
    every, _ = chosen(out)
    assert len(every) == len(rows) + 1
    assert stats(out).corrected == 2
    assert (mine["height"], mine["width"]) == SIZE_HW


def test_without_duckdb_one_sentence_says_how_to_get_it(output):
    out, _ = output
    code = "import sys; sys.modules['duckdb'] = None; from fiftyone_ssa.cli import main; sys.exit(main(sys.argv[1:]))"
    run = subprocess.run([sys.executable, "-c", code, "stats", str(out)], capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "fiftyone-ssa[scale]" in run.stderr
