"""`stats`, `select` and `corrections` as typed."""

import json

import fiftyone as fo
import pytest

pytest.importorskip("duckdb")

from fiftyone_ssa.cli import main
from tests.scale.outputs import make_output


def test_from_rows_to_a_dataset_and_back(tmp_path, capsys):
    out, rows = make_output(tmp_path)
    cars = sum(row["label"] == "car" for row in rows)

    def said(*arguments, code=0):
        assert main(list(map(str, arguments))) == code
        told = capsys.readouterr()
        return told.out + told.err

    assert f"{len(rows)} masks on 8 images of 2 shards; 2 images failed" in said("stats", out, "--most", 1)
    assert json.loads(said("stats", out, "--json"))["classes"]["car"] == cars
    assert f"{cars} masks on" in said("select", out, "--where", "label = 'car'")
    assert said("select", out, "--where", "labl = 'car'", code=2).count("\n") == 1
    try:
        assert "2 masks on" in said("select", out, "--limit", 2, "--to-dataset", "typed", "--media-dir", tmp_path / "m")
        dataset = fo.load_dataset("typed")
        dataset.set_values("ssa.detections.label", [["boat"] * len(s.ssa.detections) for s in dataset])
        assert "would return 2 corrections" in said("corrections", "typed", "--dry-run")
        assert "2 corrections to" in said("corrections", "typed")
        assert "2 masks on" in said("select", out, "--where", "label = 'boat'")
    finally:
        fo.delete_dataset("typed")
