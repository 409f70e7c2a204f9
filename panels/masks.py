"""The panel Masks: what a dataset's masks are called, how far their review is, and what runs."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

from fiftyone_ssa.curation.counts import latest_change
from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.labels.database import needs_database, see_filters

from . import charts, compare, confusions, filters, overview, parquet, runs, scores
from .kept import chosen, dropped, expect_reload, kept, reloads
from .shared import AS_WIDE, choice, field_of, fields_of, nothing_to_show

TABS = {
    "overview": "Overview",
    "confusions": "Confusions",
    "compare": "Compare",
    "scores": "Scores",
    "parquet": "Parquet",
    "runs": "Runs",
}
LOADERS = {
    "overview": overview.load,
    "confusions": confusions.load,
    "compare": compare.load,
    "scores": scores.load,
    "parquet": parquet.load,
    "runs": runs.load,
}
OF_DATASET = ("scores", "parquet", "runs")
"""Tabs that need no field with masks."""


class Masks(foo.Panel):  # type: ignore[misc]  # FiftyOne has no types
    """Numbers of the view, by tab; what is clicked filters the App."""

    @property
    def config(self) -> foo.PanelConfig:
        """Beside the samples."""
        return foo.PanelConfig(
            name="masks",
            label="Masks",
            icon="donut_small",
            surfaces="grid",
            help_markdown="What the masks of this view are called, who says so, how sure, and how far the review is.",
        )

    def execute(self, ctx: Any) -> Any:
        """Answer an event; where what the App shows is no longer there, with that sentence, until it is again."""
        try:
            with needs_database():
                see_filters(ctx)
        except (InputError, MissingDependencyError) as error:
            panel = types.Object()
            panel.md(str(error)[:1].upper() + str(error)[1:], name="told")
            panel.view("timer", types.TimerView(interval=runs.IDLE_MS, on_interval=self.on_timer))
            ctx.ops.show_panel_output(types.Property(panel))
            return None
        return super().execute(ctx)

    def on_load(self, ctx: Any) -> None:
        """Show the numbers of what is open; the App's layout has changed by that, and will by the panel's size."""
        kept(ctx)["filters"] = filters.filters_of(ctx) or kept(ctx).get("filters")
        expect_reload(ctx)
        expect_reload(ctx)
        self._load(ctx)

    def on_change_view(self, ctx: Any) -> None:
        """Count again, if stages or the sidebar's filters are others: the App says so several times."""
        self._refresh(ctx)

    def on_change_dataset(self, ctx: Any) -> None:
        """Begin anew with another dataset."""
        kept(ctx).clear()
        kept(ctx).update({"label_field": None, "other_field": None})  # nor what the panel was opened with
        self._load(ctx)

    def on_change_group_slice(self, ctx: Any) -> None:
        """Count the slice that is shown now."""
        self._load(ctx)

    def on_change_active_fields(self, ctx: Any) -> None:
        """The field that is shown first may be another one, where none was chosen."""
        if kept(ctx).get("shown_field") != field_of(ctx):
            self._load(ctx)

    def on_tab(self, ctx: Any) -> None:
        """Show another tab."""
        self._chosen(ctx, "tab")

    def on_field(self, ctx: Any) -> None:
        """Show another field."""
        self._chosen(ctx, "label_field")

    def on_other(self, ctx: Any) -> None:
        """Compare with another field."""
        self._chosen(ctx, "other_field")

    def on_class(self, ctx: Any) -> None:
        """Show the masks of a name."""
        self._choose(ctx, "label")

    def on_source(self, ctx: Any) -> None:
        """Show the masks of a source."""
        self._choose(ctx, "label_source")

    def on_level(self, ctx: Any) -> None:
        """Show the wholes, the parts or the subparts."""
        self._choose(ctx, "level")

    def on_vote_margin(self, ctx: Any) -> None:
        """Show the masks of a range of margins."""
        self._drag(ctx, "vote_margin")

    def on_confidence(self, ctx: Any) -> None:
        """Show the masks of a range of confidences."""
        self._drag(ctx, "confidence")

    def on_confusion(self, ctx: Any) -> None:
        """Show the masks of two names that are confused."""
        confusions.open_pair(ctx)

    def on_difference(self, ctx: Any) -> None:
        """Show the masks that two fields name differently."""
        compare.open_pair(ctx, self._shape(ctx).get("by") or "mask")

    def on_select(self, ctx: Any) -> None:
        """Ask which masks of Parquet labels to open."""
        parquet.ask_for_masks(ctx)

    def on_rows(self, ctx: Any) -> None:
        """Ask which masks of a name of Parquet labels to open."""
        where = charts.clicked(ctx)
        parquet.ask_for_masks(ctx, where if isinstance(where, str) else "")

    def on_return(self, ctx: Any) -> None:
        """Ask whether to return what people corrected to the Parquet labels."""
        parquet.ask_to_return(ctx)

    def on_clear(self, ctx: Any) -> None:
        """Take the sidebar's filters of this field away."""
        filters.clear(ctx, field_of(ctx) or "")

    def on_close(self, ctx: Any) -> None:
        """Show what was shown before masks were opened."""
        filters.close_masks(ctx)

    def on_log(self, ctx: Any) -> None:
        """Show or hide a job's log."""
        runs.toggle_log(ctx)
        self._load(ctx)

    def on_job(self, ctx: Any) -> None:
        """A job has started in this page: show how far it is."""
        kept(ctx)["tab"] = "runs"
        self._load(ctx)

    def on_timer(self, ctx: Any) -> None:
        """Look at the jobs, say which ended, and count again what somebody changed, also before the panel listened."""
        if ctx.dataset is None:
            return
        self._refresh(ctx)
        ended, changed = runs.announce(ctx), kept(ctx).get("change") != latest_change(ctx.dataset)
        if ended or changed or self._tab(ctx) == "runs":
            self._load(ctx)

    def render(self, ctx: Any) -> types.Property:
        """The picker, the tabs, and what the chosen one shows."""
        panel = types.Object()
        if "shape" not in kept(ctx):  # the server has started anew since
            self._load(ctx)
        told, shape = kept(ctx)["told"], self._shape(ctx)
        tab = self._tab(ctx)
        if ctx.dataset is not None:
            self._head(ctx, panel, shape)
            choice(panel, "tabs", TABS, tab, self.on_tab)
        if told:
            panel.md(told, name="told")
        elif shape.get("tab") == tab:
            self._draw(ctx, panel, tab, shape)
        if ctx.dataset is not None:
            every = runs.BUSY_MS if reloads(ctx) else runs.interval_ms(ctx, tab == "runs")
            panel.view("timer", types.TimerView(interval=every, on_interval=self.on_timer))
        grid = types.GridView(orientation="vertical", columns=1, gap=2, pad=2, componentsProps=AS_WIDE)
        return types.Property(panel, view=grid)

    def _refresh(self, ctx: Any) -> None:
        if ctx.dataset is not None:
            fields = sorted((*ctx.dataset.get_field_schema(), *ctx.dataset.list_brain_runs()))
            if kept(ctx).get("fields", fields) != fields:
                expect_reload(ctx)  # a run wrote them, and let the App read its dataset anew
            kept(ctx)["fields"] = fields
        if put_back := dropped(ctx, filters.filters_of(ctx)):
            ctx.trigger("set_filters", put_back)
        elif kept(ctx).get("seen") != filters.seen(ctx):
            self._load(ctx)

    def _load(self, ctx: Any) -> None:
        """Count what the tab shows; a sentence takes its place where nothing can be counted."""
        tab = self._tab(ctx)
        told, shape = None, {}
        try:
            with needs_database():
                told = nothing_to_show(ctx) if tab not in OF_DATASET or ctx.dataset is None else None
                if told is None:
                    shape = LOADERS[tab](ctx)
                    if tab == "runs":
                        shape = runs.with_log(ctx, shape)
        except (InputError, MissingDependencyError) as error:
            told = str(error)
        change = None if ctx.dataset is None else latest_change(ctx.dataset)
        state = {"told": told, "shape": {**shape, "tab": tab}, "shown_field": field_of(ctx), "change": change}
        kept(ctx).update({**state, "seen": filters.seen(ctx)})

    def _shape(self, ctx: Any) -> dict[str, Any]:
        return kept(ctx).get("shape") or {}

    def _chosen(self, ctx: Any, name: str) -> None:
        kept(ctx)[name] = ctx.params.get("value")
        self._load(ctx)

    def _head(self, ctx: Any, panel: types.Object, shape: dict[str, Any]) -> None:
        fields, field = fields_of(ctx), field_of(ctx)
        if field is None:
            return
        choice(panel, "fields", {name: name for name in fields}, field, self.on_field)
        head = panel.h_stack("head", gap=2, align_y="center")
        if shape.get("line"):
            head.md(shape["line"], name="line")
        if any(path.split(".")[0] == field for path in filters.filters_of(ctx)):
            head.btn("clear", "Clear filters", icon="filter_alt_off", variant="outlined", on_click=self.on_clear)
        if shown := filters.opened(ctx):
            head.btn("close", f"Close: {shown['what']}", icon="close", variant="outlined", on_click=self.on_close)

    def _draw(self, ctx: Any, panel: types.Object, tab: str, shape: dict[str, Any]) -> None:
        if tab == "overview":
            overview.draw(panel, shape, self)
        elif tab == "confusions":
            confusions.draw(panel, shape, self)
        elif tab == "compare":
            compare.draw(panel, ctx, shape, self)
        elif tab == "scores":
            scores.draw(panel, shape)
        elif tab == "parquet":
            parquet.draw(panel, shape, self)
        else:
            runs.draw(panel, shape, self)

    def _tab(self, ctx: Any) -> str:
        tab = chosen(ctx, "tab")
        return tab if tab in TABS else next(iter(TABS))

    def _choose(self, ctx: Any, attribute: str) -> None:
        field, value = field_of(ctx), charts.clicked(ctx)
        if field is not None and value is not None:
            filters.choose_value(ctx, field, attribute, value)

    def _drag(self, ctx: Any, attribute: str) -> None:
        field, dragged = field_of(ctx), charts.dragged(ctx)
        if field is not None and dragged is not None:  # Plotly says that nothing is chosen when it draws anew
            filters.choose_range(ctx, field, attribute, dragged)
