"""`annotate` on a FiftyOne dataset: first runs, and runs that overwrite what people touched in part."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import PIL.Image

from fiftyone_ssa.labels.clean import clean, default_folder
from fiftyone_ssa.labels.database import dataset_id, own_collection, samples_of
from fiftyone_ssa.labels.review import is_touched
from fiftyone_ssa.labels.runs import OPEN
from tools.kills.trial import files_below

BOXES_XYWH = ((24, 4, 30, 20), (60, 4, 20, 20), (10, 40, 40, 20))
SIZE_WH = (96, 64)
SEGMENTERS = """
import time
import numpy as np

class First:
    classes = ["sky", "grass"]

    def __call__(self, images):
        time.sleep({seconds} * len(images))
        return [(np.arange(i.shape[0])[:, None] >= i.shape[0] // 2) + 0 * i[..., 0].astype(int) for i in images]

class Second(First):
    classes = ["roof", "wall"]

class Third(First):
    classes = ["wall", "sky"]
"""
CLASSES = {"First": {"sky", "grass"}, "Second": {"roof", "wall"}, "Third": {"wall", "sky"}}
RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import fiftyone as fo
from fiftyone_ssa.labels import writer
from fiftyone_ssa.labels.annotate import annotate

writer.BATCH_SAMPLES = 3
name, segmenter, overwrite, batch_size = sys.argv[2:]
annotate(fo.load_dataset(name), "mini-ssa", masks_field="masks", overwrite=overwrite == "True", device="cpu",
         batch_size=int(batch_size), overrides={"semantic.model": segmenter}, progress=False)
"""


class DatasetTrial:
    """A dataset that is labelled, touched by people and labelled with other settings, round by round."""

    def __init__(self, folder: Path, chance: random.Random, *, samples: int = 40, seconds: float = 0.03) -> None:
        self.folder, self.chance, self.samples = folder, chance, samples
        (folder / "segmenters.py").write_text(SEGMENTERS.format(seconds=seconds))
        self.segmenter, self.overwrite = "First", False
        self.touched: dict[tuple[Any, Any], Any] = {}
        """Sample and mask id to a mask as a person left it."""
        self.dataset: Any = None

    def begin_round(self) -> None:
        """A new dataset every third round, else the same one: people touch it once, and other settings overwrite it."""
        if self.dataset is None or self.segmenter == "Third":
            self.dataset, self.segmenter, self.overwrite, self.touched = self._new_dataset(), "First", False, {}
            return
        if self.segmenter == "First":
            self._touch()
        self.segmenter, self.overwrite = {"First": "Second", "Second": "Third"}[self.segmenter], True

    @property
    def factory(self) -> str:
        """The segmenter of this round as a preset names it."""
        return f"{self.folder / 'segmenters.py'}:{self.segmenter}"

    def command(self, chance: random.Random) -> Sequence[str]:
        """The command of the next start."""
        arguments = (self.dataset.name, self.factory, self.overwrite, chance.choice((1, 2, 4)))
        return [sys.executable, "-c", RUN, str(Path(__file__).parents[2]), *map(str, arguments)]

    def progress(self) -> object:
        """What changes when samples are written."""
        return sorted(str(row.get("ssa_inputs")) for row in samples_of(self.dataset).find({}, {"ssa_inputs": 1}))

    def after_start(self, killed: bool) -> list[str]:
        """Whether all that counts as done is whole, and what people touched as they left it."""
        return list(self._faults())

    def after_end(self, output: str) -> list[str]:
        """Whether all is done, and nothing is left over."""
        self.dataset.reload()
        faults = list(self._faults())
        done = sum(self._is_of_this_round(document) for document in samples_of(self.dataset).find({}))
        if done != self.samples:
            faults.append(f"{done} of {self.samples} samples are of the last settings")
        parts = [path.name for path in files_below(default_folder(self.dataset)) if path.name.startswith(".")]
        faults += [f"half-written files are left over: {parts}"] if parts else []
        clean(self.dataset)
        left, maps = set(files_below(default_folder(self.dataset))), self.dataset.values("ssa_semantic.mask_path")
        if left != set(map(Path, maps)):
            faults.append(f"{len(left)} files after clean, {len(maps)} maps")
        identity = dataset_id(self.dataset)
        for name, where in (
            ("leases", {"_id": {"$regex": f"^{identity}/"}}),
            ("runs", {"dataset": identity, "state": OPEN}),
        ):
            if own_collection(name).count_documents(where):
                faults.append(f"{name} are left over")
        return faults

    def _faults(self) -> Iterator[str]:
        documents = {document["_id"]: document for document in samples_of(self.dataset).find({})}
        for (sample_id, mask_id), row in self.touched.items():
            found = [each for each in _rows(documents[sample_id]) if each["_id"] == mask_id]
            if found != [row]:
                yield f"a mask that a person touched ({row.get('label')}) is lost, doubled or changed"
        self.dataset.reload()
        targets = self.dataset.mask_targets.get("ssa_semantic", {})
        for document in documents.values():
            if document.get("ssa_preset") is None:
                if _rows(document):
                    yield "labels without a stamp"
                continue
            if len(self._fresh(document)) != self._expected(document):
                yield f"{len(self._fresh(document))} masks of a run in a sample, {self._expected(document)} expected"
            told = _names(document["ssa_semantic"]["mask_path"], targets)
            if told not in CLASSES.values():
                yield f"a class map reads {told}"

    def _is_of_this_round(self, document: Any) -> bool:
        names = CLASSES[self.segmenter]
        told = _names(document["ssa_semantic"]["mask_path"], self.dataset.mask_targets["ssa_semantic"])
        return told == names and {row["label"] for row in self._fresh(document)} <= names

    def _fresh(self, document: Any) -> list[Any]:
        return [row for row in _rows(document) if (document["_id"], row["_id"]) not in self.touched]

    def _expected(self, document: Any) -> int:
        """Masks of a run: those of the source, less those that one that a person touched stands for."""
        stand = [row for key, row in self.touched.items() if key[0] == document["_id"] and row.get("label") != "bird"]
        return len(BOXES_XYWH) - len(stand)

    def _touch(self) -> None:
        """Relabel, reject, tag and draw, in one sample of four each, and remember how they were left."""
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
        documents = list(samples_of(self.dataset).find({}))
        self.touched = {(d["_id"], row["_id"]): row for d in documents for row in _rows(d) if is_touched(row)}
        assert len(self.touched) == self.samples

    def _new_dataset(self) -> Any:
        dataset, (width, height) = fo.Dataset(persistent=True), SIZE_WH
        samples = []
        for index in range(self.samples):
            path = self.folder / f"{index}.png"
            if not path.exists():
                PIL.Image.new("RGB", SIZE_WH, (index % 256, 120, 200)).save(path)
            masks = [
                fo.Detection(bounding_box=[x / width, y / height, w / width, h / height], mask=np.ones((h, w), bool))
                for x, y, w, h in BOXES_XYWH
            ]
            samples.append(fo.Sample(filepath=str(path), masks=fo.Detections(detections=masks)))
        dataset.add_samples(samples, progress=False)
        return dataset


def _rows(document: Any) -> list[Any]:
    return (document.get("ssa") or {}).get("detections") or []


def _names(path: str, targets: Any) -> set[str]:
    """The names that a class map's file shows; none where it is not there or not whole."""
    try:
        with PIL.Image.open(path) as picture:
            values = np.unique(np.asarray(picture)).tolist()
    except (OSError, SyntaxError):
        return set()
    return {targets.get(value, f"value {value}") for value in values}
