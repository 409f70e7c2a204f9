"""What reviewing costs at 100,000 masks: the queue, ten masks to look at, one decision, a bulk decision, an undo.

    python -m benchmarks.review_speed [--samples 1000] [--masks 100] [--decisions 50]

Needs mongod; works in a database of its own. Beside each decision the plain FiftyOne way: load the sample, change the
label, save. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from bson import ObjectId

from tools.mongod import use_own_database

SIZE_HW = (1500, 2250)
NAMES = [f"class {number}" for number in range(150)]
DISTINCT = 8
"""Images whose masks differ; samples share them, with ids, names and scores of their own."""


def benchmark(samples: int = 1000, masks: int = 100, decisions: int = 50) -> dict[str, Any]:
    """Seconds of the queue, and milliseconds (median, largest) of what happens at every key."""
    with tempfile.TemporaryDirectory() as folder:
        use_own_database()
        os.environ |= {"FIFTYONE_DEFAULT_DATASET_DIR": f"{folder}/datasets", "FIFTYONE_DO_NOT_TRACK": "1"}
        from fiftyone_ssa.curation.decisions import relabel, review, undo
        from fiftyone_ssa.curation.queue import review_items, review_queue

        dataset = _dataset(Path(folder), samples, masks)
        found, first = _timed(lambda: review_queue(dataset, "ssa"))
        seconds = {"queue": min(first, *(_timed(lambda: review_queue(dataset, "ssa"))[1] for _ in range(2)))}
        rows = iter(found.rows)

        def some(count: int) -> list[tuple[str, str]]:
            return [next(rows)[:2] for _ in range(count)]

        def look() -> float:
            pairs = some(10)
            return _timed(lambda: review_items(dataset, "ssa", pairs))[1]

        def decide(sample_id: str, mask_id: str, **options: Any) -> float:
            return _timed(lambda: relabel(dataset, ids=[mask_id], sample_ids=[sample_id], **options))[1]

        ms = {
            "items_10": [look() for _ in range(decisions // 5)],
            "take_proposal": [decide(*pair, proposal=2) for pair in some(decisions)],
            "type_known_name": [decide(*pair, label=NAMES[3]) for pair in some(decisions)],
            "type_new_name": [decide(*pair, label=f"new {place}") for place, pair in enumerate(some(decisions // 5))],
            "without_sample_ids": [
                _timed(lambda mask=mask: review(dataset, "accept", ids=[mask]))[1] for _, mask in some(decisions // 5)
            ],
            "undo": [_timed(lambda: undo(dataset))[1] for _ in range(decisions // 5)],
            "plain_fiftyone": [_plain(dataset, *pair) for pair in some(decisions // 5)],
        }
        seconds["bulk_preview"] = _timed(lambda: review(dataset, "accept", min_margin=0.5, dry_run=True))[1]
        bulk, seconds["bulk_accept"] = _timed(lambda: review(dataset, "accept", min_margin=0.5))
        seconds["bulk_undo"] = _timed(lambda: undo(dataset))[1]
    return {
        "samples": samples,
        "masks": samples * masks,
        "bulk_masks": bulk.masks,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "milliseconds": {
            name: {"median": round(1000 * statistics.median(values), 1), "max": round(1000 * max(values), 1)}
            for name, values in ms.items()
        },
    }


def _plain(dataset: Any, sample_id: str, mask_id: str) -> float:
    """Seconds to do it with FiftyOne alone, in a process that has not read the sample yet."""

    def change() -> None:
        sample = dataset[sample_id]
        next(d for d in sample.ssa.detections if d.id == mask_id).label = NAMES[5]
        sample.save()

    return _timed(change)[1]


def _dataset(folder: Path, samples: int, masks: int) -> Any:
    """A dataset as `annotate` leaves it: masks of 8 to 300 pixels radius, three proposals each."""
    import fiftyone as fo

    from fiftyone_ssa.labels import looked
    from fiftyone_ssa.labels.database import dataset_id, samples_of
    from fiftyone_ssa.labels.documents import SSA_ATTRIBUTES, declare_detections, mask_targets

    rng = np.random.default_rng(0)
    path = folder / "image.jpg"
    PIL.Image.new("RGB", SIZE_HW[::-1], (90, 120, 200)).save(path)
    dataset = fo.Dataset(persistent=True)
    dataset.add_samples([fo.Sample(filepath=str(path)) for _ in range(samples)], progress=False)
    declare_detections(dataset, "ssa", SSA_ATTRIBUTES)
    dataset.mask_targets = {"ssa_semantic": mask_targets(NAMES)}
    dataset.save()
    drawn = [_masks(folder, masks, rng) for _ in range(DISTINCT)]
    for place, sample_id in enumerate(dataset.values("id")):
        rows = [{**row, "_id": ObjectId(), **_said(rng)} for row in drawn[place % DISTINCT]]
        label = {"_id": ObjectId(), "_cls": "Detections", "detections": rows}
        samples_of(dataset).update_one({"_id": ObjectId(sample_id)}, {"$set": {"ssa": label}})
    dataset.reload()
    dates = zip(*dataset.values(["_id", "last_modified_at"]), strict=True)
    looked.record(dataset_id(dataset), "ssa", dict(dates))  # as annotate does, so that no mask is read again
    return dataset


def _masks(folder: Path, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    from fiftyone_ssa.labels.documents import masks_document
    from fiftyone_ssa.masks import rle

    codes = []
    for _ in range(count):
        radius = int(rng.choice([8, 20, 40, 80, 150, 300]))
        rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        edge = radius * (0.9 + 0.1 * np.sin(7 * np.arctan2(rows, columns)))
        corner = tuple(int(rng.integers(side - 2 * radius)) for side in SIZE_HW[::-1])
        codes.append(rle.encode_crop(np.hypot(rows, columns) < edge, corner, SIZE_HW))
    found: list[dict[str, Any]] = masks_document(rle.mask_set(SIZE_HW, codes), folder, digests=True)["detections"]
    return found


def _said(rng: np.random.Generator) -> dict[str, Any]:
    names = [NAMES[place] for place in rng.choice(len(NAMES), 3, replace=False)]
    scores = sorted(rng.dirichlet([1, 1, 1, 1])[:3].tolist(), reverse=True)
    said = {"class_proposals": names, "proposal_scores": scores, "vote_share": scores[0], "confidence": scores[0]}
    return {"label": names[0], "class_name": names[0], "vote_margin": scores[0] - scores[1], **said}


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--masks", type=int, default=100)
    parser.add_argument("--decisions", type=int, default=50)
    print(json.dumps(benchmark(**vars(parser.parse_args())), indent=1))
