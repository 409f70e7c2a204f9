"""LVIS, each way: COCO's form with what LVIS adds, which its own evaluation asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from fiftyone_ssa.exports import coco
from fiftyone_ssa.exports.coco_reading import read_coco
from fiftyone_ssa.exports.reading import ImportedImage, Reader
from fiftyone_ssa.exports.writing import ExportImage, ExportJob
from fiftyone_ssa.layouts.ontology_names import known_synonyms

RARE, COMMON = 10, 100
"""LVIS calls a category rare up to so many images, then common, then frequent."""


class FormatWriter(coco.FormatWriter):
    """`labels.json` with masks as RLE; each category has its synonyms and how often it comes, for each split.

    The option `exhaustive` says that every object of every class is labelled: classes that an image lacks are then
    listed as negative. Without it an image's classes are listed as not exhaustive.
    """

    options: ClassVar[dict[str, Any]] = {"exhaustive": False}

    def __init__(self, job: ExportJob) -> None:
        super().__init__(job)
        self._images: dict[str, Counter[str]] = {split: Counter() for split in job.parts}
        self._masks: dict[str, Counter[str]] = {split: Counter() for split in job.parts}

    def add(self, image: ExportImage) -> None:
        """Write an image and its annotations."""
        self._images[image.split].update(set(image.labels))
        self._masks[image.split].update(image.labels)
        super().add(image)

    def image_entry(self, image: ExportImage) -> dict[str, Any]:
        """COCO's entry of an image, with what is known of classes that it lacks."""
        there = {self.job.ids[name] for name in image.labels}
        exhaustive = bool(self.job.options["exhaustive"])
        return {
            **super().image_entry(image),
            "coco_url": image.name,
            "neg_category_ids": sorted(set(self.job.ids.values()) - there) if exhaustive else [],
            "not_exhaustive_category_ids": [] if exhaustive else sorted(there),
        }

    def annotation(self, annotation: dict[str, Any]) -> dict[str, Any]:
        """COCO's annotation; LVIS has no crowds."""
        del annotation["iscrowd"]
        return annotation

    def categories(self, split: str) -> list[dict[str, Any]]:
        """COCO's entries of the classes, with LVIS's."""
        entries = []
        for entry in super().categories(split):
            name = entry["name"]
            images = self._images[split][name]
            added = {
                "synset": name.replace(" ", "_") + ".n.01",
                "synonyms": [name, *known_synonyms(name)],
                "def": "",
                "image_count": images,
                "instance_count": self._masks[split][name],
                "frequency": "r" if images <= RARE else "c" if images <= COMMON else "f",
            }
            entries.append({**added, **entry, "image_count": images, "instance_count": added["instance_count"]})
        return entries


class FormatReader(Reader):
    """LVIS of any source."""

    def read(self, dataset_dir: Path, data_dir: Path | None = None) -> Iterator[ImportedImage]:
        """The images of a data set, one at a time."""
        return read_coco(dataset_dir, data_dir)
