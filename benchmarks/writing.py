"""What writing to FiftyOne costs: the same pipeline over the same images with its results dropped, and annotated.

    python -m benchmarks.writing [--images 200] [--masks 100] [--model FOLDER]

Needs mongod; works in a database of its own. Also times one image's label on its own beside FiftyOne's own objects.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import PIL.ImageDraw

from tools.mongod import use_own_database

if TYPE_CHECKING:
    from fiftyone_ssa.types import Annotation, Inputs

MODEL = Path(__file__).parents[1] / "tests/parity/models/segformer-ade20k"
SIZE_HW = (1500, 2250)
DISTINCT = 4
"""Different images; samples share them, each with labels and files of its own."""


def benchmark(images: int = 200, masks: int = 100, model: str = str(MODEL)) -> dict[str, Any]:
    """Wall seconds with and without writing, models loaded, in turns of 25; and milliseconds for one image's label."""
    with tempfile.TemporaryDirectory() as folder:
        use_own_database()
        os.environ |= {
            "FIFTYONE_DEFAULT_DATASET_DIR": f"{folder}/datasets",
            "FIFTYONE_DO_NOT_TRACK": "1",
        }
        import fiftyone as fo

        from fiftyone_ssa.labels.annotate import annotate
        from fiftyone_ssa.naming.pipeline import build_pipeline
        from fiftyone_ssa.naming.run import Task, run
        from fiftyone_ssa.presets import load_preset

        paths = [_image(Path(folder), index, masks) for index in range(DISTINCT)]
        preset = load_preset("ssa-ade20k", {"masks.source": "existing", "semantic.model": model})
        pipeline = build_pipeline(preset, device="cpu")
        dataset = fo.Dataset()
        dataset.add_samples([fo.Sample(filepath=str(paths[i % DISTINCT])) for i in range(images)], progress=False)
        tasks = [Task(str(i), partial(_read, paths[i % DISTINCT])) for i in range(images)]
        annotate(dataset[:8], preset, device="cpu", progress=False)  # warms every cache up
        without = writing = 0.0
        for start in range(0, images, 25):
            chunk = tasks[start : start + 25]
            without += _seconds(partial(deque, run(chunk, pipeline), maxlen=0))
            view = dataset[start : start + 25]
            writing += annotate(view, preset, device="cpu", overwrite=True, progress=False).seconds
        (result,) = run(tasks[:1], pipeline)
        assert result.annotation is not None
        label = _label(result.annotation, Path(folder))
    return {
        "images": images,
        "masks": masks,
        "seconds_without_writing": round(without, 1),
        "seconds_with_writing": round(writing, 1),
        "ratio": round(writing / without, 3),
        "label_of_one_image": label,
    }


def _label(annotation: Annotation, folder: Path) -> dict[str, float]:
    """CPU milliseconds to make an image's Detections ready for the database: ours, and with FiftyOne's objects."""
    import fiftyone as fo

    from fiftyone_ssa.labels.documents import annotation_document
    from fiftyone_ssa.masks import rle

    found, (height, width) = annotation.masks, annotation.masks.size_hw

    def plain() -> None:
        detections = []
        for code, (x, y, w, h), name in zip(found.rles, found.boxes_xywh.tolist(), annotation.labels, strict=True):
            box = [(x + 1e-4) / width, (y + 1e-4) / height, w / width, h / height]
            mask = rle.decode_crop(code, (height, width), (x, y, x + w, y + h))
            detections.append(fo.Detection(label=name, bounding_box=box, mask=mask, confidence=0.5, area=w * h))
        fo.Detections(detections=detections).to_dict()

    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(7):  # in turns, on a machine that others may share
        seconds["ours"].append(_seconds(lambda: annotation_document(annotation, folder), time.thread_time))
        seconds["theirs"].append(_seconds(plain, time.thread_time))
    ours, theirs = min(seconds["ours"]), min(seconds["theirs"])
    return {"ours_ms": round(1000 * ours, 1), "fiftyone_objects_ms": round(1000 * theirs, 1)}


def _image(folder: Path, index: int, masks: int, size_hw: tuple[int, int] = SIZE_HW) -> Path:
    """A picture and its SA-1B style mask file: blobs of 8 to 300 pixels radius, of a picture that is `SIZE_HW`."""
    from fiftyone_ssa.masks import rle

    rng = np.random.default_rng(index)
    (height, width), scale = size_hw, size_hw[0] / SIZE_HW[0]
    picture = PIL.Image.fromarray(rng.integers(0, 256, (15, 22, 3), np.uint8)).resize((width, height))
    picture.save(folder / f"{index}.jpg")
    annotations = []
    for number in range(masks):
        blob = PIL.Image.new("1", (width, height))
        x, y, radius = *rng.integers(0, (width, height)), scale * rng.choice([8, 20, 40, 80, 150, 300])
        angles = np.linspace(0, 2 * np.pi, 40)
        reach = radius * rng.uniform(0.8, 1.1, 40)
        corners = zip(x + reach * np.cos(angles), y + reach * np.sin(angles), strict=True)
        PIL.ImageDraw.Draw(blob).polygon([(float(a), float(b)) for a, b in corners], fill=1)
        code = rle.encode(np.asarray(blob)).decode()
        annotations.append({"id": number, "segmentation": {"size": [height, width], "counts": code}})
    (folder / f"{index}.json").write_text(json.dumps({"annotations": annotations}))
    return folder / f"{index}.jpg"


def _read(path: Path) -> Inputs:
    from fiftyone_ssa.files.images import read_image
    from fiftyone_ssa.folders.sa1b_json import read_masks
    from fiftyone_ssa.types import Inputs

    image = read_image(path)
    return Inputs(image, read_masks(path.with_suffix(".json"), (image.shape[0], image.shape[1])))


def _seconds(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    started = clock()
    function()
    return clock() - started


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--masks", type=int, default=100)
    parser.add_argument("--model", default=str(MODEL))
    options = parser.parse_args()
    print(json.dumps(benchmark(options.images, options.masks, options.model)))
