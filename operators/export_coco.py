"""`export_coco`: COCO instances of a view's masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from fiftyone.operators import types

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports import coco

from .job import Job, choice, problem, report

DEFAULTS = {"label_field": "ssa", "media": "copy", "out_dir": ""}


class ExportCoco(Job):
    """Write a Detections field as COCO."""

    job = "export_coco"
    label = "SSA: export masks as COCO"
    description = "COCO instances with exact masks as RLE; filter the view by class first to export one class"
    icon = "download"

    def __call__(
        self,
        sample_collection: Any,
        out_dir: str,
        *,
        label_field: str = DEFAULTS["label_field"],
        media: str = DEFAULTS["media"],
        delegate: bool = False,
    ) -> Any:
        """Run it from Python, or queue it with `delegate`."""
        return self.call(
            sample_collection, {"out_dir": str(out_dir), "label_field": label_field, "media": media}, delegate
        )

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """The field, the folder, and what becomes of the images."""
        fields = coco.detections_fields(ctx.target_view())
        default = DEFAULTS["label_field"] if DEFAULTS["label_field"] in fields else None
        none = {} if fields else {"invalid": True, "error_message": "no field holds Detections; annotate first"}
        choice(inputs, "label_field", fields, default=default, label="Masks", **none)
        inputs.str(
            "out_dir",
            required=True,
            label="Folder",
            description="An absolute path on the machine that runs the job",
            **problem(lambda: _folder(ctx.params.get("out_dir") or "~")),
        )
        choice(
            inputs,
            "media",
            get_args(coco.Media),
            default=DEFAULTS["media"],
            label="Images",
            description="Copied or linked into the folder, or left where they are",
        )

    def run(self, ctx: Any) -> str:
        """Export."""
        params = {**DEFAULTS, **ctx.params}
        return str(
            coco.export_coco(
                ctx.target_view(),
                _folder(params["out_dir"]),
                label_field=params["label_field"],
                media=params["media"],
                progress=report(ctx),
            )
        )


def _folder(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise InputError(f"the folder must be an absolute path, got {text!r}")
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; choose a folder")
    return path
