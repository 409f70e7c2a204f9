"""The tab Scores: mIoU and the IoU of each class of every stored evaluation, side by side."""

from __future__ import annotations

import math
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.curation.standings import Standing, standings

from .shared import stack

NONE = "Nothing was evaluated yet. The operator **SSA: evaluate a class map (mIoU)** compares maps with their truth."
MOST_COLUMNS = 6


def load(ctx: Any) -> dict[str, Any]:
    """Read the evaluations, hand the table to the App, and answer what the layout needs."""
    found = standings(ctx.dataset)
    shown = found[-MOST_COLUMNS:]
    ctx.panel.set_data("scores.table", table(shown))
    left_out = len(found) - len(shown)
    return {
        "columns": [[row.eval_key, f"{row.eval_key} ({row.pred_field})"] for row in shown],
        "rest": f"{left_out} earlier evaluations are not shown" if left_out else "",
    }


def draw(panel: types.Object, shape: dict[str, Any]) -> None:
    """Lay the tab out."""
    tab = stack(panel, "scores")
    if not shape["columns"]:
        tab.md(NONE, name="none")
        return
    view = types.TableView()
    row = types.Object()
    view.add_column("name", label="Percent")
    row.str("name")
    for key, label in shape["columns"]:
        view.add_column(key, label=label)
        row.str(key)
    tab.list("table", row, view=view)
    if shape["rest"]:
        tab.md(shape["rest"], name="rest")


def table(shown: list[Standing]) -> list[dict[str, str]]:
    """A row for each mean, then one for each class, in percent, the lowest of the last evaluation first."""
    columns = {row.eval_key: row.scores for row in shown}
    means = {"mIoU": "mean_iou", "mean accuracy": "mean_accuracy", "pixel accuracy": "pixel_accuracy"}
    rows = [
        {"name": label} | {key: _percent(getattr(scores, name)) for key, scores in columns.items()}
        for label, name in means.items()
    ]
    of_class = {key: dict(zip(scores.names, scores.iou.tolist(), strict=True)) for key, scores in columns.items()}
    names = dict.fromkeys(name for values in of_class.values() for name in values)

    def last(name: str) -> float:
        known = [values[name] for values in of_class.values() if not math.isnan(values.get(name, math.nan))]
        return known[-1] if known else math.inf

    return rows + [
        {"name": name} | {key: _percent(values.get(name, math.nan)) for key, values in of_class.items()}
        for name in sorted(names, key=last)
        if last(name) != math.inf
    ]


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.1f}"
