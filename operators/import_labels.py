"""`import_labels`: masks of other tools for the images that are open, or back from people who corrected them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.bringing_back import import_corrections
from fiftyone_ssa.exports.export_arguments import detections_fields
from fiftyone_ssa.exports.importing import check_new_field, import_labels
from fiftyone_ssa.labels.database import check_whole_images, root_dataset
from fiftyone_ssa.naming.arguments import check_path

from .export import format_cards
from .forms import Card, Form, by_sight, given, target_of
from .job import Job, Outcome, report

NEW_FIELD = "imported"
CORRECTIONS, LABELS = "corrections", "labels"
KINDS = (
    Card(CORRECTIONS, "Corrections", "Masks of a field that was exported: who renamed, redrew, drew or deleted what"),
    Card(LABELS, "Labels", "Masks of anyone for these images, into a field of their own"),
)
DEFAULTS: dict[str, Any] = {
    "kind": CORRECTIONS,
    "format": "label-studio",
    "folder": "",
    "label_field": "",
    "to": "",
    "by": "",
    "accept": False,
    "overwrite": False,
}


class ImportLabels(Job):
    """Read a data set of another tool; `to` is the field of labels, `label_field` the one of corrections."""

    job = "import_labels"
    label = "SSA: import masks"
    description = "Masks of other tools for these images, or back from Label Studio, CVAT ... with who changed what"
    icon = "upload"
    patience = 20.0
    if_cancelled = "images that were read are done, the same import goes on from there"

    def __call__(self, sample_collection: Any, folder: str | Path, *, delegate: bool = False, **params: Any) -> Any:
        """Run it from Python, or queue it with `delegate`; `params` are those of the form (`DEFAULTS`)."""
        return self.call(sample_collection, {"folder": str(folder), **params}, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """What it is, where it is, and the field."""
        form = Form(inputs, ctx.params, DEFAULTS)
        samples, params = form.target(ctx), form.values
        if form.refused(lambda: check_whole_images(samples, "an import")):
            return
        form.choice("kind", KINDS, label="What it is", cards=True)
        form.choice("format", format_cards(), label="Format")
        form.text(
            "folder",
            label="Folder or file",
            description="An absolute path on the machine of the job: the data set, or what the tool exported",
            check=lambda: _check_there(params["folder"]),
        )
        if params["kind"] == LABELS:
            form.text(
                "to",
                label="New field",
                description="Or one to replace with Overwrite; empty: imported",
                check=lambda: check_new_field(samples, params["to"] or NEW_FIELD, overwrite=params["overwrite"]),
            )
            form.switch("overwrite", label="Overwrite", description="Replace what the field holds of these images")
            return
        fields = by_sight(ctx, samples, detections_fields(samples))
        if form.refused(lambda: _check_fields(fields)):
            return
        params["label_field"] = params["label_field"] or fields[0]
        form.choice("label_field", fields, label="Masks", description="The field that was exported")
        form.text("by", label="Who corrected", description="Where the file does not say it")
        form.switch("accept", label="Accept the rest", description="Masks that came back unchanged count as accepted")
        form.switch("overwrite", label="Overwrite", description="Also what somebody decided here since the export")

    def _field(self, ctx: Any) -> str:
        return self.new_field(ctx) or super()._field(ctx)

    def run(self, ctx: Any) -> Outcome:
        """Import."""
        params, samples = given(ctx.params, DEFAULTS), target_of(ctx)
        if params["kind"] == LABELS:
            done = import_labels(
                params["folder"],
                format=params["format"],
                dataset=samples if samples.view()._stages else root_dataset(samples),
                label_field=params["to"] or NEW_FIELD,
                overwrite=params["overwrite"],
                progress=report(ctx),
            )
            return Outcome(str(done), done.errors)
        back = import_corrections(
            samples,
            params["folder"],
            params["label_field"] or by_sight(ctx, samples, detections_fields(samples))[0],
            format=params["format"],
            by=params["by"] or None,
            accept=params["accept"],
            overwrite=params["overwrite"],
        )
        return Outcome(str(back), back.problems)

    def new_field(self, ctx: Any) -> str:
        """The field of labels of others."""
        params = given(ctx.params, DEFAULTS)
        return str(params["to"] or NEW_FIELD) if params["kind"] == LABELS else ""


def _check_there(folder: str) -> None:
    if not folder:
        raise InputError("name the folder of the data set, or the file that the tool exported")
    path = check_path("folder", folder)
    if not path.is_absolute() or not path.exists():
        raise InputError(f"folder must be an absolute path of what is there, got {folder!r}")


def _check_fields(fields: list[str]) -> None:
    if not fields:
        raise InputError("no field of this dataset holds masks that could have been exported; import labels instead")
