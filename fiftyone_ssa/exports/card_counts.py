"""What a data card counts while an export runs: masks by class, by where their names come from, and by review."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fiftyone_ssa.exports.image_masks import Document
from fiftyone_ssa.exports.outlines import confidence_of
from fiftyone_ssa.exports.writing import ExportImage
from fiftyone_ssa.labels.review import ACCEPTED, CORRECTED, OPEN, is_drawn, state_of


@dataclass
class ClassCounts:
    """The masks of one class."""

    masks: int = 0
    images: int = 0
    area_px: int = 0
    confidence_sum: float = 0.0
    with_confidence: int = 0
    states: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """The counts as JSON's own types."""
        mean = self.confidence_sum / self.with_confidence if self.with_confidence else None
        return {
            "masks": self.masks,
            "images": self.images,
            "mean_area_px": round(self.area_px / self.masks, 1) if self.masks else None,
            "mean_confidence": None if mean is None else round(mean, 4),
            **{name: self.states[name] for name in (ACCEPTED, CORRECTED, OPEN)},
            "sources": dict(self.sources.most_common()),
        }


@dataclass
class CardCounts:
    """The masks of one export."""

    ours: bool = False
    """Whether SSA named masks of the field."""
    classes: dict[str, ClassCounts] = field(default_factory=dict)
    images: int = 0
    empty_images: int = 0
    people: Counter[str] = field(default_factory=Counter)
    """Who reviewed how many, as other tools told it."""

    def add(self, image: ExportImage) -> None:
        """Count one image."""
        self.images += 1
        self.empty_images += not len(image.masks)
        for name in dict.fromkeys(image.labels):
            self.classes.setdefault(name, ClassCounts()).images += 1
        areas = np.asarray(image.masks.areas_px).tolist()
        for name, document, area in zip(image.labels, image.documents, areas, strict=True):
            counts = self.classes[name]
            confidence = confidence_of(document)
            counts.masks += 1
            counts.area_px += area
            counts.confidence_sum += confidence or 0.0
            counts.with_confidence += confidence is not None
            counts.states[state_of(document, ours=self.ours)] += 1
            counts.sources[self._source(document)] += 1
            if isinstance(document.get("reviewed_by"), str):
                self.people[str(document["reviewed_by"])] += 1

    @property
    def total(self) -> ClassCounts:
        """All classes together; an image counts once for each of its classes."""
        total = ClassCounts()
        for counts in self.classes.values():
            for name in ("masks", "images", "area_px", "confidence_sum", "with_confidence"):
                setattr(total, name, getattr(total, name) + getattr(counts, name))
            total.states.update(counts.states)
            total.sources.update(counts.sources)
        total.images = self.images
        return total

    def _source(self, document: Document) -> str:
        """Where a mask's name comes from."""
        if not self.ours:
            return "given"
        if is_drawn(document):
            return "drawn by a person"
        if document.get("label") != document.get("class_name"):
            return "named by a person"
        source = document.get("label_source")
        if isinstance(source, str) and source:
            return source
        return "votes" if document.get("vote_share") is not None else "model"
