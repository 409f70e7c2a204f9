"""What exports cost: COCO beside FiftyOne's own exporter on the same views, and every format's seconds and memory.

    python -m benchmarks.exports [--samples 300] [--masks 50] [--size 1500 2250] [--versus 100] [--formats coco ...]

Needs mongod; works in a database of its own. "versus" alternates both exporters over views of 25 samples, `--versus`
in all, and adds up processor seconds of this process, the database's beside them. Every format then exports all samples
in a process of its own; "rss_mb" is the most memory that this process held, "start_mb" what it held before. Images are
linked. Prints one JSON object, and what is known so far to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.writing import SIZE_HW, _image
from tools.mongod import use_own_database

if TYPE_CHECKING:
    import fiftyone as fo

DISTINCT, CLASSES, BATCH = 4, 40, 25
NAME = "exports-benchmark"
Figures = dict[str, Any]


def benchmark(samples: int, masks: int, formats: list[str], size_hw: tuple[int, int], versus: int) -> Figures:
    """The figures; both COCO exporters write `versus` samples, of which FiftyOne takes more than a second for each."""
    use_own_database(cache_gb=0.5)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"FIFTYONE_DEFAULT_DATASET_DIR": f"{folder}/datasets", "FIFTYONE_DO_NOT_TRACK": "1"}
        os.environ |= {"FIFTYONE_LOGGING_LEVEL": "ERROR"}
        dataset = _dataset(Path(folder), samples, masks, size_hw)
        size_mb = dataset.stats()["samples_bytes"] / 1e6
        found: Figures = {"samples": samples, "masks": masks, "size_hw": size_hw, "database_mb": round(size_mb)}
        found["versus"] = _versus(dataset, Path(folder), versus) if versus else {}
        print(found, file=sys.stderr, flush=True)
        found["formats"] = {}
        for name in formats:
            command = [sys.executable, "-m", "benchmarks.exports", "--child", name, "--folder", f"{folder}/{name}"]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            last = (run.stdout.strip().splitlines() or ["{}"])[-1]
            found["formats"][name] = json.loads(last) if run.returncode == 0 else {"error": run.stderr[-300:]}
            print(name, found["formats"][name], file=sys.stderr, flush=True)
            shutil.rmtree(f"{folder}/{name}", ignore_errors=True)
        return found


def _dataset(folder: Path, samples: int, masks: int, size_hw: tuple[int, int]) -> fo.Dataset:
    """Samples that share a few images; names and scores are each mask's own."""
    import fiftyone as fo
    from bson import ObjectId

    from fiftyone_ssa.folders.sa1b_json import read_masks
    from fiftyone_ssa.labels.database import samples_of
    from fiftyone_ssa.labels.documents import SSA_ATTRIBUTES, declare_detections, masks_document

    paths = [_image(folder, index, masks, size_hw) for index in range(DISTINCT)]
    sets = [read_masks(path.with_suffix(".json"), size_hw)[:masks] for path in paths]
    dataset = fo.Dataset(NAME, persistent=True)
    declare_detections(dataset, "ssa", SSA_ATTRIBUTES)
    for start in range(0, samples, BATCH):
        numbers = range(start, min(start + BATCH, samples))
        identities = dataset.add_samples(
            [fo.Sample(filepath=str(paths[number % DISTINCT])) for number in numbers], progress=False
        )
        for number, identity in zip(numbers, identities, strict=True):
            chosen = sets[number % DISTINCT]
            names = [f"class {(number + row) % CLASSES}" for row in range(len(chosen))]
            columns = {
                "label": names,
                "class_name": names,
                "confidence": [0.5 + row / 1000 for row in range(len(chosen))],
                "class_proposals": [[name, "other"] for name in names],
                "proposal_scores": [[0.75, 0.25]] * len(chosen),
            }
            label = masks_document(chosen, folder, columns)
            samples_of(dataset).update_one({"_id": ObjectId(identity)}, {"$set": {"ssa": label}})
    return dataset


def _versus(dataset: fo.Dataset, folder: Path, samples: int) -> Figures:
    import fiftyone as fo

    import fiftyone_ssa as ssa

    def ours(view: Any, out: Path) -> None:
        ssa.export(view, out, format="coco", export_media=False, progress=False)

    def theirs(view: Any, out: Path) -> None:
        kind = fo.types.COCODetectionDataset
        view.export(export_dir=str(out), dataset_type=kind, label_field="ssa", export_media=False, progress=False)

    sums = {"ours": [0.0, 0.0], "fiftyone": [0.0, 0.0]}
    for call in (ours, theirs):
        call(dataset.limit(2), folder / f"warm-{call.__name__}")
    for start in range(0, min(dataset.count(), samples), BATCH):
        for name, call in (("ours", ours), ("fiftyone", theirs)):
            before = time.process_time(), _database_seconds()
            call(dataset.skip(start).limit(BATCH), folder / f"{name}-{start}")
            sums[name][0] += time.process_time() - before[0]
            sums[name][1] += _database_seconds() - before[1]
    figures = {name: {"cpu_s": round(cpu, 2), "database_cpu_s": round(db, 2)} for name, (cpu, db) in sums.items()}
    return {**figures, "share": round(sums["ours"][0] / sums["fiftyone"][0], 3)}


def _database_seconds() -> float:
    """Processor seconds of the server, which a watcher of ours started."""
    times = [each.cpu_times() for each in psutil.Process().children(recursive=True)]
    return sum(each.user + each.system for each in times)


def _child(name: str, folder: str) -> Figures:
    """One format, all samples."""
    import fiftyone as fo

    import fiftyone_ssa as ssa

    dataset = fo.load_dataset(NAME)
    start_mb = psutil.Process().memory_info().rss / 1e6
    began, cpu = time.perf_counter(), time.process_time()
    summary = ssa.export(dataset, folder, format=name, export_media="symlink", progress=False)
    return {
        "cpu_s": round(time.process_time() - cpu, 2),
        "seconds": round(time.perf_counter() - began, 2),
        "start_mb": round(start_mb),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "written_mb": round(sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 1e6),
        "summary": str(summary)[:200],
    }


def main() -> None:
    """Print the figures."""
    from fiftyone_ssa.exports.formats import FORMATS

    parser = argparse.ArgumentParser(prog="python -m benchmarks.exports", description=__doc__)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--masks", type=int, default=50)
    parser.add_argument("--size", type=int, nargs=2, default=SIZE_HW, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--versus", type=int, default=100)
    parser.add_argument("--formats", nargs="*", default=list(FORMATS))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_child(options.child, options.folder)))
    else:
        size_hw = options.size[0], options.size[1]
        found = benchmark(options.samples, options.masks, options.formats, size_hw, options.versus)
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
