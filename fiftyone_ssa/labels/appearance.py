"""How the App shows what was named: colours, active fields, sidebar, editing and saved views, where nobody set them.

What a person set stays: `OwnSettings` knows what is ours. Boxes are drawn around masks all the same, as FiftyOne's App
has no setting for them, and it lists a label's attributes by the alphabet (groups of single attributes, which it takes,
break its view of a sample).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import fiftyone as fo
import fiftyone.core.utils as fou
from fiftyone import ViewField as F
from mongoengine.errors import MongoEngineException
from pymongo.errors import PyMongoError

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.database import (
    PLUGIN,
    Document,
    documents,
    needs_database,
    refresh,
    root_dataset,
    view_definition,
)
from fiftyone_ssa.labels.doubt import is_doubtful
from fiftyone_ssa.labels.fields import Fields, check_label_field
from fiftyone_ssa.labels.lease import SCHEMA, hold
from fiftyone_ssa.labels.own_settings import OwnSettings
from fiftyone_ssa.labels.review import ACCEPTED, CORRECTED, REJECTED, state, state_is
from fiftyone_ssa.layouts.colours import UNNAMED, colour_of

logger = logging.getLogger(__name__)

MOST_NAMES = 1_000
"""Names that get a colour and a place in the list to choose from; FiftyOne takes no more for the latter."""
WAIT_SECONDS = 30.0
READ_SAMPLES_ANEW = f"{PLUGIN}/read_samples_anew"
"""The operator of our script (js/src/host.js) that lets an open App show samples as they are now."""
RUNS_GROUP = "SSA runs"
"""The sidebar's group of what runs keep beside the labels, folded."""
NOT_NAMES = frozenset(("none", "null", "undefined"))
"""What the App takes for no label, in a list of colours."""
VIEW_COLOURS = {
    "doubtful": "#ff6d04",
    "unnamed": "#9e9e9e",
    "failed": "#d32f2f",
    "corrected": "#2e7d32",
    "rejected": "#7b1fa2",
}


@needs_database()
def prepare_app(samples: Any, label_field: str = "ssa") -> None:
    """Set what the App needs to show the masks of a field well, where nobody set it; `annotate` ends with this.

    That is: colours by class, the same as in overlay pictures; the field as the active one; the sidebar's order; a
    label schema in which the label alone can be edited; and the saved views doubtful, unnamed, failed, corrected and
    rejected (with the field's name in brackets, where those names are taken). What someone set, changed or removed
    stays so, and a second call changes nothing.

    Args:
        samples: a dataset or view with the field
        label_field ("ssa"): a Detections field

    Raises InputError if there is no such field, or if another process sets the same for longer than half a minute.
    """
    dataset, fields = root_dataset(samples), check_label_field(label_field)
    with hold(dataset, SCHEMA, wait_seconds=WAIT_SECONDS):
        refresh(dataset)
        if label_field not in dataset.get_field_schema(embedded_doc_type=fo.Detections):
            raise InputError(f"{dataset.name!r} has no Detections field {label_field!r}; name masks first")
        ours, names = OwnSettings(dataset), _names(dataset, fields)
        _set_colours(dataset, fields, ours, names)
        _set_active(dataset, fields, ours)
        _set_sidebar(dataset, fields, ours)
        dataset.save()
        _set_schema(dataset, fields, ours, names)
        _set_views(dataset, fields, ours)
        ours.save()


def colour_names(dataset: fo.Dataset, label_field: str) -> None:
    """Give the names of a field's masks the colours that they have everywhere, where nobody set some."""
    fields = check_label_field(label_field)
    with hold(dataset, SCHEMA, wait_seconds=WAIT_SECONDS):
        refresh(dataset)
        ours = OwnSettings(dataset)
        _set_colours(dataset, fields, ours, _names(dataset, fields))
        dataset.save()
        ours.save()


def try_to_prepare_app(
    dataset: fo.Dataset, label_field: str, prepare: Callable[[fo.Dataset, str], None] | None = None
) -> None:
    """`prepare_app`, or `prepare`, after labels are written, which must not seem to have failed for their looks."""
    try:
        if dataset.has_field(label_field):  # a run that is cancelled early has made none
            (prepare or prepare_app)(dataset, label_field)
    except (InputError, PyMongoError, MongoEngineException, ValueError, ExceptionGroup) as error:
        logger.warning("the labels are written, but the App's settings for them are not: %s", error)


def shown_colours(dataset: fo.Dataset) -> dict[str, Any]:
    """What an App that is open has to be told, as it keeps the colours with which it opened a dataset.

    For `ctx.trigger("set_color_scheme", shown_colours(dataset))`, after the App has read its samples anew.
    """
    scheme = dataset.app_config.color_scheme
    if scheme is None:
        return {}
    entries = [dict(entry) for entry in scheme.fields or []]
    return {"color_by": scheme.color_by or fo.app_config.color_by, "fields": json.loads(json.dumps(entries))}


def show_anew(ctx: Any, since: datetime) -> None:
    """Let an App that is open show what runs wrote since a time.

    New fields and indexes it learns only where it reads its dataset, and so its whole page, anew; else the samples are
    enough, and the page does not blink.

    Args:
        ctx: FiftyOne's context of an event in the App
        since: UTC
    """
    dataset = ctx.dataset
    dataset.reload()
    if _has_new(dataset, since.replace(tzinfo=None)):
        ctx.ops.reload_dataset()
    else:
        ctx.trigger(READ_SAMPLES_ANEW)
    if colours := shown_colours(dataset):
        ctx.trigger("set_color_scheme", colours)


def _has_new(dataset: fo.Dataset, since: datetime) -> bool:
    """Whether a field or an index of a dataset is younger than that."""
    fields = (field.created_at for field in dataset.get_field_schema(flat=True).values())
    indexes = (dataset.get_brain_info(key).timestamp for key in dataset.list_brain_runs())
    return any(when is not None and when.replace(tzinfo=None) >= since for when in (*fields, *indexes))


@needs_database()
def add_names(samples: Any, label_field: str, names: Iterable[str]) -> None:
    """Give names that people made up a colour and a place in the list to choose from, where those lists are ours."""
    dataset, fields = root_dataset(samples), check_label_field(label_field)
    known, asked = _listed(dataset, label_field), set(names)
    if not known or asked <= set(known):
        return
    with hold(dataset, SCHEMA, wait_seconds=WAIT_SECONDS):
        refresh(dataset)
        ours = OwnSettings(dataset)
        every = list(dict.fromkeys([*_listed(dataset, label_field), *sorted(asked)]))
        _set_colours(dataset, fields, ours, every)
        dataset.save()
        _set_schema(dataset, fields, ours, every)
        ours.save()


def _names(dataset: fo.Dataset, fields: Fields) -> list[str]:
    """The names that masks have or were proposed to have, most frequent first, then those of the field's class maps.

    One more than `MOST_NAMES` at most.
    """
    detections = f"${fields.label}.detections"
    proposed = {"$ifNull": [f"{detections}.class_proposals", []]}
    flat = {"$reduce": {"input": proposed, "initialValue": [], "in": {"$concatArrays": ["$$value", "$$this"]}}}
    stages: list[Document] = [
        {"$project": {"names": {"$concatArrays": [{"$ifNull": [f"{detections}.label", []]}, flat]}}},
        {"$unwind": "$names"},
        {"$match": {"names": {"$nin": [None, ""]}}},
        {"$group": {"_id": "$names", "count": {"$sum": 1}}},
        {"$sort": {"count": -1, "_id": 1}},
        {"$limit": MOST_NAMES + 1},
    ]
    found = [row["_id"] for row in documents(dataset, stages, all_slices=dataset.media_type == "group")]
    mapped = [name for value, name in sorted(_targets(dataset, fields.semantic).items())]
    return [name for name in dict.fromkeys(found + mapped) if isinstance(name, str)][: MOST_NAMES + 1]


def _targets(dataset: fo.Dataset, field: str) -> Mapping[int, str]:
    """A class map's pixel values with their names; RGB maps have none."""
    targets = (dataset.mask_targets or {}).get(field) or {}
    return {value: name for value, name in targets.items() if isinstance(value, int) and value > 0}


def _entry(dataset: fo.Dataset, path: str) -> dict[str, Any] | None:
    """What the colour scheme says of one field."""
    scheme = dataset.app_config.color_scheme
    found = [dict(entry) for entry in (scheme.fields if scheme else None) or [] if entry.get("path") == path]
    return found[0] if found else None


def _listed(dataset: fo.Dataset, path: str) -> list[str]:
    """The names that have a colour of their own."""
    rows = (_entry(dataset, path) or {}).get("valueColors") or []
    return [row["value"] for row in rows if row["value"] != "none"]


def _set_colours(dataset: fo.Dataset, fields: Fields, ours: OwnSettings, names: Sequence[str]) -> None:
    """Colours by value. The App gives values colours in the order in which it meets them: each has to be listed."""
    scheme, changed = dataset.app_config.color_scheme or fo.ColorScheme(), False
    if fo.app_config.color_by == "field" and ours.offer("color_by", scheme.color_by, "value"):
        scheme.color_by, changed = "value", True
    listed = [{"value": "none", "color": UNNAMED}]
    listed += [
        {"value": name, "color": colour_of(name)} for name in names[:MOST_NAMES] if name.lower() not in NOT_NAMES
    ]
    wanted = [{"path": fields.label, "colorByAttribute": "label", "valueColors": listed}]
    for path in (fields.semantic, fields.branch):
        targets = [{"intTarget": value, "color": colour_of(name)} for value, name in _targets(dataset, path).items()]
        wanted += [{"path": path, "maskTargetsColors": targets}] if targets else []
    entries = list(scheme.fields or [])
    for entry in wanted:
        if ours.offer(f"colours:{entry['path']}", _entry(dataset, str(entry["path"])), entry):
            entries = [other for other in entries if other.get("path") != entry["path"]] + [entry]
            changed = True
    if changed:
        scheme.fields = entries
        dataset.app_config.color_scheme = scheme


def _set_active(dataset: fo.Dataset, fields: Fields, ours: OwnSettings) -> None:
    """The field alone, when it is new: masks over masks of another field show neither."""
    present = dataset.app_config.active_fields
    shown = None if present is None else [bool(present.exclude), *present.paths]
    if ours.once(f"active:{fields.label}") and ours.offer("active", shown, [False, fields.label]):
        dataset.app_config.active_fields = fo.ActiveFields(paths=[fields.label])


def _set_sidebar(dataset: fo.Dataset, fields: Fields, ours: OwnSettings) -> None:
    """What runs keep goes into a folded group; without groups of the user's, labels come first, the rest is folded."""
    if not ours.once(f"sidebar:{fields.label}"):
        return
    config = dataset.app_config
    groups = config.sidebar_groups
    if groups is None:
        groups = fo.DatasetAppConfig.default_sidebar_groups(dataset)
        places = {"tags": 0, "labels": 1}
        groups.sort(key=lambda group: places.get(group.name, 2))
        for group in groups:
            group.expanded = group.name in places
            if group.name == "labels":
                group.paths = sorted(group.paths, key=lambda path: path != fields.label)
    kept = [path for path in (fields.preset, fields.inputs, fields.error) if dataset.has_field(path)]
    for group in groups:
        if group.name == "primitives":  # where FiftyOne puts new fields; elsewhere they are somebody's choice
            group.paths = [path for path in group.paths if path not in kept]
    moved = [path for path in kept if not any(path in group.paths for group in groups)]
    folded = next((group for group in groups if group.name == RUNS_GROUP), None)
    if folded is not None:
        folded.paths = [*folded.paths, *moved]
    elif moved:
        groups = [*groups, fo.SidebarGroupDocument(name=RUNS_GROUP, paths=moved, expanded=False)]
    config.sidebar_groups = list(groups)


def _set_schema(dataset: fo.Dataset, fields: Fields, ours: OwnSettings, names: Sequence[str]) -> None:
    """In the App's own editing, the label alone: FiftyOne's generated schema lets one edit every attribute."""
    if dataset.media_type != "image":
        return
    classes = sorted(names, key=lambda name: (name.lower(), name))
    wanted: dict[str, Any] = {"type": "detections", "component": "text", "attributes": []}
    if 0 < len(classes) <= MOST_NAMES:
        wanted |= {"component": "dropdown", "classes": classes}
    first = not ours.knows(f"schema:{fields.label}")
    if ours.offer(f"schema:{fields.label}", dataset.label_schemas.get(fields.label), wanted):
        dataset.update_label_schema(fields.label, wanted)
        if first:
            dataset.activate_label_schemas(fields.label)


def _set_views(dataset: fo.Dataset, fields: Fields, ours: OwnSettings) -> None:
    """Saved views that are definitions, so that they stay true whatever is reviewed later."""
    for kind, (view, told) in _views(dataset, fields).items():
        names = (kind, f"{kind} ({fields.label})")
        keys = {name: f"view:{name}:{fields.label}" for name in names}
        name = next((name for name in names if ours.knows(keys[name])), None)
        taken = {fou.to_slug(other) for other in dataset.list_saved_views()}
        if name is None:
            name = next((name for name in names if fou.to_slug(name) not in taken), None)
        if name is None:
            continue
        present = view_definition(dataset.load_saved_view(name)) if dataset.has_saved_view(name) else None
        if ours.offer(keys[name], present, view_definition(view)):
            dataset.save_view(name, view, description=told, color=VIEW_COLOURS[kind], overwrite=present is not None)


def _views(dataset: fo.Dataset, fields: Fields) -> dict[str, tuple[Any, str]]:
    """The views of one label field, each with what it shows."""
    label, named = fields.label, dataset.has_field(f"{fields.label}.detections.class_name")
    settled = fo.ViewExpression({"$in": [state(ours=named), [ACCEPTED, REJECTED]]})
    unnamed = (F("label") == None) & (F("area") != 0) & ~settled  # noqa: E711 - an expression of MongoDB
    views = {
        "unnamed": (dataset.filter_labels(label, unnamed), f"masks of {label} that have no name yet"),
        "corrected": (
            dataset.filter_labels(label, state_is(CORRECTED, ours=named)),
            f"masks of {label} that somebody gave another name or shape",
        ),
        "rejected": (
            dataset.filter_labels(label, state_is(REJECTED, ours=named)),
            f"masks of {label} that somebody rejected",
        ),
    }
    if named:
        told = f"masks of {label} whose names are likely wrong, and that nobody reviewed"
        views = {"doubtful": (dataset.filter_labels(label, is_doubtful()), told), **views}
    if dataset.has_field(fields.error):
        views["failed"] = (dataset.match(F(fields.error) != None), f"images that the last run of {label} could not do")  # noqa: E711
    return {kind: views[kind] for kind in VIEW_COLOURS if kind in views}
