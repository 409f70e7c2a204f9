"""What a run on a field has to do, and when it may not run: what others made is not replaced without their word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import fiftyone as fo

from fiftyone_ssa.errors import InputError, OtherSettingsError, counted, shown
from fiftyone_ssa.labels import runs
from fiftyone_ssa.labels.database import samples_of
from fiftyone_ssa.labels.fields import Fields
from fiftyone_ssa.labels.source import Source
from fiftyone_ssa.labels.stamps import missing_output, states
from fiftyone_ssa.naming.stamp import Settings

Overwrite = bool | Literal["everything"]


def check_overwrite(value: Any) -> Overwrite:
    """True, False or "everything"; raises InputError for anything else."""
    if value == "everything" and isinstance(value, str):
        return "everything"
    if type(value).__name__ not in ("bool", "bool_"):
        raise InputError(
            "overwrite must be False (skip what is done), True (redo it, and keep what people touched) or "
            f'"everything" (redo all of it), got {shown(value)}'
        )
    return bool(value)


@dataclass(frozen=True)
class Content:
    """What a label field holds: numbers of samples."""

    presets: Mapping[str, int]
    """Fingerprint of the settings to samples that were done with them."""
    foreign: int = 0
    """Samples with masks of which SSA never said anything, in no run."""
    unrecorded: int = 0
    """Samples with masks that SSA named, without the record of a run: those of a copied field."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is there that a run could harm."""
        return not (self.presets or self.foreign or self.unrecorded)


def content(dataset: fo.Dataset, fields: Fields, at_most: int | None = None) -> Content:
    """What the whole dataset holds in a label field, whatever the view; `at_most` looks at so many samples only."""
    masks = f"${fields.label}.detections"
    told = {"$concatArrays": [{"$ifNull": [f"{masks}.{name}", []]} for name in ("class_name", "mask_digest")]}
    groups = samples_of(dataset).aggregate(
        [
            *([{"$limit": at_most}] if at_most else []),
            {"$match": {"$or": [{fields.label: {"$type": "object"}}, {fields.preset: {"$type": "string"}}]}},
            {
                "$group": {
                    "_id": {
                        "preset": f"${fields.preset}",
                        "masks": {"$gt": [{"$size": {"$ifNull": [masks, []]}}, 0]},
                        "named": {"$ne": [{"$setDifference": [told, [None]]}, []]},
                    },
                    "samples": {"$sum": 1},
                }
            },
        ]
    )
    presets: Counter[str] = Counter()
    foreign = unrecorded = 0
    for group in groups:
        kind, samples = group["_id"], group["samples"]
        if kind.get("preset") is not None:
            presets[kind["preset"]] += samples
        elif kind["masks"]:
            foreign, unrecorded = foreign + samples * (not kind["named"]), unrecorded + samples * kind["named"]
    return Content(presets, foreign, unrecorded)


def check_content(
    found: Content,
    dataset: fo.Dataset,
    fields: Fields,
    settings: Settings,
    overwrite: Overwrite,
    masks_field: str | None,
) -> None:
    """Raise InputError if a field's content is what a run with these settings must not replace."""
    where = f"field {fields.label!r} of dataset {dataset.name!r}"
    if masks_field != fields.label:
        _check_foreign(found, fields, where)
    others = Counter({key: count for key, count in found.presets.items() if key != settings.fingerprint})
    if others and not overwrite:
        raise OtherSettingsError(
            f"{where} holds results of other settings ({_differences(others, settings)}); "
            "choose another label_field, or redo them (overwrite=True), which keeps what people touched"
        )
    if found.unrecorded and not overwrite and masks_field != fields.label:
        raise InputError(
            f"{where} holds masks named by SSA in {counted(found.unrecorded, 'sample')} without a record of how "
            "(a copied field); choose another label_field, or redo them (overwrite=True), which keeps what people "
            "touched"
        )


def _check_foreign(found: Content, fields: Fields, where: str) -> None:
    """Raise InputError if the masks of a field are someone else's, which no run may replace."""
    ways_out = f"choose another label_field, or name them in place with masks_field={fields.label!r}"
    if found.foreign and not found.presets:
        raise InputError(
            f"{where} holds Detections that SSA did not make, in {counted(found.foreign, 'sample')}; "
            f"they stay: {ways_out}"
        )
    recorded = filter(None, map(runs.settings_of, found.presets))
    if any(values.get("masks_field") == fields.label for _, values in recorded):
        raise InputError(
            f"{where} holds Detections that SSA did not make and named in place; they stay: {ways_out} again"
        )


def _differences(others: Counter[str], settings: Settings) -> str:
    """What a field holds instead, for an error message."""
    fingerprint, _ = others.most_common(1)[0]
    recorded = runs.settings_of(fingerprint)
    if recorded is None:
        return f"{counted(others.total(), 'sample')}, of an earlier version or another database"
    preset, values = recorded
    names = settings.differences(values)
    return (
        f"{counted(others.total(), 'sample')}, preset {preset}; different: {', '.join(names) or 'more than one thing'}"
    )


@dataclass(frozen=True)
class Plan:
    """The samples of a run."""

    paths: dict[str, str]
    """Sample id to file path of those to do, in the collection's order."""
    skipped: int
    redone: Counter[str] = field(default_factory=Counter)
    """Why samples that were done are done again, as the summary counts it."""
    from_before: frozenset[str] = frozenset()
    """Those whose labels are of a version that wrote no `class_name`."""


def plan(
    dataset: fo.Dataset,
    fields: Fields,
    source: Source,
    fingerprint: str,
    maps: Sequence[str],
    redo: frozenset[str] | None = None,
    embeddings: bool = False,
) -> Plan:
    """Which samples of a source are to be done, `maps` being the class map fields that each must have.

    `embeddings`: whether each must have those of its masks, too.

    `redo` is given where finished ones are redone: what the runs with these tokens wrote counts as done.
    """
    paths = dict(zip(*source.samples.values(["id", "filepath"]), strict=True))
    redone: Counter[str] = Counter()
    todo, fitting, before = set(), [], set()
    for state in states(dataset, fields, paths):
        if state.preset is not None and state.inputs is None:
            before.add(state.id)
        if state.preset != fingerprint or state.error or (redo is not None and state.run not in redo):
            todo.add(state.id)
        elif (gone := missing_output(state, maps, embeddings)) is not None:
            todo.add(state.id)
            redone[gone] += 1
        else:
            fitting.append(state)
    for state, change in zip(fitting, source.changes(fitting), strict=True):
        if change is not None:
            todo.add(state.id)
            redone[change] += 1
    chosen = {sample_id: path for sample_id, path in paths.items() if sample_id in todo}
    return Plan(chosen, len(paths) - len(chosen), redone, frozenset(before))
