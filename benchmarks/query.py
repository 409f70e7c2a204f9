"""Questions to labels in Parquet, beside the same question to JSON files, on generated rows.

    python -m benchmarks.query [--images 50000] [--masks 100] [--load 0] [--folder DIR]

Every image has as many masks; labels, confidences and margins are random, the codes those of real ellipses. The JSON
files hold what the published code writes of the same masks; two processes read them. Each question is asked of an
output folder that is opened for it. `--load N` also puts N chosen images into FiftyOne, from a tar, in a database of
its own, and compares every mask with its row. Prints one JSON object: seconds by the clock ("s"), of the processor
("cpu_s", children included).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import _query_rows as made

WHERE = "label = 'traffic light' and confidence > .6"
LIMIT = 5000
Figures = dict[str, Any]


def benchmark(folder: Path, images: int, masks: int) -> Figures:
    """The figures of questions."""
    from fiftyone_ssa.scale.counting import stats
    from fiftyone_ssa.scale.layers import write_layer
    from fiftyone_ssa.scale.sampling import Sample

    out, results = folder / "OUT", folder / "JSON"
    if not out.exists():
        made.write(out, results, images, masks)
    found: Figures = {"rows": images * masks, "where": WHERE, "cores": len(os.sched_getaffinity(0))}
    found["parquet_mb"] = round(sum(path.stat().st_size for path in out.rglob("*.parquet")) / 1e6)
    found["json_mb"] = round(sum(path.stat().st_size for path in results.rglob("*.json")) / 1e6)
    for how in ("uniform", "first", "margin"):
        found[f"select, {how}"] = _timed(lambda how=how: _select(out, WHERE, Sample(how, LIMIT)))
    found["select, 50 of each class"] = _timed(lambda: _select(out, "true", Sample(per_class=50)))
    found["stats"] = _timed(lambda: stats(out).masks)
    found["the same over JSON"] = _timed(lambda: _over_json(results))
    layer = write_layer(out, made.corrections(1000))
    found["select, uniform, over 1,000 corrections"] = _timed(lambda: _select(out, WHERE, Sample(limit=LIMIT)))
    Path(layer).unlink()
    return found


def _select(out: Path, where: str, sample: Any) -> dict[str, int]:
    """Open, choose, read all that is chosen."""
    from fiftyone_ssa.scale.query import Output
    from fiftyone_ssa.scale.selecting import choose

    with Output(out) as output:
        selection = choose(output, where, sample)
        return {"masks": sum(len(image.masks) for image in selection), "images": selection.images}


def _over_json(results: Path) -> dict[str, int]:
    """Read every file, keep what matches; the first of them in the order of their images are the answer."""
    folders = sorted(results.iterdir())
    with ProcessPoolExecutor(2) as pool:
        found = [row for rows in pool.map(_matching, folders) for row in rows]
    return {"matching": len(found), "masks": len(found[:LIMIT])}


def _matching(folder: Path) -> list[Any]:
    found = []
    for path in sorted(folder.iterdir()):
        for row in json.loads(path.read_bytes())["annotations"]:
            if row["class_name"] == "traffic light" and row["confidence"] > 0.6:
                found.append(row)
    return found


def load(folder: Path, images: int) -> Figures:
    """Chosen images in FiftyOne, and how many of their masks are not those of the rows."""
    from tools.mongod import use_own_database

    use_own_database(cache_gb=0.5)
    os.environ |= {"FIFTYONE_DEFAULT_DATASET_DIR": f"{folder}/datasets", "FIFTYONE_DO_NOT_TRACK": "1"}
    import fiftyone as fo

    from fiftyone_ssa.labels.database import documents
    from fiftyone_ssa.labels.stored_masks import mask_counts
    from fiftyone_ssa.scale.loading import select
    from fiftyone_ssa.scale.query import Output

    out = folder / "LOAD"
    made.write_tar(out, folder / "images.tar", images, 4)
    figures = _timed(lambda: str(select(out, dataset_name="loaded", progress=False)))
    with Output(out) as output:
        rows = {(r["image_id"], r["mask_id"]): r["rle"] for r in output.rows("SELECT * FROM masks")}
    different = 0
    for document in documents(fo.load_dataset("loaded")):
        for detection in document["ssa"]["detections"]:
            different += mask_counts(detection, made.SIZE_HW) != rows.pop((document["image_id"], detection["sa1b_id"]))
    return figures | {"different": different, "missing": len(rows)}


def _timed(work: Callable[[], Any]) -> Figures:
    begin, cpu = time.perf_counter(), _cpu()
    answer = work()
    return {"s": round(time.perf_counter() - begin, 2), "cpu_s": round(_cpu() - cpu, 2), "answer": answer}


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.query", description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--masks", type=int, default=100)
    parser.add_argument("--load", type=int, default=0, metavar="N")
    parser.add_argument("--folder", type=Path, help="keep the rows there, or take them from there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        found = benchmark(folder, options.images, options.masks)
        if options.load:
            found["load"] = load(folder, options.load)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
