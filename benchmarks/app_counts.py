"""What the panel Masks counts, at 100 masks a sample: ours beside what FiftyOne's own calls take for the same numbers.

    python -m benchmarks.app_counts [--samples 300 1000 3000]

Needs mongod; works in a database of its own. Each figure is the best of five, in seconds, FiftyOne's a single call;
"cold" is the first one after a restart of the server whose files the system has forgotten. "cpu_seconds" are the
server's and our own. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from benchmarks.writing import _image
from tools.mongod import Mongod, find_mongod, use_own_database

if TYPE_CHECKING:
    import fiftyone as fo

MASKS = 100
DISTINCT = 2
"""Different images, whose masks the samples share; names, scores and reviews are each mask's own."""
CLASSES = 150
REPEATS = 5
Figures = dict[str, Any]


def benchmark(sizes: list[int]) -> Figures:
    """The figures at each size."""
    server = use_own_database(cache_gb=2.0)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"FIFTYONE_DEFAULT_DATASET_DIR": f"{folder}/datasets", "FIFTYONE_DO_NOT_TRACK": "1"}
        os.environ |= {"FIFTYONE_LOGGING_LEVEL": "ERROR"}  # its notes go to stdout, which is the JSON's
        masks = _masks(Path(folder))
        return {"masks_a_sample": MASKS, "sizes": [_at(count, masks, server) for count in sizes]}


def _at(count: int, masks: list[list[dict[str, Any]]], server: Mongod) -> Figures:
    import fiftyone as fo

    from fiftyone_ssa.curation.confusions import confuses, count_confusions
    from fiftyone_ssa.curation.counts import count_names, count_scores
    from fiftyone_ssa.curation.disagreement import count_disagreement, named_differently
    from fiftyone_ssa.labels.database import samples_of

    dataset = _dataset(count, masks)
    found: Figures = {"samples": count, "masks": count * MASKS, "mb": _size_mb(dataset)}
    cold = {
        name: _cold(server, lambda counting=counting: counting(dataset))
        for name, counting in (("names", count_names), ("scores", count_scores), ("confusions", count_confusions))
    }
    found["names"] = _pair(lambda: count_names(dataset), lambda: _plain_names(dataset), cold["names"])
    found["scores"] = _pair(lambda: count_scores(dataset), lambda: _plain_scores(dataset), cold["scores"])
    found["confusions"] = _pair(
        lambda: count_confusions(dataset), lambda: _plain_confusions(dataset), cold["confusions"]
    )
    one_class = dataset.filter_labels("ssa", fo.ViewField("label") == "class 3")
    found["names_of_one_class"] = _pair(lambda: count_names(one_class), lambda: _plain_names(one_class))
    pair = count_confusions(dataset)[0]
    opened = dataset.filter_labels("ssa", confuses(pair.name, pair.other))
    found["open_a_confusion"] = _best(lambda: opened.count("ssa.detections"))

    dataset.clone_sample_field("ssa", "other")
    samples_of(dataset).update_many({}, [{"$set": {"other.detections": _every_fifth_renamed()}}])
    for by in ("mask", "box"):
        found[f"disagreement_by_{by}"] = _pair(
            lambda by=by: count_disagreement(dataset, "ssa", "other", by=by),
            (lambda: _plain_disagreement(dataset)) if by == "mask" else None,
        )
        first = next(iter(count_disagreement(dataset, "ssa", "other", by=by).pairs))
        condition = named_differently(dataset, "ssa", "other", first, by)
        different = dataset.filter_labels("ssa", condition)
        found[f"open_a_difference_by_{by}"] = _best(lambda different=different: different.count("ssa.detections"))
    dataset.delete()
    return found


def _pair(ours: Callable[[], Any], plain: Callable[[], Any] | None, cold: float | None = None) -> Figures:
    figures = _best(ours)
    if cold is not None:
        figures["cold_seconds"] = cold
    if plain is not None:
        figures["fiftyone_seconds"] = round(_seconds(plain), 3)
    return figures


def _best(work: Callable[[], object]) -> Figures:
    """Seconds of the best of some calls, and what the server's and our own processors did meanwhile."""
    walls, cpus = [], []
    for _ in range(REPEATS):
        before = _cpu_seconds()
        walls.append(_seconds(work))
        cpus.append(_cpu_seconds() - before)
    return {"seconds": round(min(walls), 3), "cpu_seconds": round(min(cpus), 2)}


def _cpu_seconds() -> float:
    """Of this process and its server: on a busy machine they tell more than a clock."""
    process = psutil.Process()
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _cold(server: Mongod, work: Callable[[], object]) -> float:
    """Seconds of the first call after a restart, with nothing of the files in memory."""
    import fiftyone as fo

    program = find_mongod()
    assert program is not None
    server.stop()
    for path in server.folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    server.start(program)
    fo.list_datasets()  # the client finds the server again
    return round(_seconds(work), 3)


def _plain_names(samples: Any) -> object:
    """The numbers of `count_names`, by FiftyOne's own aggregations in one call."""
    import fiftyone as fo

    paths = ("label", "class_name", "label_source", "review")
    counts = [fo.CountValues(f"ssa.detections.{path}") for path in paths]
    return samples.aggregate([*counts, fo.CountValues("ssa_preset"), fo.Count()])


def _plain_scores(samples: Any) -> object:
    import fiftyone as fo

    paths = ("vote_margin", "confidence")
    return samples.aggregate([fo.HistogramValues(f"ssa.detections.{path}", bins=40, range=(0, 1)) for path in paths])


def _plain_confusions(samples: Any) -> object:
    """Proposals and their scores fetched and compared in Python: FiftyOne counts values, not pairs."""
    names, scores = samples.values(["ssa.detections.class_proposals", "ssa.detections.proposal_scores"])
    return Counter(
        frozenset(row[:2])
        for sample_names, sample_scores in zip(names, scores, strict=True)
        for row, values in zip(sample_names, sample_scores, strict=True)
        if len(row) > 1 and values[0] - values[1] < 0.2
    )


def _plain_disagreement(samples: Any) -> object:
    paths = [f"{field}.detections.{name}" for field in ("ssa", "other") for name in ("mask_digest", "label")]
    found: Counter[tuple[str, str]] = Counter()
    for digests, names, other_digests, other_names in zip(*samples.values(paths), strict=True):
        others = dict(zip(other_digests, other_names, strict=True))
        found.update((name, others[digest]) for digest, name in zip(digests, names, strict=True) if digest in others)
    return {pair: count for pair, count in found.items() if pair[0] != pair[1]}


def _every_fifth_renamed() -> Figures:
    """The masks of `other`, about a fifth with their second proposal for a name."""
    second = {"$arrayElemAt": ["$$this.class_proposals", 1]}
    label = {"$cond": [{"$lt": [{"$rand": {}}, 0.2]}, second, "$$this.label"]}
    return {"$map": {"input": "$other.detections", "in": {"$mergeObjects": ["$$this", {"label": label}]}}}


def _size_mb(dataset: fo.Dataset) -> int:
    from fiftyone_ssa.labels.database import samples_of

    collection = samples_of(dataset)
    return int(collection.database.command("collstats", collection.name)["size"] / 1e6)


def _masks(folder: Path) -> list[list[dict[str, Any]]]:
    """The detections of some drawn images, as `annotate` writes them but for their names."""
    from fiftyone_ssa.folders.sa1b_json import read_masks
    from fiftyone_ssa.labels.documents import masks_document

    found = []
    for index in range(DISTINCT):
        path = _image(folder, index, MASKS)
        masks = read_masks(path.with_suffix(".json"), (1500, 2250))
        found.append(masks_document(masks, folder, digests=True)["detections"])
    return found


def _dataset(count: int, masks: list[list[dict[str, Any]]]) -> fo.Dataset:
    """`count` samples of `MASKS` masks, named as an engine and a vote would: frequent and rare classes."""
    import fiftyone as fo
    from bson import ObjectId
    from pymongo import UpdateOne

    from fiftyone_ssa.labels.database import samples_of
    from fiftyone_ssa.labels.documents import ENGINE_ATTRIBUTES, SSA_ATTRIBUTES, declare_detections

    dataset = fo.Dataset()
    declare_detections(dataset, "ssa", sorted({*SSA_ATTRIBUTES, *ENGINE_ATTRIBUTES}))
    dataset.add_sample_field("ssa_preset", fo.StringField)
    dataset.add_samples([fo.Sample(filepath=f"/{i}.jpg") for i in range(count)], progress=False)
    rng = np.random.default_rng(count)
    writes = []
    for place, sample_id in enumerate(dataset.values("id")):
        rows = [{**mask, **_said(rng), "_id": ObjectId()} for mask in masks[place % DISTINCT]]
        label = {"_cls": "Detections", "detections": rows}
        writes.append(UpdateOne({"_id": ObjectId(sample_id)}, {"$set": {"ssa": label, "ssa_preset": "bench"}}))
        if len(writes) == 50 or place == count - 1:
            samples_of(dataset).bulk_write(writes)
            writes.clear()
    return dataset


def _said(rng: np.random.Generator) -> dict[str, Any]:
    """What a run says of one mask: name, proposals, scores, source, caption; one in twenty is reviewed."""
    name = f"class {min(CLASSES - 1, int(rng.exponential(25)))}"
    others = [f"class {number}" for number in rng.integers(0, CLASSES, 2)]
    margin = float(rng.beta(2, 1))
    said: dict[str, Any] = {
        "label": name,
        "class_name": name,
        "confidence": (1 + margin) / 2,
        "class_proposals": [name, *others],
        "proposal_scores": [(1 + margin) / 2, (1 - margin) / 2, 0.0],
        "vote_margin": margin,
        "vote_share": (1 + margin) / 2,
        "label_source": ("coco", "ade", "open")[int(rng.integers(3))],
        "caption": f"a photo of a {name}",
    }
    if rng.random() < 0.05:
        said["review"] = ("accepted", "corrected", "rejected")[int(rng.integers(3))]
        said["label"] = others[0] if said["review"] == "corrected" else name
    return said


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, nargs="+", default=[300, 1000, 3000])
    print(json.dumps(benchmark(parser.parse_args().samples), indent=2))
