"""Masks that look alike: how often they are, what one correction brings, and how long a search takes.

    python -m benchmarks.likeness [--scenes 50] [--masks 300000]

`same_name_at_10`: on the quickstart's scenes, whose truth is known, the share of a mask's ten nearest in other images
that have the same true name, beside raw pixels (the crop as 16 x 16 RGB, without its mean) and chance; masks that fit
no region (IoU 0.5) are left out. `after_one_correction`: for each wrongly named mask, what `same_wrong_name` offers:
how many masks, the share of them for which the corrected name is right, and how many wrong names one decision rights,
the corrected mask's among them; beside as many masks of that name drawn by chance. `search`: seconds of `find_like` in
a dataset of so many masks, 100 an image, with random vectors of 512 numbers, median of three; `in_memory` is the plain
twin, one float32 matrix of all vectors, once it is loaded. Needs mongod; works in a database of its own. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fiftyone_ssa.masks.rle import scaled_crop_xyxy
from fiftyone_ssa.quickstart.scenes.judge import NAMED_ON, ious, right_names
from tools.mongod import use_own_database

if TYPE_CHECKING:
    import fiftyone as fo

NEAREST = 10
PIXELS = 16
Figures = dict[str, Any]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Judged:
    """A mask whose truth is known."""

    id: str
    image: int
    label: str | None
    true_name: str
    right_names: frozenset[str]
    pixels: Vectors


def benchmark(scenes: int, masks: int) -> Figures:
    """All figures."""
    use_own_database(cache_gb=2.0)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"FIFTYONE_DEFAULT_DATASET_DIR": f"{folder}/datasets", "FIFTYONE_DO_NOT_TRACK": "1"}
        os.environ |= {"FIFTYONE_LOGGING_LEVEL": "ERROR"}  # its notes go to stdout, which is the JSON's
        return {"quality": _quality(scenes), "search": _search(masks, Path(folder))}


def _quality(scenes: int) -> Figures:
    import fiftyone as fo

    from fiftyone_ssa.labels.embed import embed
    from fiftyone_ssa.labels.kept import Kept
    from fiftyone_ssa.quickstart.run import DATASET, quickstart

    quickstart(scenes, progress=False, say=lambda _: None)
    dataset = fo.load_dataset(DATASET)
    started = time.perf_counter()
    done = embed(dataset, "engine", "mini-engine", progress=False)
    seconds = time.perf_counter() - started
    vectors = {}
    for _, ids, block in Kept(dataset, "engine").blocks():
        vectors |= {identity.hex(): vector for identity, vector in zip(ids, block, strict=True)}
    judged = [mask for mask in _judged(dataset) if mask.id in vectors]
    ours = np.array([vectors[mask.id] for mask in judged])
    raw = np.array([mask.pixels for mask in judged])
    names = np.array([mask.true_name for mask in judged])
    return {
        "scenes": scenes,
        "masks": done.masks,
        "judged": len(judged),
        "embed_seconds": round(seconds, 1),
        "same_name_at_10": {
            "embeddings": _same_name(ours, judged),
            "raw_pixels": _same_name(raw, judged),
            "chance": round(float(np.mean([((names == name).sum() - 1) / (len(names) - 1) for name in names])), 3),
        },
        "after_one_correction": _after_one(dataset, judged),
    }


def _judged(dataset: fo.Dataset) -> list[Judged]:
    from fiftyone_ssa.labels.documents import mask_set_from_detections
    from fiftyone_ssa.quickstart.run import draw

    found = []
    for sample in dataset.select_fields(["seed", "engine"]):
        scene = draw(sample.seed)
        masks = mask_set_from_detections(sample.engine, scene.size_hw)
        regions = scene.regions()
        fits = ious(scene, masks)[:, [node.id for node in regions]]
        for index, (row, detection) in enumerate(zip(fits, sample.engine.detections, strict=True)):
            if row.max(initial=0.0) < NAMED_ON:
                continue
            best = [regions[place] for place in np.flatnonzero(row >= row.max() - 1e-9)]
            x0, y0, x1, y1 = scaled_crop_xyxy(masks.source_boxes_xywh[index], 1.2, masks.size_hw)
            small = Image.fromarray(scene.image[y0:y1, x0:x1]).resize((PIXELS, PIXELS))
            pixels = np.asarray(small, np.float32).ravel()
            pixels = pixels - pixels.mean()
            right = frozenset().union(*map(right_names, best))
            unit = pixels / max(float(np.linalg.norm(pixels)), 1e-6)
            found.append(Judged(detection.id, sample.seed, detection.label, best[0].name, right, unit))
    return found


def _same_name(vectors: Vectors, judged: list[Judged]) -> float:
    names, images = (np.array([getattr(mask, key) for mask in judged]) for key in ("true_name", "image"))
    similarities = vectors @ vectors.T
    similarities[images[:, None] == images[None]] = -np.inf
    nearest = np.argsort(-similarities, axis=1)[:, :NEAREST]
    return round(float((names[nearest] == names[:, None]).mean()), 3)


def _after_one(dataset: fo.Dataset, judged: list[Judged]) -> Figures:
    from fiftyone_ssa.labels.likeness import find_like

    by_id, chance = {mask.id: mask for mask in judged}, np.random.default_rng(0)
    wrong = [mask for mask in judged if mask.label is not None and mask.label not in mask.right_names]
    offered = some = right = rights = by_chance = 0
    for mask in wrong:
        found = find_like(dataset, [mask.id], "engine", same_wrong_name=True)
        ids = [identity for identity in found.ids if identity != mask.id and identity in by_id]
        alike = [other for other in judged if other.label == mask.label and other.id != mask.id]
        drawn = [alike[place] for place in chance.permutation(len(alike))[: len(ids)]]
        offered, some = offered + len(ids), some + bool(ids)
        right += sum(mask.true_name in by_id[identity].right_names for identity in ids)
        rights += sum(_is_righted(by_id[identity], mask) for identity in ids)
        by_chance += sum(_is_righted(other, mask) for other in drawn)
    return {
        "wrong_names": len(wrong),
        "decisions_that_offer_some": round(some / len(wrong), 3),
        "offered": round(offered / len(wrong), 2),
        "right_of_offered": round(right / max(offered, 1), 3),
        "righted_by_one_decision": round(1 + rights / len(wrong), 2),
        "righted_by_chance": round(1 + by_chance / len(wrong), 2),
    }


def _is_righted(other: Judged, corrected: Judged) -> bool:
    return other.label not in other.right_names and corrected.true_name in other.right_names


def _search(masks: int, folder: Path) -> Figures:
    from fiftyone_ssa.labels.kept import Kept
    from fiftyone_ssa.labels.likeness import find_like

    dataset, ids = _large(masks // 100, folder)
    names = {"$eq": ["$$this.class_name", "class 3"]}
    query = [ids[len(ids) // 2]]
    matrix = np.concatenate([block for _, _, block in Kept(dataset, "engine").blocks()])
    return {
        "masks": len(ids),
        "files_mb": round(sum(path.stat().st_size for path in folder.rglob("*.npy")) / 1e6),
        "seconds": _median(lambda: find_like(dataset, query, "engine")),
        "same_wrong_name_seconds": _median(lambda: find_like(dataset, query, "engine", same_wrong_name=True)),
        "masks_of_that_name": sum(len(some) for _, some, _ in Kept(dataset, "engine").blocks(names)),
        "in_memory": {
            "seconds": _median(lambda: np.argsort(-(matrix @ matrix[0]), kind="stable")[:50]),
            "mb": round(matrix.nbytes / 1e6),
        },
    }


def _median(function: Any) -> float:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return round(statistics.median(seconds), 3)


def _large(samples: int, folder: Path) -> tuple[fo.Dataset, list[str]]:
    """A dataset with 100 masks of about a kilobyte an image, written past FiftyOne, and the masks' ids."""
    import fiftyone as fo
    from bson import ObjectId

    from fiftyone_ssa.labels import embeddings, runs
    from fiftyone_ssa.labels.database import samples_of
    from fiftyone_ssa.labels.documents import ENGINE_ATTRIBUTES, declare_detections
    from fiftyone_ssa.naming.stamp import Settings

    dataset, random = fo.Dataset(), np.random.default_rng(0)
    declare_detections(dataset, "engine", ENGINE_ATTRIBUTES)
    embeddings.declare(dataset, "engine")
    settings = Settings({"open_vocabulary.class_filter": "random"})
    token = runs.begin(dataset, "engine", "random", settings, folder, False, "random")
    dataset.add_sample(fo.Sample(filepath="/0.png"))
    first = samples_of(dataset).find_one()
    samples_of(dataset).delete_many({})
    ids: list[str] = []
    for index in range(samples):
        rows = np.zeros(100, [("id", "V12"), ("vector", "<f2", (512,))])
        vectors = random.standard_normal((100, 512))
        rows["vector"] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        masks = [ObjectId() for _ in rows]
        rows["id"] = np.frombuffer(b"".join(mask.binary for mask in masks), "V12")
        identity = ObjectId()
        path = folder / f"{identity}-{token}.npy"
        np.save(path, rows)
        names = [f"class {number}" for number in random.integers(0, 150, 100)]
        detections = [
            {"_id": mask, "_cls": "Detection", "label": name, "class_name": name, "mask": secrets.token_bytes(900)}
            for mask, name in zip(masks, names, strict=True)
        ]
        label = {"_cls": "Detections", "detections": detections, embeddings.PATH: str(path)}
        samples_of(dataset).insert_one({**first, "_id": identity, "filepath": f"/{index}.png", "engine": label})
        ids += map(str, masks)
    return dataset, ids


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.likeness", description=__doc__)
    parser.add_argument("--scenes", type=int, default=50)
    parser.add_argument("--masks", type=int, default=300_000)
    options = parser.parse_args()
    print(json.dumps(benchmark(options.scenes, options.masks), indent=2))
