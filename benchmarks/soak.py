"""Long runs with a segmenter that takes no time: whether memory, throughput and connections stay what they were.

    python -m benchmarks.soak [--images 3000] [--ray-images 5000] [--dataset-images 3000] [--a-tar 100]
        [--size 300 450] [--workers 2]

Over tars in one process, over tars on Ray with `--workers`, and over a FiftyOne dataset with a database of its own; 0
images leave one out. Each committed shard, or hundredth of the dataset, is a point: "mb" is the memory that processes
hold for themselves (USS), "cpu_ms" the processor time an image of the driver and the workers since the point before,
"images_per_s" by the clock, and "connections" those that the database counts. Wall time says little on a machine that
others use; "of_loop" is "cpu_ms" in times of a fixed loop, which this process measures at each point, since a core that
is shared is slower for both. First and last are means of the first and the last fifth of the points, the first two left
out, in which models and libraries are loaded; "by_tenth" are means, too. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from benchmarks._tars import DISTINCT, stand_in, write_tars
from benchmarks._watching import held, watched

WARMING = 2
"""Points at the start that count for nothing."""
POINTS = 100
"""Of a dataset."""
DATASET = "from benchmarks.soak import label_dataset; import sys; label_dataset(*sys.argv[1:])"
Figures = dict[str, Any]


def soak(command: Sequence[str], lines: Path, a_line: int) -> Figures:
    """Run a command that tells a line each time that so many images are done, and look at its processes then."""
    started = time.monotonic()
    points, said = watched(command, lines, _look)
    figures = {"images": points[-1]["lines"] * a_line, "wall_s": round(time.monotonic() - started, 1)}
    return figures | {"said": said.strip().splitlines()[-1]} | _summary(points, a_line)


def tars(folder: Path, shards: int, a_tar: int, size_hw: tuple[int, int], more: Sequence[str]) -> Figures:
    """The command over tars."""
    write_tars(folder / "data", shards, a_tar, size_hw)
    out = folder / "out"
    command = [sys.executable, "-m", "fiftyone_ssa.cli", "annotate", str(folder / "data"), str(out)]
    command += [*stand_in(folder), "--format", "parquet", "--device", "cpu", *more]
    return soak(command, out / "progress.jsonl", a_tar)


def dataset(folder: Path, images: int, size_hw: tuple[int, int]) -> Figures:
    """`annotate` over a dataset, in a process of its own."""
    command = [sys.executable, "-c", DATASET, str(folder), str(images), *map(str, size_hw)]
    return soak(command, folder / "progress.jsonl", images // POINTS)


def label_dataset(place: str, count: str, height: str, width: str) -> None:
    """Make a dataset of drawn scenes with their true masks, and annotate it; tells a line each `POINTS`th of it."""
    from tools.mongod import use_own_database

    folder, images, size_hw = Path(place), int(count), (int(height), int(width))
    use_own_database()
    os.environ |= {"FIFTYONE_DEFAULT_DATASET_DIR": f"{folder}/datasets", "FIFTYONE_DO_NOT_TRACK": "1"}
    import fiftyone as fo
    import fiftyone.core.odm as foo
    import PIL.Image

    from fiftyone_ssa.labels.annotate import annotate
    from fiftyone_ssa.labels.documents import masks_document
    from fiftyone_ssa.quickstart.scenes import draw_scene

    scenes = [draw_scene(seed, size_hw) for seed in range(min(DISTINCT, images))]
    for number, scene in enumerate(scenes):
        PIL.Image.fromarray(scene.image).save(folder / f"scene{number}.jpg", quality=90)

    def sample(number: int) -> fo.Sample:
        of = number % len(scenes)
        (folder / f"{number}.jpg").hardlink_to(folder / f"scene{of}.jpg")
        masks = fo.Detections.from_dict(masks_document(scenes[of].mask_set(), folder))
        return fo.Sample(filepath=f"{folder}/{number}.jpg", masks=masks)

    made = fo.Dataset()
    made.add_samples(map(sample, range(images)), num_samples=images, progress=False)
    every, told = images // POINTS, 0
    server = foo.get_db_client()
    with (folder / "progress.jsonl").open("w") as lines:

        def tell(bar: Any) -> None:
            nonlocal told
            if bar.iteration // every > told:
                told += 1
                current = server.admin.command("serverStatus")["connections"]["current"]
                print(json.dumps({"connections": current}), file=lines, flush=True)

        settings = stand_in(folder)[3::2]
        overrides = dict(setting.split("=", 1) for setting in settings)
        print(annotate(made, "mini-ssa", masks_field="masks", overrides=overrides, device="cpu", progress=tell))


def _look(driver: psutil.Process) -> Figures:
    """Memory of the driver and of the workers, the processor time of both, and what a loop takes now."""
    found = held(driver)
    return {
        **{f"{kind}_mb": round(found[kind][0] / 1e6, 1) for kind in ("driver", "workers") if kind in found},
        "cpu_s": sum(found[kind][1] for kind in ("driver", "workers") if kind in found),
        "s": time.monotonic(),
        "loop_ms": _loop_ms(),
    }


def _loop_ms() -> float:
    """Processor time of a loop that is always the same."""
    started = time.process_time()
    sum(number * number for number in range(300_000))
    return 1000 * (time.process_time() - started)


def _summary(points: list[Figures], a_line: int) -> Figures:
    """First and last fifth of what matters, their ratio, and the means of tenths."""
    steps = [_step(before, point, a_line) for before, point in pairwise(points[WARMING:])]
    figures: Figures = {"points": len(steps)}
    names = ("driver_mb", "workers_mb", "images_per_s", "cpu_ms", "loop_ms", "of_loop", "connections")
    for name in (name for name in names if name in steps[0]):
        values = [step[name] for step in steps]
        fifth = max(1, len(steps) // 5)
        one, other = statistics.fmean(values[:fifth]), statistics.fmean(values[-fifth:])
        tenths = [values[len(values) * at // 10 : max(1, len(values) * (at + 1) // 10)] for at in range(10)]
        figures[name] = {"first": round(one, 2), "last": round(other, 2), "ratio": round(other / one, 3)}
        figures[name]["by_tenth"] = [round(statistics.fmean(tenth), 1) for tenth in tenths if tenth]
    return figures


def _step(before: Figures, point: Figures, a_line: int) -> Figures:
    images = a_line * (point["lines"] - before["lines"])
    cpu_ms = 1000 * (point["cpu_s"] - before["cpu_s"]) / images
    told = {name: point["line"][name] for name in ("connections",) if name in point["line"]}
    rate = images / (point["s"] - before["s"])
    return {**point, **told, "cpu_ms": cpu_ms, "of_loop": cpu_ms / point["loop_ms"], "images_per_s": rate}


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--ray-images", type=int, default=600)
    parser.add_argument("--dataset-images", type=int, default=600)
    parser.add_argument("--a-tar", type=int, default=50)
    parser.add_argument("--size", type=int, nargs=2, default=(300, 450), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    size_hw = (options.size[0], options.size[1])
    ray = ["--ray", "local", "--workers", str(options.workers)]
    report: Figures = {"a_tar": options.a_tar, "size_hw": list(size_hw), "workers": options.workers}
    for name, images in (
        ("one process", options.images),
        ("ray", options.ray_images),
        ("dataset", options.dataset_images),
    ):
        if not images:
            continue
        with tempfile.TemporaryDirectory() as place:
            if name == "dataset":
                report[name] = dataset(Path(place), images, size_hw)
            else:
                shards, more = images // options.a_tar, ray if name == "ray" else []
                report[name] = tars(Path(place), shards, options.a_tar, size_hw, more)
            print(name, report[name], file=sys.stderr, flush=True)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
