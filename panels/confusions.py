"""The tab Confusions: which names are taken for each other."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.curation.confusions import CLOSE, Confusion, confuses, count_confusions
from fiftyone_ssa.curation.remembered import remembered

from . import charts, filters
from .shared import draw_bars, field_of, left_out, stack, title

MOST = 30
NONE = "No two names are confused: no mask has two proposals that are close, and none was given another name."


def load(ctx: Any) -> dict[str, Any]:
    """Count, and answer what the layout needs."""
    field = field_of(ctx)
    assert field is not None
    found = remembered(count_confusions, filters.view_before(ctx), field)
    rows = charts.chosen(
        [charts.Bar(_text(row), row.masks, [row.name, row.other]) for row in found[:MOST]], filters.opened_key(ctx)
    )
    rest = left_out([row.masks for row in found[MOST:]], "pair")
    return {"rows": [asdict(row) for row in rows], "rest": rest}


def draw(panel: types.Object, shape: dict[str, Any], on: Any) -> None:
    """Lay the tab out; `on` has the handlers."""
    tab = stack(panel, "confusions")
    rows = [charts.Bar(**row) for row in shape["rows"]]
    if not rows:
        tab.md(NONE, name="none")
        return
    told = f"by proposals less than {CLOSE} apart, and by corrections; click a pair to show its masks"
    title(tab, "title", "Taken for each other", told)
    draw_bars(tab, "pairs", rows, on.on_confusion)
    if shape["rest"]:
        tab.md(shape["rest"], name="rest")


def open_pair(ctx: Any) -> None:
    """Show the masks of the pair that was clicked."""
    field, pair = field_of(ctx), charts.clicked_pair(ctx)
    if field is not None and pair:
        filters.open_masks(ctx, field, confuses(*pair), f"masks that confuse {pair[0]} and {pair[1]}", pair)


def _text(row: Confusion) -> str:
    return f"{row.name} ↔ {row.other}" + (f" ({row.corrected} corrected)" if row.corrected else "")
