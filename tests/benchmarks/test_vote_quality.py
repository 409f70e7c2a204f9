"""The votes' table: the same by the SSA class and by annotating and evaluating folders."""

from __future__ import annotations

import numpy as np

from benchmarks.vote_quality import CPU, FLOAT, WEIGHTS, Case, Found, Key, count, count_files, table
from fiftyone_ssa.models.segmenters import load_segmenter
from fiftyone_ssa.quickstart.scenes import draw_scene


def test_folders_and_the_class_agree() -> None:
    model = str(WEIGHTS / "segformer-ade20k")
    networks = {"ours": load_segmenter(model, CPU, FLOAT)}
    classes = {"ours": networks["ours"].classes}
    scene = draw_scene(1, (96, 112))
    truth = scene.semantic("ade20k").ids % len(classes["ours"])  # any ids will do
    truth[:4] = 255
    case = Case(scene.image, {"ours": truth.astype(np.uint8)}, {"true": scene.mask_set()})
    found: dict[Key, Found] = {}
    count(case, networks, found)  # type: ignore[arg-type]
    by_files = count_files([case], {"ours": model}, classes)
    assert found.keys() == by_files.keys()
    assert len(found) == 11
    for key, sum_ in found.items():
        np.testing.assert_array_equal(by_files[key].matrix, sum_.matrix, str(key))
        assert (by_files[key].right, by_files[key].named) == (sum_.right, sum_.named), key


def test_what_auto_is_short_of_stands_last() -> None:
    scores = {"alone": 0.5, "hard": 0.6, "soft": 0.7, "core": 0.65, "auto": 0.68}
    rows = [
        {"network": "n", "masks": "m", "rule": rule, "temperature": 1, "miou": miou, "right_names": 0.9}
        for rule, miou in scores.items()
    ]
    last = table(rows).splitlines()[-1]
    assert last == "| n | m | .500 | .600 | .700 | .650 | .680 | .900 .900 .900 .900 | 0.020 |"
