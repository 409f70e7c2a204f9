"""Reading masks of a dataset: from raw documents together, one by one, and as FiftyOne's objects. CPU time.

    python -m benchmarks.masks_read [--images 20] [--masks 100]

Images of 1500x2250 whose ellipses are of SA-1B's sizes. Needs mongod; works in a database of its own. Each way is timed
in turns with the others and includes the query; all must find the same codes. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._cases import ellipses
from tools.mongod import use_own_database

SIZE_HW = (1500, 2250)
TURNS = 7
Codes = list[tuple[bytes, ...]]


def benchmark(images: int = 20, masks: int = 100) -> dict[str, Any]:
    """CPU milliseconds a mask of each way, the least of some turns."""
    with tempfile.TemporaryDirectory() as folder:
        use_own_database()
        os.environ |= {"FIFTYONE_DEFAULT_DATASET_DIR": f"{folder}/datasets", "FIFTYONE_DO_NOT_TRACK": "1"}
        dataset = _dataset(images, masks, Path(folder))
        ways = {"together": _together, "one_by_one": _one_by_one, "objects": _objects}
        least, found = dict.fromkeys(ways, float("inf")), {}
        for _ in range(TURNS):
            for name, read in ways.items():
                began = time.process_time()
                found[name] = read(dataset)
                least[name] = min(least[name], time.process_time() - began)
        assert found["together"] == found["one_by_one"] == found["objects"]
    return {
        "images": images,
        "masks": masks,
        **{f"{name}_ms_a_mask": round(1000 * seconds / images / masks, 4) for name, seconds in least.items()},
    }


def _dataset(images: int, masks: int, folder: Path) -> Any:
    import fiftyone as fo

    from fiftyone_ssa.labels.documents import masks_document
    from fiftyone_ssa.masks.rle import mask_set

    dataset, random = fo.Dataset(), np.random.default_rng(0)
    for index in range(images):
        codes = [each["segmentation"]["counts"] for each in ellipses(*SIZE_HW, masks, random)]
        label = fo.Detections.from_dict(masks_document(mask_set(SIZE_HW, codes), folder))
        dataset.add_sample(fo.Sample(filepath=f"/{index}.jpg", masks=label))
    return dataset


def _documents(dataset: Any) -> Iterator[dict[str, Any]]:
    from fiftyone_ssa.labels.database import documents

    for document in documents(dataset.select_fields("masks")):
        yield document["masks"]


def _together(dataset: Any) -> Codes:
    from fiftyone_ssa.labels.stored_masks import mask_set_from_detections

    return [mask_set_from_detections(label, SIZE_HW).rles for label in _documents(dataset)]


def _one_by_one(dataset: Any) -> Codes:
    from fiftyone_ssa.masks.rle import encode_crop, mask_set

    found = []
    for label in _documents(dataset):
        codes = []
        for row in label["detections"]:
            x, y, _, _ = np.multiply(row["bounding_box"], (SIZE_HW[1], SIZE_HW[0]) * 2)
            crop = np.load(io.BytesIO(zlib.decompress(row["mask"])))
            codes.append(encode_crop(crop, (round(x), round(y)), SIZE_HW))
        found.append(mask_set(SIZE_HW, codes).rles)
    return found


def _objects(dataset: Any) -> Codes:
    from fiftyone_ssa.labels.stored_masks import mask_set_from_detections

    view = dataset.select_fields("masks")
    return [mask_set_from_detections(sample.masks, SIZE_HW).rles for sample in view.iter_samples()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--masks", type=int, default=100)
    options = parser.parse_args()
    print(json.dumps(benchmark(options.images, options.masks), indent=2))
