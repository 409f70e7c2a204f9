"""The two charts that the tabs share: bars with names, and a histogram that one drags over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fiftyone_ssa.curation.counts import BINS, Histogram

PLAIN, CHOSEN, FAINT = "#6a93b8", "#ff6d04", "#3d4f61"
"""What is counted, what a filter has chosen, and what it left out."""
STATES = {"accepted": "#5fa777", "corrected": "#d9a441", "rejected": "#c0625a", "open": "#4a5563"}
ROW_PX = 23
DIGIT_PX = 7
PROGRESS_PX = 96
NAME_CHARS = 34
CONFIG = {"displayModeBar": False, "scrollZoom": False, "responsive": True}


@dataclass(frozen=True)
class Bar:
    """A named count, and what a click on it means."""

    name: str
    count: int
    key: Any
    """Comes back with a click (`clicked`); anything that JSON holds."""
    chosen: bool | None = None
    """Whether a filter shows this one; None where there is no such filter."""


def chosen(rows: Sequence[Bar], key: Any) -> list[Bar]:
    """The rows with that of a key marked, if there is one."""
    found = any(row.key == key for row in rows)
    return [replace(row, chosen=row.key == key if found else None) for row in rows]


def bars(rows: Sequence[Bar]) -> list[dict[str, Any]]:
    """Horizontal bars, the first on top, each with its count behind it."""
    shades = {None: PLAIN, True: CHOSEN, False: FAINT}
    return [
        {
            "type": "bar",
            "orientation": "h",
            # a name may come twice after it is cut: places are numbers, and the names are written beside them
            "y": list(range(len(rows))),
            "x": [row.count for row in rows],
            "ids": [json.dumps(row.key) for row in rows],
            "text": [f"{row.count:,}" for row in rows],
            "textposition": "outside",
            "cliponaxis": False,
            "constraintext": "none",  # counts are not shrunk to a bar's thickness
            "hovertext": [_plain(row.name) for row in rows],
            "hovertemplate": "%{hovertext}: %{x:,}<extra></extra>",
            "marker": {"color": [shades[row.chosen] for row in rows]},
        }
    ]


def bars_layout(rows: Sequence[Bar]) -> dict[str, Any]:
    """The layout of `bars`: names at the left, nothing that can be zoomed."""
    names = [row.name if len(row.name) <= NAME_CHARS else f"{row.name[: NAME_CHARS - 1]}…" for row in rows]
    most = max((row.count for row in rows), default=1)
    return {
        "height": bars_height_px(rows),  # a chart that is there already does not see that its box has another height
        "margin": {"t": 2, "b": 2, "l": 8, "r": 12 + DIGIT_PX * len(f"{most:,}")},  # counts stand behind the bars
        "bargap": 0.3,
        "dragmode": False,
        "xaxis": {"visible": False, "fixedrange": True, "range": [0, most]},
        "yaxis": {
            "autorange": False,
            "range": [len(rows) - 0.5, -0.5],
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
            "tickvals": list(range(len(rows))),
            "ticktext": [_plain(name) for name in names],
            "ticks": "",
            "ticksuffix": "  ",
            "tickfont": {"size": 12},
        },
        "font": {"size": 12},
        "hoverlabel": {"font": {"size": 12}},
    }


def bars_height_px(rows: Sequence[Bar]) -> int:
    """What `bars` take, in pixels."""
    return ROW_PX * max(len(rows), 1) + 8


def _plain(name: str) -> str:
    """A name whose tags are text: Plotly draws `<b>` as bold, and leaves other tags out."""
    return name.replace("&", "&amp;").replace("<", "&lt;")


def clicked(ctx: Any) -> Any:
    """The key of the bar that was clicked; None where none was."""
    key = ctx.params.get("id")
    return json.loads(key) if isinstance(key, str) else None


def clicked_pair(ctx: Any) -> list[Any] | None:
    """The two names of the bar that was clicked; None where none was."""
    key = clicked(ctx)
    return key if isinstance(key, list) and len(key) == 2 else None


def histogram(found: Histogram, chosen: tuple[float, float] | None) -> list[dict[str, Any]]:
    """The bars of a histogram over 0 to 1, the part that a filter shows in another colour."""
    middles = [(place + 0.5) / BINS for place in range(BINS)]
    inside = [chosen is not None and chosen[0] <= middle <= chosen[1] for middle in middles]
    shade = FAINT if chosen else PLAIN
    return [
        {
            "type": "bar",
            "x": middles,
            "y": list(found.bars),
            "width": 1 / BINS,
            "marker": {"color": [CHOSEN if is_inside else shade for is_inside in inside], "line": {"width": 0}},
            "selected": {"marker": {"color": CHOSEN}},
            "hovertemplate": "around %{x:.2f}: %{y:,} masks<extra></extra>",
        }
    ]


def histogram_layout() -> dict[str, Any]:
    """The layout of `histogram`: a drag selects a range."""
    return {
        "margin": {"t": 6, "b": 24, "l": 44, "r": 10},
        "bargap": 0.12,
        "dragmode": "select",
        "selectdirection": "h",
        "xaxis": {"range": [0, 1], "fixedrange": True, "dtick": 0.2, "tickfont": {"size": 11}, "showgrid": False},
        "yaxis": {"fixedrange": True, "rangemode": "tozero", "nticks": 4, "tickfont": {"size": 11}},
        "font": {"size": 12},
    }


def dragged(ctx: Any) -> tuple[float, float] | None:
    """The range of a histogram's bars over which somebody dragged; None where there were none."""
    places = [point["idx"] for point in ctx.params.get("data") or [] if isinstance(point.get("idx"), int)]
    return (min(places) / BINS, (max(places) + 1) / BINS) if places else None


def progress(states: dict[str, int]) -> list[dict[str, Any]]:
    """One bar of what is done and what is open, side by side."""
    return [
        {
            "type": "bar",
            "orientation": "h",
            "y": [0],
            "x": [states.get(name, 0)],
            "name": f"{name} {states.get(name, 0):,}",
            "marker": {"color": shade},
            "hovertemplate": f"{name}: %{{x:,}}<extra></extra>",
        }
        for name, shade in STATES.items()
    ]


def progress_layout() -> dict[str, Any]:
    """The layout of `progress`: its legend says the numbers, in two lines where the panel is narrow."""
    return {
        "height": PROGRESS_PX,
        "barmode": "stack",
        "margin": {"t": 2, "b": 56, "l": 8, "r": 8, "autoexpand": False},
        "dragmode": False,
        "xaxis": {"visible": False, "fixedrange": True},
        "yaxis": {"visible": False, "fixedrange": True},
        "showlegend": True,
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 0,
            "yanchor": "top",
            "traceorder": "normal",
            "itemclick": False,
            "itemdoubleclick": False,
            "font": {"size": 12},
        },
        "font": {"size": 12},
    }
