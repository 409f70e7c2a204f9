"""How many masks of a view have which name, from whom, how sure, and in which state: counted by the database.

No mask is decoded and no sample is made an object: each function is one aggregation over what the view shows, with the
view's filters, patches and group slice. How long they take with 300,000 masks: docs/performance.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import fiftyone as fo

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels import runs
from fiftyone_ssa.labels.database import documents, needs_database, root_dataset, samples_of
from fiftyone_ssa.labels.fields import Fields
from fiftyone_ssa.labels.review import state
from fiftyone_ssa.masks.containment import LEVELS

Expression = dict[str, Any]

_READ = ("label", "class_name", "label_source", "review")
"""What is asked of each mask: as an array, which groups faster than an object."""
BINS = 40
"""Bars of a histogram over 0 to 1."""


@dataclass(frozen=True)
class Names:
    """What the masks of a view are called, and what people did to them."""

    images: int
    """Samples that the view shows, with masks or without."""
    masks: int
    classes: Mapping[str | None, int]
    """Label to masks, most frequent first; None: without a name."""
    by_ssa: int
    """Masks that SSA named, whatever they are called now: the others say nothing of source, margin or review."""
    sources: Mapping[tuple[str | None, str | None], int]
    """`label_source` of a mask and preset of its sample to masks, most frequent first; None where there is none."""
    states: Mapping[str, int]
    """"open", "accepted", "corrected" and "rejected" to masks."""
    corrections: Mapping[tuple[str | None, str | None], int]
    """What SSA said and what it is called now, where that differs, to masks, most frequent first."""

    @property
    def reviewed(self) -> int:
        """Masks that somebody accepted, corrected or rejected."""
        return self.masks - self.states.get("open", 0)


@dataclass(frozen=True)
class Histogram:
    """How a number between 0 and 1 is spread over masks, in `BINS` bars of the same width."""

    bars: tuple[int, ...]
    missing: int
    """Masks without the number, or with one outside of 0 to 1."""

    @property
    def known(self) -> int:
        """Masks that have the number."""
        return sum(self.bars)


@needs_database()
def count_names(samples: Any, label_field: str = "ssa") -> Names:
    """Count the masks of a view by name, source, preset, and state of review, in one pass.

    Args:
        samples: a dataset or view; its filters, patches and active group slice count
        label_field ("ssa"): a Detections field, of SSA or anybody's, or the Detection of a patches view

    Raises InputError if there is no such field.
    """
    masks = masks_of(samples, label_field)
    ours = any(samples.has_field(f"{label_field}.{path}class_name") for path in ("", "detections."))
    rows = {"$map": {"input": masks, "in": [f"$$this.{name}" for name in _READ]}}
    stages: list[Expression] = [
        # beside its masks each sample hands out one row that is none: the number of samples comes in the same pass
        {"$project": {"_id": 0, "preset": f"${Fields(label_field).preset}", "row": {"$concatArrays": [[None], rows]}}},
        {"$unwind": "$row"},
        {"$group": {"_id": {"preset": "$preset", "row": "$row"}, "masks": {"$sum": 1}}},
        # from here on there are few rows, so that what is asked of each costs nothing
        {
            "$project": {
                "masks": 1,
                "image": {"$eq": ["$_id.row", None]},
                "preset": "$_id.preset",
                "mask": {name: {"$arrayElemAt": ["$_id.row", place]} for place, name in enumerate(_READ)},
            }
        },
        {"$set": {"mask.label_source": _text("$mask.label_source"), "state": state("$mask", ours=ours)}},
    ]
    images = by_ssa = 0
    classes: Counter[str | None] = Counter()
    sources: Counter[tuple[str | None, str | None]] = Counter()
    states: Counter[str] = Counter()
    corrections: Counter[tuple[str | None, str | None]] = Counter()
    for row in documents(samples, stages):
        number, mask = row["masks"], row["mask"]
        if row["image"]:
            images += number
            continue
        name, label = mask["class_name"], mask["label"]
        classes[label] += number
        sources[mask["label_source"], row.get("preset")] += number
        states[row["state"]] += number
        if name is not None:
            by_ssa += number
            if name != label:
                corrections[name, label] += number
    presets = {preset: _preset_name(preset) for _, preset in sources}
    named: Counter[tuple[str | None, str | None]] = Counter()
    for (source, preset), number in sources.items():
        named[source, presets[preset]] += number
    return Names(
        images, classes.total(), _ordered(classes), by_ssa, _ordered(named), _ordered(states), _ordered(corrections)
    )


@needs_database()
def count_scores(samples: Any, label_field: str = "ssa") -> tuple[Histogram, Histogram]:
    """The histograms of `vote_margin` and of `confidence` of a view's masks, in one pass.

    Args:
        samples: a dataset or view; its filters, patches and active group slice count
        label_field ("ssa"): a Detections field, or the Detection of a patches view

    Raises InputError if there is no such field.
    """
    pair = [_bar("$$this.vote_margin"), _bar("$$this.confidence")]
    margins, confidences = [0] * (BINS + 1), [0] * (BINS + 1)
    rows = {"$map": {"input": masks_of(samples, label_field), "in": pair}}
    stages: list[Expression] = [{"$project": {"_id": 0, "row": rows}}, {"$unwind": "$row"}, {"$sortByCount": "$row"}]
    for found in documents(samples, stages):
        margin, confidence = found["_id"]
        margins[margin] += found["count"]
        confidences[confidence] += found["count"]
    return tuple(Histogram(tuple(bars[:BINS]), bars[BINS]) for bars in (margins, confidences))  # type: ignore[return-value]


@needs_database()
def count_levels(samples: Any, label_field: str = "ssa") -> dict[str, int]:
    """The masks of a view by level, "whole", "part", "subpart", as `levels` wrote it; none where it did not.

    Args:
        samples: a dataset or view; its filters, patches and active group slice count
        label_field ("ssa"): a Detections field, or the Detection of a patches view

    Raises InputError if there is no such field.
    """
    rows = {"$map": {"input": masks_of(samples, label_field), "in": _text("$$this.level")}}
    stages: list[Expression] = [{"$project": {"_id": 0, "row": rows}}, {"$unwind": "$row"}, {"$sortByCount": "$row"}]
    found = {row["_id"]: int(row["count"]) for row in documents(samples, stages)}
    return {level: found[level] for level in LEVELS if level in found}


@needs_database()
def latest_change(samples: Any) -> str:
    """What is another text as soon as a sample of the dataset is added, removed or written; an index answers it."""
    collection = samples_of(root_dataset(samples))
    last = collection.find_one({}, {"last_modified_at": 1, "_id": 0}, sort=[("last_modified_at", -1)]) or {}
    return f"{last.get('last_modified_at')} {collection.count_documents({}, hint='_id_')}"


def mask_fields(samples: Any) -> list[str]:
    """The fields of a collection whose masks can be counted: Detections, of a patches view the Detection."""
    kinds = (fo.Detections, fo.Detection)
    return [name for name in samples.get_field_schema(embedded_doc_type=kinds) if _kind(samples, name) in kinds]


def masks_of(samples: Any, label_field: Any) -> Expression:
    """A sample's masks as an array, in the database's words. Raises InputError where the field holds none."""
    kind = _kind(samples, label_field) if isinstance(label_field, str) else None
    if kind is fo.Detections:
        return {"$ifNull": [f"${label_field}.detections", []]}
    if kind is fo.Detection:
        return {"$cond": [{"$eq": [{"$type": f"${label_field}"}, "object"]}, [f"${label_field}"], []]}
    known = ", ".join(mask_fields(samples)) or "none"
    raise InputError(f"{label_field!r} is no Detections field of {samples.name!r}; it has {known}")


def _kind(samples: Any, label_field: str) -> type[Any] | None:
    return getattr(samples.get_field(label_field), "document_type", None)


def _text(path: str) -> Expression:
    """A text, None where there is none: an attribute of somebody else's field may be anything."""
    return {"$cond": [{"$eq": [{"$type": path}, "string"]}, path, None]}


def _bar(path: str) -> Expression:
    """The bar in which a number between 0 and 1 falls, 1 in the last one; `BINS` for what is none."""
    place = {"$min": [BINS - 1, {"$floor": {"$multiply": [path, BINS]}}]}
    inside = {"$and": [{"$gte": [path, 0]}, {"$lte": [path, 1]}]}
    return {"$cond": [inside, {"$toInt": place}, BINS]}


def _preset_name(fingerprint: str | None) -> str | None:
    """What a sample's preset was called when it ran; the fingerprint where no run of this database had it."""
    recorded = runs.settings_of(fingerprint) if isinstance(fingerprint, str) else None
    return recorded[0] if recorded else fingerprint


def _ordered(counter: Counter[Any]) -> dict[Any, int]:
    """Most frequent first, then by name."""
    return dict(sorted(counter.items(), key=lambda item: (-item[1], str(item[0]))))
