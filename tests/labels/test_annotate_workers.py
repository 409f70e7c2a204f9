"""A dataset named by two processes: what is written is what one writes, whatever happens to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiftyone as fo
import psutil
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.job_record import Cancelled

KILLER = """
import os
from pathlib import Path

from halves import Halves


class Killer(Halves):
    def __call__(self, images):
        for image in images:
            once = Path(__file__).with_suffix(".died")
            if image[0, 0, 0] == 3 and not once.exists():
                once.touch()
                os._exit(9)
            if image[0, 0, 0] == 5:
                os._exit(9)
        return super().__call__(images)
"""


def _labels(dataset: fo.Dataset, field: str = "ssa") -> list[Any]:
    rows = dataset.values([f"{field}.detections.label", f"{field}.detections.mask_digest", f"{field}_inputs"])
    maps = [label and label.get_mask().tolist() for label in dataset.values(f"{field}_semantic")]
    return [rows[0], rows[1], [text and text.rpartition("|")[0] for text in rows[2]], maps]


def _processes() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "fiftyone_ssa.naming.workers" in p.cmdline()]


def test_two_write_what_one_writes(make_dataset: Callable[..., fo.Dataset], name_masks: Callable[..., Any]) -> None:
    dataset = make_dataset(count=7)
    Path(dataset.skip(2).first().filepath).write_bytes(b"no picture")
    one = name_masks(dataset, label_field="ssa", batch_size=2)
    alone = _labels(dataset)
    two = name_masks(dataset, label_field="two", batch_size=2, workers=2)
    assert _labels(dataset, "two") == alone
    assert (two.done, two.masks, two.errors) == (one.done, one.masks, one.errors)
    assert (one.done, len(one.errors)) == (6, 1)
    again = name_masks(dataset, label_field="two", batch_size=2, workers=2)
    assert (again.done, again.skipped) == (0, 6)
    assert not _processes()


def test_a_process_that_ends_costs_no_image_but_the_one_that_ends_it(
    make_dataset: Callable[..., fo.Dataset], segmenters: Path, name_masks: Callable[..., Any]
) -> None:
    dataset = make_dataset(count=8)
    (segmenters.parent / "killer.py").write_text(f"import sys; sys.path.append({str(segmenters.parent)!r})\n{KILLER}")
    overrides = {"semantic.model": f"{segmenters.parent / 'killer.py'}:Killer"}
    summary = name_masks(dataset, label_field="ssa", batch_size=2, workers=2, overrides=overrides)
    assert [Path(path).name for path in summary.errors] == ["5.png"]
    assert "killed, or out of memory" in next(iter(summary.errors.values()))
    assert summary.done == 7
    assert dataset.count("ssa") == 7


def test_a_cancelled_run_keeps_what_is_done_and_leaves_no_process(
    make_dataset: Callable[..., fo.Dataset], name_masks: Callable[..., Any]
) -> None:
    dataset = make_dataset(count=12)

    def cancel(bar: Any) -> None:
        if bar.iteration >= 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        name_masks(dataset, label_field="ssa", batch_size=1, workers=2, progress=cancel)
    assert not _processes()
    done = dataset.count("ssa")
    assert 0 < done < 12
    summary = name_masks(dataset, label_field="ssa", batch_size=1)
    assert (summary.skipped, summary.done) == (done, 12 - done)


def test_a_wrong_number_of_workers_is_told(
    make_dataset: Callable[..., fo.Dataset], name_masks: Callable[..., Any]
) -> None:
    with pytest.raises(InputError, match="workers must be a whole number from 1 to 64, got 0"):
        name_masks(make_dataset(), workers=0)
