"""The tab Runs: what waits, runs, and ended, with the buttons that cancel, resume, and show what failed."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import counted
from fiftyone_ssa.labels.appearance import show_anew
from fiftyone_ssa.labels.jobs import JobRow, ended_since, jobs, log

from .kept import kept
from .shared import stack

MOST = 12
BUSY_MS, SHOWN_MS, IDLE_MS = 1_500, 5_000, 15_000
"""How often jobs are looked at: while one runs, while this tab is shown, and else."""
NONE = "Nothing ran on this dataset yet. The operator **SSA: name masks** starts a run."
SIGNS = {"waiting": "◌", "running": "▶", "done": "✓", "failed": "✕", "cancelled": "◼"}
OPERATOR = "@fiftyone-ssa/ssa"


def load(ctx: Any) -> dict[str, Any]:
    """The jobs as the layout needs them."""
    return {"rows": [_shown(row) for row in jobs(ctx.dataset, MOST)]}


def announce(ctx: Any) -> bool:
    """Say which jobs ended since this was last asked; whether one did."""
    rows, before = jobs(ctx.dataset, MOST), kept(ctx).get("job_states")
    # one that nobody has seen before began, and maybe ended, since then
    since = {row.id: "running" for row in rows} | before if before is not None else {}
    ended = ended_since(rows, since)
    news = [row for row in ended if ctx.panel_id not in row.told]
    for row in news:
        ctx.ops.notify(f"{row.operator}: {row.message or row.state}", variant=row.variant)
    kept(ctx)["job_states"] = {row.id: row.state for row in rows}
    if changes := [row.began for row in news if row.changes_dataset]:
        show_anew(ctx, min(changes))
    return bool(ended)


def interval_ms(ctx: Any, shown: bool) -> int:
    """How long to wait before the jobs are looked at again."""
    states = (kept(ctx).get("job_states") or {}).values()
    return BUSY_MS if "running" in states or "waiting" in states else SHOWN_MS if shown else IDLE_MS


def draw(panel: types.Object, shape: dict[str, Any], on: Any) -> None:
    """Lay the tab out; `on` has the handlers."""
    tab = stack(panel, "runs")
    if not shape["rows"]:
        tab.md(NONE, name="none")
    for row in shape["rows"]:
        _draw_row(tab, row, on)


def _draw_row(tab: types.Object, row: dict[str, Any], on: Any) -> None:
    card = tab.v_stack(f"job_{row['id']}", gap=1, columns=1, variant="outline", pad=1)
    card.md(f"{row['sign']} &nbsp; **{row['operator']}** {row['field']} &nbsp; {row['when']}", name="title")
    card.md(row["text"], name="text")
    if row["share"] is not None:
        card.float("share", default=row["share"], view=types.ProgressView(label=""))
    buttons = card.h_stack("buttons", gap=1)
    for name, label, operator in row["buttons"]:
        buttons.btn(name, label, variant="outlined", on_click=operator, params={"job": row["id"]})
    buttons.btn("log", "Log", variant="outlined", on_click=on.on_log, params={"job": row["id"]})
    if row["log"]:
        fence = "`" * 12  # longer than any in a log
        card.md(f"{fence}text\n{row['log']}\n{fence}", name="log_text")


def _shown(row: JobRow) -> dict[str, Any]:
    buttons = []
    if row.state in ("waiting", "running"):
        buttons.append(("cancel", "Cancel", f"{OPERATOR}/cancel_job"))
    elif row.can_resume:
        buttons.append(("resume", "Resume", f"{OPERATOR}/resume_job"))
    if row.failed:
        buttons.append(("failures", f"Show {counted(row.failed, 'failure')}", f"{OPERATOR}/show_failures"))
    return {
        "id": row.id,
        "sign": SIGNS[row.state],
        "operator": row.operator,
        "field": row.label_field,
        "when": f"{row.state} · {row.began:%Y-%m-%d %H:%M} UTC",
        "text": str(row),
        "share": row.done / row.total if row.state == "running" and row.total else None,
        "buttons": buttons,
        "log": "",
    }


def toggle_log(ctx: Any) -> None:
    """Show a job's log, or hide it."""
    identity = ctx.params.get("job")
    shown = kept(ctx).get("log_of")
    kept(ctx)["log_of"] = None if shown == identity else identity


def with_log(ctx: Any, shape: dict[str, Any]) -> dict[str, Any]:
    """The rows, with the log of the one whose log is shown."""
    identity = kept(ctx).get("log_of")
    rows = [
        row | {"log": (log(row["id"]) or "nothing was said")} if row["id"] == identity else row for row in shape["rows"]
    ]
    return {"rows": rows}
