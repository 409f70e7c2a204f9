"""`export_coco`: COCO instances of a view's masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports import coco_arguments as arguments
from fiftyone_ssa.exports.coco import export_coco
from fiftyone_ssa.naming.arguments import check_path

from .forms import choice, problem
from .job import Job, Outcome, report

DEFAULTS: dict[str, Any] = {"label_field": "ssa", "export_media": "copy", "export_dir": "", "overwrite": False}
MEDIA = ("copy", "symlink", "none")


class ExportCoco(Job):
    """Write a Detections field as COCO."""

    job = "export_coco"
    label = "SSA: export masks as COCO"
    description = "COCO instances with exact masks as RLE; filter the view by class first to export one class"
    icon = "download"
    patience = 20.0
    if_cancelled = "the folder is as it was"

    def __call__(
        self,
        sample_collection: Any,
        export_dir: str | Path,
        *,
        label_field: str = "ssa",
        export_media: str = "copy",
        overwrite: bool = False,
        delegate: bool = False,
        media: str | None = None,
    ) -> Any:
        """Run it from Python, or queue it with `delegate`; `media` is the former name of `export_media`."""
        params = {"export_dir": str(export_dir), "label_field": label_field, "export_media": media or export_media}
        return self.call(sample_collection, {**params, "overwrite": overwrite}, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """The field, the folder, and what becomes of the images."""
        params = {**DEFAULTS, **ctx.params}
        view = ctx.target_view()
        fields = arguments.detections_fields(view)
        none = {} if fields else {"invalid": True, "error_message": "no field holds Detections; annotate first"}
        choice(inputs, "label_field", fields, default=_default_field(view, fields), label="Masks", **none)
        inputs.str(
            "export_dir",
            required=True,
            label="Folder",
            description="A new or empty one, or one of an earlier export; an absolute path on the machine of the job",
            **(problem(lambda: _check(params)) if params["export_dir"] else {}),
        )
        choice(
            inputs,
            "export_media",
            MEDIA,
            default=DEFAULTS["export_media"],
            label="Images",
            description="Copied or linked into the folder, or left where they are",
        )
        inputs.bool(
            "overwrite",
            default=False,
            label="Overwrite",
            description="Replace an earlier export in the folder; files that others put there stay",
        )

    def run(self, ctx: Any) -> Outcome:
        """Export."""
        former = {"export_dir": ctx.params.get("out_dir"), "export_media": ctx.params.get("media")}  # of queued jobs
        params = {**DEFAULTS, **{name: value for name, value in former.items() if value}, **ctx.params}
        summary = export_coco(
            ctx.target_view(),
            _absolute(params["export_dir"]),
            label_field=params["label_field"],
            export_media=params["export_media"],
            overwrite=params["overwrite"],
            progress=report(ctx),
        )
        return Outcome(str(summary), {**summary.mask_errors, **summary.errors})


def _default_field(view: Any, fields: list[str]) -> str | None:
    """The field that the view filters, else the one that annotate fills."""
    filtered = [name for name in fields if arguments.is_filtered(view, name)]
    return next((name for name in (*filtered, DEFAULTS["label_field"]) if name in fields), None)


def _check(params: dict[str, Any]) -> None:
    arguments.check_target(
        _absolute(params["export_dir"]),
        params["label_field"],
        arguments.check_media(params["export_media"]),
        bool(params["overwrite"]),
    )


def _absolute(text: str) -> Path:
    path = check_path("the folder", text)
    if not path.is_absolute():
        raise InputError(f"the folder must be an absolute path, got {text!r}")
    return path
