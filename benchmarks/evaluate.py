"""mIoU of 1024x2048 images of 19 classes: ours, from files and through FiftyOne, beside FiftyOne's own evaluation.

`python -m benchmarks.evaluate [--images 8]` prints one JSON object. Needs mongod; works in a database of its own.
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

from fiftyone_ssa.folders.evaluate import evaluate_files
from fiftyone_ssa.layouts import cityscapes
from fiftyone_ssa.masks.miou import Scores, confusion_matrix
from fiftyone_ssa.masks.rle import class_rles
from tools.mongod import use_own_database

SIZE_HW = (1024, 2048)
CLASSES = len(cityscapes.NAMES)
VOID = 255


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A wavy street's ground truth with ignored pixels, and a prediction that is right in nine of ten places."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]].astype(np.float32)
    truth = ((np.sin(x / 130 + seed) + np.cos(y / 90) + np.sin((x + y) / 200)) * 3 + 9.5).astype(np.uint8)
    prediction = truth.copy()
    for _ in range(200):
        top, left = rng.integers(0, SIZE_HW[0] - 90), rng.integers(0, SIZE_HW[1] - 90)
        prediction[top : top + 30, left : left + 60] = rng.integers(CLASSES)
    truth[-80:] = VOID
    return truth, prediction


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The median time of one call, in seconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def write(folder: Path, images: int) -> None:
    """Predictions and ground truth as the file path and as FiftyOne read them (value = id + 1)."""
    for name in ("results/a", "gt/a", "stored"):
        (folder / name).mkdir(parents=True)
    for index in range(images):
        truth, prediction = scene(index)
        codes = {str(i): {"size": SIZE_HW, "counts": rle.decode()} for i, rle in class_rles(prediction, VOID)}
        record = json.dumps({"annotations": [], "semantic_mask": codes})
        (folder / f"results/a/{index}_leftImg8bit_semantic.json").write_text(record)
        PIL.Image.fromarray(truth).save(folder / f"gt/a/{index}_gtFine_labelTrainIds.png")
        for kind, ids in (("truth", truth), ("prediction", prediction)):
            PIL.Image.fromarray(np.where(ids == VOID, 0, ids + np.uint8(1))).save(folder / f"stored/{kind}{index}.png")


def through_fiftyone(folder: Path, images: int) -> tuple[dict[str, float], float]:
    """Seconds an image by our backend and by FiftyOne's own, on the same files, and our mIoU."""
    use_own_database()
    os.environ |= {
        "FIFTYONE_DO_NOT_TRACK": "1",
        "FIFTYONE_LOGGING_LEVEL": "ERROR",  # its notes go to stdout, which is the JSON's
    }
    import fiftyone as fo

    from fiftyone_ssa.labels.evaluation import evaluate

    def label(kind: str, index: int) -> fo.Segmentation:
        return fo.Segmentation(mask_path=f"{folder}/stored/{kind}{index}.png")

    dataset = fo.Dataset()
    dataset.add_samples(
        [
            fo.Sample(filepath=f"/{i}.png", truth=label("truth", i), prediction=label("prediction", i))
            for i in range(images)
        ],
        progress=False,
    )
    targets = {index + 1: name for index, name in enumerate(cityscapes.NAMES)}
    evaluate(dataset, "prediction", "truth", mask_targets=targets, progress=False)  # warms the caches up
    started = time.perf_counter()
    results = evaluate(dataset, "prediction", "truth", mask_targets=targets, eval_key="ours", progress=False)
    between = time.perf_counter()
    dataset.evaluate_segmentations("prediction", "truth", mask_targets=targets, eval_key="stock", progress=False)
    ended = time.perf_counter()
    dataset.delete()
    times = {"ours_s": (between - started) / images, "fiftyone_simple_s": (ended - between) / images}
    return times, results.scores.mean_iou


def benchmark(images: int = 8) -> dict[str, Any]:
    """Seconds an image: the matrix and the scores alone, files read and compared, and both ways through FiftyOne."""
    truth, prediction = scene(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, images)
        started = time.perf_counter()
        scores = evaluate_files(folder / "results", folder / "gt", "cityscapes", progress=False)
        files_s = (time.perf_counter() - started) / images
        times, mean_iou = through_fiftyone(folder, images)
    return {
        "size_hw": SIZE_HW,
        "classes": CLASSES,
        "images": images,
        "matrix_and_scores_s": seconds(
            lambda: Scores(cityscapes.NAMES, confusion_matrix(truth, prediction, CLASSES)).to_json(), 15
        ),
        "files_s": files_s,
        "through_fiftyone": times,
        "miou": scores.mean_iou,
        "same_miou_both_ways": scores.mean_iou == mean_iou,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=8)
    print(json.dumps(benchmark(parser.parse_args().images), indent=2))
