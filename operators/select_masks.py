"""`select`: masks of Parquet labels, chosen by a condition and a sample, as a FiftyOne dataset."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.jobs import JobRow
from fiftyone_ssa.labels.loaders import check_dataset_name
from fiftyone_ssa.labels.shown import DEFAULT_FIELD

from .form_values import absolute_path
from .forms import Card, Form, given
from .job import Job, Outcome, report

DEFAULTS: dict[str, Any] = {
    "out": "",
    "where": "",
    "limit": 1000,
    "sample": "uniform",
    "per_class": None,
    "near": "",
    "seed": None,
    "name": "",
    "label_field": DEFAULT_FIELD,
}


class SelectMasks(Job):
    """Put chosen masks and their images into a new dataset and open it."""

    job = "select"
    label = "SSA: open masks of Parquet labels"
    description = "Choose masks of a folder that annotate --format parquet wrote, by an SQL condition, and open them"
    icon = "manage_search"
    needs_dataset = False
    patience = 120.0  # it opens what it has loaded, which only the request that waits for it can
    if_cancelled = "nothing of it is kept"
    paths = ("out",)

    def __call__(self, out: str, name: str, *, delegate: bool = False, **params: Any) -> Any:
        """Run it from Python, or queue it with `delegate`; `params` are those of the form (`DEFAULTS`)."""
        return self.call(None, {"out": str(out), "name": name, **params}, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """Folder, condition, sample and name."""
        from fiftyone_ssa.scale.sampling import SAMPLES

        form = Form(inputs, ctx.params, DEFAULTS)
        values = form.values
        where = "An absolute path on the machine that runs the job"
        form.text("out", label="Folder of Parquet labels", description=where, check=lambda: _check(values["out"]))
        hint = "SQL, as: label = 'traffic light' and confidence > .6. Empty: all masks"
        known = "out" not in form.wrong
        checked = (lambda: _check(values["out"], where=values["where"])) if known else None
        form.text("where", label="Condition", description=hint, check=checked)
        form.number("limit", label="At most this many masks", description="Empty: all")
        cards = [Card(how, how.capitalize(), f"{told[:1].upper()}{told[1:]}") for how, told in SAMPLES.items()]
        form.choice("sample", cards, label="Which of them", cards=True)
        form.number("per_class", label="At most this many of each name", description="Empty: all")
        checked = (lambda: _check(values["out"], near=values["near"])) if known else None
        hint = "IMAGE_ID:MASK_ID, where embeddings were kept"
        form.text("near", label="Most like this mask", description=hint, check=checked)
        form.text("name", label="Name", description="Of the new dataset", check=lambda: _check_name(values["name"]))

    def run(self, ctx: Any) -> Outcome:
        """Choose, load and keep."""
        from fiftyone_ssa.scale.loading import select

        params = given(ctx.params, DEFAULTS)
        whole: dict[str, Any] = {key: int(params[key]) for key in ("limit", "per_class") if params[key] is not None}
        if params["seed"] is not None:
            whole["seed"] = params["seed"]
        done = select(
            params["out"],
            params["where"] or "true",
            sample=params["sample"],
            near=params["near"] or None,
            dataset_name=params["name"],
            label_field=params["label_field"],
            persistent=True,
            progress=report(ctx),
            **whole,
        )
        return Outcome(str(replace(done, errors={})), done.errors)

    def show(self, ctx: Any, row: JobRow) -> None:
        """Open it."""
        if row.state == "done":
            ctx.ops.open_dataset(ctx.params["name"])


def _check(out: str, where: str = "", near: str = "") -> None:
    """Raise InputError unless the folder holds Parquet labels, to which the condition can be put."""
    from fiftyone_ssa.scale.query import Output
    from fiftyone_ssa.scale.sampling import Sample, order

    if not out:
        raise InputError("name the folder of Parquet labels, as an absolute path")
    if "://" not in out:
        absolute_path("the folder", out)
    with Output(out) as output:
        output.check_where(where or "true")
        order(output, Sample(near=near or None))


def _check_name(name: str) -> None:
    if not name:
        raise InputError("name the new dataset")
    check_dataset_name(name)
