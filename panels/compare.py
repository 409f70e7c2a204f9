"""The tab Compare: where another field names the same masks differently."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.curation.disagreement import count_disagreement, named_differently
from fiftyone_ssa.curation.remembered import remembered
from fiftyone_ssa.labels.shown import is_named

from . import charts, filters, kept
from .shared import choice, draw_bars, field_of, fields_of, left_out, named, stack, title

MOST = 30
ALONE = "This dataset has one field with masks only. Name its masks again, into another field, to compare the two."
NOTHING_IN_COMMON = "The two fields have no masks in common."
AGREED = "The two fields give the same names."


def load(ctx: Any) -> dict[str, Any]:
    """Count, and answer what the layout needs."""
    field, other = field_of(ctx), other_field(ctx)
    assert field is not None
    if other is None:
        return {"told": ALONE}
    found = remembered(count_disagreement, filters.view_before(ctx), field, other)
    pairs = list(found.pairs.items())
    rows = [charts.Bar(f"{named(a)} → {named(b)}", masks, [a, b]) for (a, b), masks in pairs[:MOST]]
    rows = charts.chosen(rows, filters.opened_key(ctx))
    by = "the same pixels" if found.by == "mask" else "boxes that overlap"
    share = 100 * found.different / max(found.common, 1)
    told = (
        f"{found.common:,} of {found.masks:,} masks are in both ({by}); "
        f"{found.different:,} of them, {share:.0f} %, have different names"
    )
    rest = left_out([masks for _, masks in pairs[MOST:]], "pair")
    return {
        "told": told if found.different else f"{told}. {AGREED}" if found.common else NOTHING_IN_COMMON,
        "rows": [asdict(row) for row in rows],
        "rest": rest,
        "by": found.by,
    }


def draw(panel: types.Object, ctx: Any, shape: dict[str, Any], on: Any) -> None:
    """Lay the tab out; `on` has the handlers."""
    field, other = field_of(ctx), other_field(ctx)
    others = others_of(ctx)
    if others:
        title(panel, "compared_with", "Compared with")
        choice(panel, "others", {name: name for name in others}, other, on.on_other)
    tab = stack(panel, "compare")
    tab.md(shape["told"], name="told")
    rows = [charts.Bar(**row) for row in shape.get("rows") or []]
    if rows:
        title(tab, "title", f"{field} → {other}", "click a pair to show its masks")
        draw_bars(tab, "pairs", rows, on.on_difference)
        if shape["rest"]:
            tab.md(shape["rest"], name="rest")


def other_field(ctx: Any) -> str | None:
    """The one that is chosen, else the first."""
    others = others_of(ctx)
    chosen = kept.chosen(ctx, "other_field")
    return chosen if chosen in others else next(iter(others), None)


def others_of(ctx: Any) -> list[str]:
    """The fields that can be compared with the panel's, those that SSA named first."""
    others = [name for name in fields_of(ctx) if name != field_of(ctx)]
    return sorted(others, key=lambda name: not is_named(ctx.dataset, name))


def open_pair(ctx: Any, by: Any) -> None:
    """Show the masks of the pair that was clicked."""
    field, other, pair = field_of(ctx), other_field(ctx), charts.clicked_pair(ctx)
    if field is not None and other is not None and pair:
        condition = named_differently(filters.view_before(ctx), field, other, (pair[0], pair[1]), by)
        what = f"masks that are {named(pair[0])} in {field} and {named(pair[1])} in {other}"
        filters.open_masks(ctx, field, condition, what, pair)
