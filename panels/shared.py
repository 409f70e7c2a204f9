"""What the tabs of the panel share: its field, the sentence where there is nothing to show, and small pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.curation.counts import mask_fields
from fiftyone_ssa.errors import counted
from fiftyone_ssa.labels.shown import DEFAULT_FIELD

from . import charts, kept
from .filters import filters_of, view_of

NO_DATASET = "Open a dataset, or load one with the operator **SSA: load a dataset**."
NO_IMAGES = "This view shows no images."
NO_FIELD = "No field of this dataset holds masks yet. Name some with the operator **SSA: name masks**."
NO_IMAGES_IN = "Masks are named on images; this is a dataset of type {}, whose frames can be taken for images."
NO_NAME = "(no name)"
AS_WIDE = {"grid": {"sx": {"gridTemplateColumns": "minmax(0, 1fr)"}}}
"""A grid that is no wider than its place: a wide table scrolls by itself, and does not take the buttons along."""


def fields_of(ctx: Any) -> list[str]:
    """The fields that can be chosen: the one that is filtered, then those shown, then the others."""
    if ctx.dataset is None:
        return []
    known = mask_fields(view_of(ctx))
    first = [path.split(".")[0] for path in (*filters_of(ctx), *(ctx.active_fields or []), DEFAULT_FIELD)]
    return sorted(known, key=lambda name: first.index(name) if name in first else len(first))


def field_of(ctx: Any) -> str | None:
    """The field that the panel shows: the one chosen, else the first that can be."""
    fields = fields_of(ctx)
    chosen = kept.chosen(ctx, "label_field")
    return chosen if chosen in fields else next(iter(fields), None)


def nothing_to_show(ctx: Any) -> str | None:
    """Why there are no numbers, in a sentence; None where there are."""
    if ctx.dataset is None:
        return NO_DATASET
    if field_of(ctx) is None:
        kind = ctx.dataset.media_type
        return NO_FIELD if kind in ("image", "group", None) else NO_IMAGES_IN.format(kind)
    return None


def named(name: str | None) -> str:
    """A name as it is written for people."""
    return name or NO_NAME


def left_out(counts: Sequence[int], what: str) -> str:
    """What a chart has no room for; empty where that is nothing."""
    return f"and {counted(len(counts), f'more {what}')} on {counted(sum(counts), 'mask')}" if counts else ""


def title(panel: types.Object, name: str, text: str, more: str = "") -> None:
    """A heading within a tab, and what it wants to be explained with."""
    panel.md(f"**{text}**{f' &nbsp; {more}' if more else ''}", name=name)


def stack(panel: types.Object, name: str) -> types.Object:
    """Things below each other, each as wide as the panel."""
    return panel.v_stack(name, gap=1, columns=1, componentsProps=AS_WIDE)


def choice(panel: types.Object, name: str, labels: Mapping[str, str], shown: str | None, on_choice: Any) -> None:
    """A row of buttons, one of which is chosen: an input would write the panel's state (`kept`). Value to label."""
    wrapped = {"grid": {"sx": {"display": "flex", "flexWrap": "wrap"}}}  # many fields take more lines
    row = panel.h_stack(name, gap=1, componentsProps=wrapped)
    narrow = {"item": {"sx": {"width": "auto"}}}
    for place, (value, label) in enumerate(labels.items()):
        variant = "contained" if value == shown else "outlined"
        about = {"variant": variant, "params": {"value": value}, "componentsProps": narrow}
        row.btn(f"choice_{place}", label, on_click=on_choice, **about)


def draw_bars(tab: types.Object, name: str, rows: Sequence[charts.Bar], on_click: Any) -> None:
    """The chart of named counts, within the layout: the App would write the panel's *data* into its state (`kept`)."""
    about = {
        "data": charts.bars(rows),
        "layout": charts.bars_layout(rows),
        "height": f"{charts.bars_height_px(rows)}px",
    }
    tab.plot(name, **about, config=charts.CONFIG, on_click=on_click)
