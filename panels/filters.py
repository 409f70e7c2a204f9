"""What the App filters: the sidebar's filters, which are read, and a stage in the view bar, which a click sets.

A stage stays: the sidebar's filters are lost when the App loads its page anew. It is undone in the view bar, or with
the panel's button.
"""

from __future__ import annotations

import json
from typing import Any

import fiftyone as fo
from bson import json_util
from fiftyone import ViewField as F
from fiftyone.server.view import get_view

from fiftyone_ssa.labels.database import serialized

from .kept import kept

Filters = dict[str, Any]


def filters_of(ctx: Any) -> Filters:
    """The sidebar's filters, path to what it lets through."""
    return dict(ctx.request_params.get("filters") or {})


def path_of(ctx: Any, label_field: str, attribute: str) -> str:
    """Where the sidebar has an attribute of a field's masks; in a view of patches they are no list."""
    field = view_of(ctx).get_field(label_field)
    is_list = getattr(field, "document_type", None) is fo.Detections
    return f"{label_field}.detections.{attribute}" if is_list else f"{label_field}.{attribute}"


def view_of(ctx: Any, without: str = "") -> Any:
    """What the App shows, stages and sidebar, or what it would show `without` the sidebar's filter of one path.

    `ctx.view` leaves the sidebar out while a saved view is open.
    """
    return _view(ctx, stages_of(ctx), without)


def view_before(ctx: Any) -> Any:
    """What the App showed before `open_masks`, if that is what it shows: the other pairs stay in sight."""
    shown = opened(ctx)
    return _view(ctx, shown["before"]) if shown else view_of(ctx)


def _view(ctx: Any, stages: Any, without: str = "") -> Any:
    filters = {path: value for path, value in filters_of(ctx).items() if path != without}
    extended = ctx.request_params.get("extended")
    return get_view(ctx.dataset, stages=stages, filters=filters, extended_stages=dict(extended) if extended else None)


def seen(ctx: Any) -> str:
    """What of the request says which masks the App shows."""
    return str(json_util.dumps([ctx.request_params.get(key) for key in ("view", "view_name", "filters", "extended")]))


def stages_of(ctx: Any) -> Any:
    """The stages in the view bar, as JSON."""
    stages, name = (ctx.request_params.get(key) for key in ("view", "view_name"))
    return _json(ctx.dataset.load_saved_view(name)) if name and not stages else stages or []


def _json(view: Any) -> Any:
    return json.loads(json_util.dumps(serialized(view)))


def chosen_values(ctx: Any, path: str) -> list[Any] | None:
    """The values that are shown, by a click or the sidebar; None where nothing says so, or which are left out."""
    if here := chosen_here(ctx, path.rsplit(".", 1)[-1]):
        return [here]
    found = filters_of(ctx).get(path)
    return list(found.get("values") or []) if found and not found.get("exclude") else None


def chosen_range(ctx: Any, path: str) -> tuple[float, float] | None:
    """The range that is shown, by a drag or the sidebar; None where nothing says so."""
    if here := chosen_here(ctx, path.rsplit(".", 1)[-1]):
        return (here[0], here[1])
    low, high = (filters_of(ctx).get(path) or {}).get("range") or (None, None)
    return (low, high) if low is not None and high is not None else None


def choose_value(ctx: Any, label_field: str, attribute: str, value: str) -> None:
    """Show the masks with one value."""
    told = {"label": f"masks named {value}", "level": f"{value}s"}
    what = told.get(attribute, f"masks named by {value}")
    open_masks(ctx, label_field, F(attribute) == value, what, {"attribute": attribute, "chosen": value})


def choose_range(ctx: Any, label_field: str, attribute: str, chosen: tuple[float, float]) -> None:
    """Show the masks with a number in a range."""
    low, high = chosen
    what = f"masks of {attribute.replace('_', ' ')} {low:.2f} to {high:.2f}"
    condition = (F(attribute) >= low) & (F(attribute) <= high)
    open_masks(ctx, label_field, condition, what, {"attribute": attribute, "chosen": [low, high]})


def chosen_here(ctx: Any, attribute: str) -> Any:
    """The value or range of an attribute that `choose_value` or `choose_range` shows; None where neither does."""
    key = opened_key(ctx)
    return key["chosen"] if isinstance(key, dict) and key["attribute"] == attribute else None


def clear(ctx: Any, label_field: str) -> None:
    """Take the sidebar's filters of a field away; the others stay."""
    kept = {key: value for key, value in filters_of(ctx).items() if key.split(".")[0] != label_field}
    ctx.trigger("set_filters", kept)


def open_masks(ctx: Any, label_field: str, condition: fo.ViewExpression, what: str, key: Any) -> None:
    """Show the masks of a condition as one stage of the view; another one takes its place. `key` is the bar's."""
    shown = opened(ctx)
    before = shown["before"] if shown else stages_of(ctx)
    view = get_view(ctx.dataset, stages=before).filter_labels(label_field, condition)
    kept(ctx)["opened"] = {"before": before, "now": _json(view), "what": what, "key": key}
    ctx.ops.set_view(view)


def opened(ctx: Any) -> dict[str, Any] | None:
    """What `open_masks` opened, if the App still shows it."""
    shown = kept(ctx).get("opened")
    try:
        if shown and get_view(ctx.dataset, stages=shown["now"]) == get_view(ctx.dataset, stages=stages_of(ctx)):
            return dict(shown)
    except ValueError:  # somebody deleted its field meanwhile
        del kept(ctx)["opened"]
    return None


def opened_key(ctx: Any) -> Any:
    """The key of the bar whose masks are shown; None where none is."""
    return (opened(ctx) or {}).get("key")


def close_masks(ctx: Any) -> None:
    """Show again what was shown before `open_masks`."""
    if shown := opened(ctx):
        ctx.ops.set_view(get_view(ctx.dataset, stages=shown["before"]))
