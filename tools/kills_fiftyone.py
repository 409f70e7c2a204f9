"""Kill `annotate` on a FiftyOne dataset again and again, and look whether anything is lost, doubled or left over.

    python -m tools.kills_fiftyone [--kills 30] [--samples 40] [--seed 0]

Each run is a process of its own, killed (SIGKILL) at a random moment from its start to its end. A dataset is labelled
first; then people touch some of its masks, and runs with other settings overwrite it, killed alike. After each kill all
that counts as done must be whole, and what people touched must be as they left it; after the last run nothing is left
over. Needs mongod; starts a server of its own. Prints a line a kill, and one of figures.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BOXES_XYWH = ((24, 4, 30, 20), (60, 4, 20, 20), (10, 40, 40, 20))
SIZE_WH = (96, 64)
SEGMENTERS = """
import time
import numpy as np

class First:
    classes = ["sky", "grass"]
    def __call__(self, images):
        time.sleep(0.03 * len(images))
        return [(np.arange(i.shape[0])[:, None] >= i.shape[0] // 2) + 0 * i[..., 0].astype(int) for i in images]

class Second(First):
    classes = ["roof", "wall"]

class Third(First):
    classes = ["wall", "sky"]
"""
RUN = """
import sys
import fiftyone as fo
from fiftyone_ssa.labels import writer
from fiftyone_ssa.labels.annotate import annotate

writer.BATCH_SAMPLES = 3
name, segmenter, overwrite = sys.argv[1:]
print("starts", flush=True)
annotate(fo.load_dataset(name), "mini-ssa", masks_field="masks", overwrite=overwrite == "True", batch_size=2,
         overrides={"semantic.model": segmenter}, progress=False, device="cpu")
"""


@dataclass
class Report:
    """What was found."""

    kills: int = 0
    ended: int = 0
    """Runs that were done before they were to be killed."""
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        found = "; ".join(self.faults[:5]) or "nothing lost, doubled or left over"
        return f"{self.kills} kills, {self.ended} runs that ended before, {len(self.faults)} faults: {found}"


class Kills:
    """A dataset, its runs, and what has to hold of it."""

    def __init__(self, folder: Path, samples: int, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.report = Report()
        (folder / "segmenters.py").write_text(SEGMENTERS)
        self.renew(samples)
        self.touched: dict[Any, Any] = {}
        """Sample and mask id to the mask as a person left it."""

    def renew(self, samples: int) -> None:
        """Go on with a dataset that has no labels yet."""
        import fiftyone as fo

        self.dataset = _dataset(fo.Dataset(persistent=True), self.folder, samples)

    def until(self, kills: int, segmenter: str, overwrite: bool, say: Callable[[str], None]) -> None:
        """Run and kill until the report holds so many kills or a run came to its end; then run to the end."""
        while self.report.kills < kills:
            killed = self._run(segmenter, overwrite, self.random.uniform(0.0, 1.0))
            done = self._check(segmenter)
            say(f"kill {self.report.kills}: {segmenter}, {done} samples done" if killed else f"{segmenter} ended")
            if not killed:
                return

    def finish(self, segmenter: str, overwrite: bool) -> None:
        """One run that nobody kills, after which all must be there and nothing more."""
        from fiftyone_ssa.labels.annotate import annotate
        from fiftyone_ssa.labels.clean import clean, default_folder
        from fiftyone_ssa.labels.database import own_collection
        from fiftyone_ssa.labels.runs import OPEN

        annotate(
            self.dataset,
            "mini-ssa",
            masks_field="masks",
            overwrite=overwrite,
            overrides={"semantic.model": self._factory(segmenter)},
            progress=False,
            device="cpu",
        )
        done, samples = self._check(segmenter), self.dataset.count()
        self._expect(done == samples, f"{done} of {samples} samples are done after the last run")
        maps = set(self.dataset.values("ssa_semantic.mask_path"))
        before = _files(default_folder(self.dataset))
        parts = {path for path in before if Path(path).name.startswith(".")}
        self._expect(not parts, f"half-written files: {sorted(parts)[:3]}")
        clean(self.dataset)
        self._expect(_files(default_folder(self.dataset)) == maps, "files are left over, or missing, after clean")
        self._expect(own_collection("leases").count_documents({}) == 0, "a lease is left over")
        self._expect(own_collection("runs").count_documents({"state": OPEN}) == 0, "a run is left open")

    def touch(self) -> None:
        """Relabel, reject, tag and draw, in one sample of four each, and remember how they were left."""
        import fiftyone as fo
        import numpy as np

        self.dataset.reload()
        for index, sample in enumerate(self.dataset):
            detections = sample.ssa.detections
            if index % 4 == 0:
                detections[0].label = "a person's word"
            elif index % 4 == 1:
                detections[1].review = "rejected"
            elif index % 4 == 2:
                detections[2].tags = ["look again"]
            else:
                detections.append(fo.Detection(label="bird", bounding_box=[0, 0, 0.1, 0.1], mask=np.ones((6, 9), bool)))
            sample.save()
        from fiftyone_ssa.labels.review import is_touched

        self.touched = {
            (sample_id, row["_id"]): row for sample_id, rows in self._rows() for row in rows if is_touched(row)
        }
        self._expect(len(self.touched) == self.dataset.count(), f"{len(self.touched)} masks are known as touched")

    def _factory(self, segmenter: str) -> str:
        return f"{self.folder / 'segmenters.py'}:{segmenter}"

    def _run(self, segmenter: str, overwrite: bool, moment: float) -> bool:
        """Start a run and kill it at a moment, 0 its start and 1 its end; whether it was killed."""
        arguments = (self.dataset.name, self._factory(segmenter), str(overwrite))
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        run = subprocess.Popen(
            [sys.executable, "-c", RUN, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._wait(run, moment)
        run.send_signal(signal.SIGKILL)
        said = run.communicate(timeout=300)[0]
        if run.returncode == -signal.SIGKILL:
            self.report.kills += 1
            return True
        self.report.ended += 1
        self._expect(run.returncode == 0, f"a run failed: {said[-300:]}")
        return False

    def _wait(self, run: subprocess.Popen[str], moment: float) -> None:
        """Wait for a share of a run: the first tenth is its start, the rest goes by the samples that it wrote."""
        from fiftyone_ssa.labels.database import samples_of

        assert run.stdout is not None
        while "starts" not in (line := run.stdout.readline()) and line:
            pass
        if moment < 0.1:
            time.sleep(moment * 30)
            return
        known = set(self.dataset.values("ssa_inputs")) if self.dataset.has_field("ssa_inputs") else set()
        goal = (moment - 0.1) / 0.9 * self.dataset.count()
        while run.poll() is None:
            rows = samples_of(self.dataset).find({}, {"ssa_inputs": 1})
            if sum(row.get("ssa_inputs") not in (*known, None) for row in rows) >= goal:
                break
            time.sleep(0.01)
        time.sleep(self.random.uniform(0, 0.1))

    def _check(self, segmenter: str) -> int:
        """Whether all that counts as done is whole; the number of samples done with the last settings."""
        from fiftyone_ssa.labels.database import samples_of

        self.dataset.reload()
        rows = dict(self._rows())
        for key, row in self.touched.items():
            found = [each for each in rows[key[0]] if each["_id"] == key[1]]
            self._expect(found == [row], f"a mask that a person touched is lost or changed: {row.get('label')}")
        names, done = _classes(segmenter), 0
        targets = self.dataset.mask_targets.get("ssa_semantic", {})
        for sample in samples_of(self.dataset).find({}):
            if sample.get("ssa_preset") is None:
                self._expect(not sample.get("ssa"), "labels without a stamp")
                continue
            fresh = [row for row in rows[sample["_id"]] if (sample["_id"], row["_id"]) not in self.touched]
            self._expect(len(fresh) == self._untouched(sample["_id"]), f"{len(fresh)} masks of a run in a sample")
            values = _values(sample["ssa_semantic"]["mask_path"])
            self._expect(values is not None, "a class map is lost")
            told = {targets.get(value) for value in values or ()}
            done += told == set(names) and {row["label"] for row in fresh} <= set(names)
            kinds = [set(_classes(name)) for name in ("First", "Second", "Third")]
            self._expect(told in kinds, f"a class map reads {told}")
        return done

    def _untouched(self, sample_id: Any) -> int:
        """Masks of a run in a sample: those of the source, less those that one that a person touched stands for."""
        stands = [row for key, row in self.touched.items() if key[0] == sample_id and row.get("label") != "bird"]
        return len(BOXES_XYWH) - len(stands)

    def _rows(self) -> Iterator[tuple[Any, list[Any]]]:
        from fiftyone_ssa.labels.database import samples_of

        for document in samples_of(self.dataset).find({}, {"ssa": 1}):
            yield document["_id"], (document.get("ssa") or {}).get("detections") or []

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.report.faults.append(otherwise)


def kill_runs(folder: Path, *, kills: int, samples: int, seed: int = 0, say: Callable[[str], None] = print) -> Report:
    """Kill runs on new datasets with files in `folder`, half of them while they overwrite; `say` takes a line each."""
    drill = Kills(folder, samples, seed)
    while True:
        drill.until(kills // 2, "First", False, say)
        drill.finish("First", False)
        if drill.report.kills >= kills // 2:
            break
        drill.renew(samples)
    drill.touch()
    segmenters = ["Second", "Third", "First"]
    while True:
        drill.until(kills, segmenters[0], True, say)
        drill.finish(segmenters[0], True)
        segmenters = [*segmenters[1:], segmenters[0]]
        if drill.report.kills >= kills:
            return drill.report


def _dataset(dataset: Any, folder: Path, samples: int) -> Any:
    import fiftyone as fo
    import numpy as np
    import PIL.Image

    width, height = SIZE_WH
    added = []
    for index in range(samples):
        path = folder / f"{index}.png"
        PIL.Image.new("RGB", SIZE_WH, (index % 256, 120, 200)).save(path)
        masks = [
            fo.Detection(bounding_box=[x / width, y / height, w / width, h / height], mask=np.ones((h, w), bool))
            for x, y, w, h in BOXES_XYWH
        ]
        added.append(fo.Sample(filepath=str(path), masks=fo.Detections(detections=masks)))
    dataset.add_samples(added, progress=False)
    return dataset


def _classes(segmenter: str) -> tuple[str, ...]:
    return {"First": ("sky", "grass"), "Second": ("roof", "wall"), "Third": ("wall", "sky")}[segmenter]


def _values(path: str) -> list[int] | None:
    """The values in a class map's file, None where it is not there or not whole."""
    import numpy as np
    import PIL.Image

    try:
        with PIL.Image.open(path) as picture:
            found: list[int] = np.unique(np.asarray(picture)).tolist()
    except (OSError, SyntaxError):
        return None
    return found


def _files(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if path.is_file()}


def main() -> int:
    """The command."""
    from tools.mongod import use_own_database

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        use_own_database()
        os.environ |= {"FIFTYONE_DEFAULT_DATASET_DIR": f"{folder}/datasets", "FIFTYONE_DO_NOT_TRACK": "1"}
        os.environ["HF_HUB_OFFLINE"] = "1"
        report = kill_runs(Path(folder), kills=options.kills, samples=options.samples, seed=options.seed)
    print(report)
    return min(len(report.faults), 100)


if __name__ == "__main__":
    sys.exit(main())
