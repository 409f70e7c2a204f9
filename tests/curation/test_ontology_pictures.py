"""The sheet of example masks: what is drawn where, and what is missing."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import PIL.Image

from fiftyone_ssa.curation.ontology_pictures import CELL_PX, DIMMED, PAGE, example_sheet, pages
from fiftyone_ssa.layouts.ontology import Ontology, OntologyClass

GAP = 6


def cells(sheet: bytes, number: int) -> list[np.ndarray[Any, Any]]:
    """The three examples of a class that stands in the left column."""
    pixels = np.asarray(PIL.Image.open(io.BytesIO(sheet)).convert("RGB"))
    top = number // 2 * (pixels.shape[0] // -(-(number + 1) // 2)) + GAP
    return [pixels[top : top + CELL_PX, GAP + n * (CELL_PX + 2) :][:, :CELL_PX] for n in range(3)]


def test_a_mask_is_bright_and_its_surroundings_dark(tmp_path: Path, make_dataset: Callable[..., fo.Dataset]) -> None:
    dataset = fo.Dataset()
    try:
        PIL.Image.new("RGB", (200, 100), (200, 100, 50)).save(tmp_path / "a.png")
        half = np.zeros((40, 40), bool)
        half[:20] = True
        there = fo.Detection(label="x", bounding_box=[0.4, 0.3, 0.2, 0.4], mask=half)
        broken = fo.Detection(label="x", bounding_box=[0.4, 0.3, 0.2, 0.4])
        label = fo.Detections(detections=[there, broken])
        dataset.add_sample(fo.Sample(filepath=str(tmp_path / "a.png"), m=label))
        dataset.add_sample(fo.Sample(filepath=str(tmp_path / "gone.png"), m=fo.Detections(detections=[there.copy()])))
        gone = dataset.last().m.detections[0].id
        entry = OntologyClass("x" * 80, 1, examples=(there.id, broken.id, gone), counts={"x": 3})
        first, *blank = cells(example_sheet(dataset, "m", [entry]), 0)
        middle, dark = first[46, 46], first[70, 46]
        np.testing.assert_allclose(middle, (200, 100, 50), atol=12)
        np.testing.assert_allclose(dark, np.multiply((200, 100, 50), DIMMED), atol=12)
        assert all(cell.min() > 230 for cell in blank)
        assert len(example_sheet(dataset.match_labels(ids=["0" * 24]), "m", [entry]))
    finally:
        dataset.delete()


def test_pages_hold_what_may_be_the_same_side_by_side_and_then_everything() -> None:
    many = [OntologyClass(f"c{n}", n + 1, examples=("0" * 24,)) for n in range(PAGE + 1)]
    many[3] = OntologyClass("c3", 4, examples=("0" * 24,), maybe=("c9", "none"))
    found = pages(Ontology((*many, OntologyClass("only proposed", 99))))
    unsure, *rest = found
    assert unsure == "May be the same 1 to 2: c3 ... c9"
    assert rest == ["Classes 1 to 12: c0 ... c11", "Classes 13 to 13: c12 ... c12"]
    assert [entry.name for entry in found[unsure]] == ["c3", "c9"]
    assert sum(len(found[title]) for title in rest) == PAGE + 1
