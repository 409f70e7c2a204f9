"""The tab Parquet: which rows of a folder of Parquet labels these masks are, and what all of its rows are."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiftyone.operators import types

from . import charts
from .shared import draw_bars, field_of, left_out, named, stack, title

if TYPE_CHECKING:
    from fiftyone_ssa.scale.counting import Stats

MOST = 25
PLUGIN = "@fiftyone-ssa/ssa"
OTHERS = (
    "These masks are not from Parquet labels. Choose some of a folder that `annotate --format parquet` wrote; what "
    "you correct in them can be returned to it."
)


def load(ctx: Any) -> dict[str, Any]:
    """Count, and answer what the layout needs."""
    origin = _origin(ctx)
    if origin is None:
        return {"told": OTHERS}
    out = Path(origin["out"])
    found = _stats(str(out), tuple(path.stat().st_mtime_ns for path in (out, *out.glob("[cm]*")) if path.exists()))
    classes = list(found.classes.items())
    rows = [charts.Bar(named(name), masks, _condition(name)) for name, masks in classes[:MOST]]
    where = "all masks" if origin["where"] == "true" else f"`{origin['where']}`"
    return {
        "told": f"These masks are from `{out}`: {where}, {origin['sample']}.",
        "all": f"In all {found}.",
        "rows": [asdict(row) for row in rows],
        "rest": left_out([masks for _, masks in classes[MOST:]], "name"),
    }


def draw(panel: types.Object, shape: dict[str, Any], on: Any) -> None:
    """Lay the tab out; `on` has the handlers."""
    tab = stack(panel, "parquet")
    tab.md(shape["told"], name="told")
    buttons = tab.h_stack("buttons", gap=1)
    buttons.btn("select", "Choose masks", variant="outlined", on_click=on.on_select)
    if "all" not in shape:
        return
    buttons.btn("return", "Return corrections", variant="outlined", on_click=on.on_return)
    title(tab, "title", "All rows", "as they are corrected; click a name to choose of its masks")
    tab.md(shape["all"], name="all")
    draw_bars(tab, "classes", [charts.Bar(**row) for row in shape["rows"]], on.on_rows)
    if shape["rest"]:
        tab.md(shape["rest"], name="rest")


def ask_for_masks(ctx: Any, where: str = "") -> None:
    """Open the form that chooses masks, of the same folder where these are from one."""
    origin = _origin(ctx)
    ctx.prompt(f"{PLUGIN}/select", params={"out": origin["out"], "where": where} if origin else {})


def ask_to_return(ctx: Any) -> None:
    """Open the form that returns corrections of the field that is shown."""
    ctx.prompt(f"{PLUGIN}/return_corrections", params={"label_field": field_of(ctx)})


def _condition(name: str | None) -> str:
    """What chooses the rows of a name: the dataset need not have any of them."""
    text = (name or "").replace("'", "''")
    return f"label = '{text}'" if name else "label is null"


@lru_cache(maxsize=8)
def _stats(out: str, changed: tuple[int, ...]) -> Stats:
    """What a folder holds since it was changed; counting a billion masks takes a minute."""
    from fiftyone_ssa.scale.counting import stats  # the extra `scale` may not be there

    return stats(out)


def _origin(ctx: Any) -> Any:
    from fiftyone_ssa.labels.selected import origin_of

    field = field_of(ctx)
    return None if field is None else origin_of(ctx.dataset, field)
