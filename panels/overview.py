"""The tab Overview: how far the review is, which names there are, who gave them, and how sure they are."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.curation.counts import count_levels, count_names, count_scores
from fiftyone_ssa.curation.remembered import remembered
from fiftyone_ssa.errors import counted

from . import charts, filters
from .shared import draw_bars, field_of, left_out, named, stack, title

MOST_CLASSES = 25
MOST_SOURCES = 8
REVIEW = "@fiftyone-ssa/ssa/review_field"
DOUBTFUL = "@fiftyone-ssa/ssa/show_doubtful"
NOT_OURS = "SSA named none of these masks: there is nothing to review."
NONE = "This view shows no mask of this field: widen it, or find masks with the operator **SSA: name masks**."
SCORES = {"vote_margin": "Margin", "confidence": "Confidence"}


@dataclass(frozen=True)
class Shape:
    """What the layout has to know of the numbers."""

    dataset: str
    field: str
    line: str
    reviewed: str
    classes: list[charts.Bar]
    rest: str
    sources: list[charts.Bar]
    scores: dict[str, dict[str, Any]]
    """Attribute to its histogram and what is said above it; only those that some mask has."""
    progress: list[dict[str, Any]] | None
    levels: list[charts.Bar]
    """None where nobody sorted the masks into wholes and parts."""


def load(ctx: Any) -> dict[str, Any]:
    """Count, and answer what the layout needs."""
    field = field_of(ctx)
    assert field is not None
    paths = {name: filters.path_of(ctx, field, name) for name in ("label", "label_source", *SCORES)}
    with ThreadPoolExecutor(2) as pool:  # the database counts both at once
        both = (
            _each(pool, ctx, field, {name: paths[name] for name in ("label", "label_source")}, count_names),
            _each(pool, ctx, field, {name: paths[name] for name in SCORES}, count_scores),
        )
    names, histograms = ({name: future.result() for name, future in found.items()} for found in both)
    everything = names[""]
    shown = _classes(names["label"].classes, filters.chosen_values(ctx, paths["label"]))
    sources = _sources(names["label_source"].sources, filters.chosen_values(ctx, paths["label_source"]))
    here = filters.chosen_here(ctx, "level") is not None
    level_path = filters.path_of(ctx, field, "level")
    levels = remembered(count_levels, filters.view_before(ctx) if here else filters.view_of(ctx, level_path), field)
    found = {}
    for place, (name, label) in enumerate(SCORES.items()):
        bars = histograms[name][place]
        if bars.known:
            chosen = filters.chosen_range(ctx, paths[name])
            told = f"{chosen[0]:.2f} to {chosen[1]:.2f}" if chosen else "drag over a range to show its masks"
            found[name] = {"told": f"**{label}** &nbsp; {told}", "chart": charts.histogram(bars, chosen)}
    ours = everything.by_ssa > 0
    rest = left_out(list(names["label"].classes.values())[MOST_CLASSES:], "name")
    share = 100 * everything.reviewed / max(everything.masks, 1)
    shape = Shape(
        dataset=ctx.dataset.name,
        field=field,
        line=f"{counted(everything.masks, 'mask')} in {counted(everything.images, 'image')}",
        reviewed=f"{everything.reviewed:,} of {everything.masks:,}, {share:.0f} %"
        if ours
        else NOT_OURS
        if everything.masks
        else NONE,
        classes=shown,
        rest=rest,
        sources=sources,
        scores=found,
        progress=charts.progress(dict(everything.states)) if ours else None,
        levels=_levels(levels, filters.chosen_values(ctx, level_path)),
    )
    return asdict(shape)


def draw(panel: types.Object, shape: dict[str, Any], on: Any) -> None:
    """Lay the tab out; `on` has the handlers."""
    tab = stack(panel, "overview")
    title(tab, "review_title", "Review", shape["reviewed"])
    if shape["progress"]:
        layout = charts.progress_layout()
        height = f"{charts.PROGRESS_PX}px"
        tab.plot("progress", data=shape["progress"], layout=layout, config=charts.CONFIG, height=height)
        buttons = tab.h_stack("buttons", gap=1)
        wish = {"dataset": shape["dataset"], "field": shape["field"]}
        buttons.btn("review", "Review", variant="outlined", on_click=REVIEW, params=wish)
        shown = {"label_field": shape["field"]}
        buttons.btn("doubtful", "Show doubtful masks", variant="outlined", on_click=DOUBTFUL, params=shown)
    if rows := [charts.Bar(**row) for row in shape["classes"]]:
        title(tab, "classes_title", "Names", "click one to show its masks")
        draw_bars(tab, "classes", rows, on.on_class)
    if shape["rest"]:
        tab.md(shape["rest"], name="rest")
    if shape["levels"]:
        title(tab, "levels_title", "Wholes and parts", "click one to show its masks")
        draw_bars(tab, "levels", [charts.Bar(**row) for row in shape["levels"]], on.on_level)
    if shape["scores"]:
        hist = stack(tab, "hist")
        for name, score in shape["scores"].items():
            hist.md(score["told"], name=f"{name}_title")
            hist.plot(
                name,
                data=score["chart"],
                layout=charts.histogram_layout(),
                config=charts.CONFIG,
                height="150px",
                on_selected=getattr(on, f"on_{name}"),
            )
    if shape["sources"]:
        rows = [charts.Bar(**row) for row in shape["sources"]]
        title(tab, "sources_title", "Who named them", "source and preset")
        draw_bars(tab, "sources", rows, on.on_source)


def _each(
    pool: ThreadPoolExecutor, ctx: Any, field: str, paths: dict[str, str], count: Callable[..., Any]
) -> dict[str, Future[Any]]:
    """What is counted for each chart, without that chart's own filter, so that what it left out stays in sight; under
    "" that of the whole view. Where no such filter is set, all are one and the same count.
    """
    set_ = filters.filters_of(ctx)
    whole = pool.submit(remembered, count, filters.view_of(ctx), field)

    def counted_for(name: str, path: str) -> Future[Any]:
        if filters.chosen_here(ctx, name) is not None:
            return pool.submit(remembered, count, filters.view_before(ctx), field)
        return pool.submit(remembered, count, filters.view_of(ctx, path), field) if path in set_ else whole

    return {"": whole, **{name: counted_for(name, path) for name, path in paths.items()}}


def _classes(classes: Any, chosen: list[Any] | None) -> list[charts.Bar]:
    rows = list(classes.items())
    rare = [row for row in rows[MOST_CLASSES:] if row[0] in (chosen or ())]  # what is shown is in sight, too
    rows = rows[:MOST_CLASSES] + rare
    return [charts.Bar(named(name), count, name, None if chosen is None else name in chosen) for name, count in rows]


def _levels(levels: dict[str, int], chosen: list[Any] | None) -> list[charts.Bar]:
    return [
        charts.Bar(f"{name}s", count, name, None if chosen is None else name in chosen)
        for name, count in levels.items()
    ]


def _sources(sources: Any, chosen: list[Any] | None) -> list[charts.Bar]:
    rows = list(sources.items())[:MOST_SOURCES]
    return [
        charts.Bar(
            " · ".join(filter(None, (source, preset))) or "not said",
            count,
            source,
            None if chosen is None else source in chosen,
        )
        for (source, preset), count in rows
    ]
