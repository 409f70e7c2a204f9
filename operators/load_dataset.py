"""`load_dataset`: SA-1B, ADE20K, Cityscapes or Foggy Driving as a FiftyOne dataset, ground truth included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.operators import types

import fiftyone_ssa
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.jobs import JobRow

from .forms import choice, problem
from .job import Job, report

LOADERS = {
    "SA-1B": "load_sa1b",
    "ADE20K": "load_ade20k",
    "Cityscapes": "load_cityscapes",
    "Foggy Driving": "load_foggy_driving",
}
DEFAULTS: dict[str, Any] = {"kind": "SA-1B", "folder": "", "name": "", "max_samples": None}


class LoadDataset(Job):
    """Make a persistent dataset of a folder and open it."""

    job = "load_dataset"
    label = "SSA: load a dataset"
    description = "Images of SA-1B, ADE20K, Cityscapes or Foggy Driving with their masks or ground truth"
    icon = "folder_open"
    needs_dataset = False
    named_by = ("", "")
    patience = 20.0
    if_cancelled = "nothing of it is kept"

    def __call__(self, folder: str, kind: str, *, delegate: bool = False, **params: Any) -> Any:
        """Run it from Python, or queue it with `delegate`; `params` are those of the form (`DEFAULTS`)."""
        return self.call(None, {"folder": str(folder), "kind": kind, **params}, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """Kind, folder and name."""
        params = {**DEFAULTS, **ctx.params}
        choice(inputs, "kind", list(LOADERS), default=DEFAULTS["kind"], label="Kind")
        inputs.str(
            "folder",
            required=True,
            label="Folder",
            description="An absolute path on the machine that runs the job",
            **problem(lambda: _folder(params["folder"] or "~")),
        )
        inputs.str(
            "name",
            label="Name",
            description="Of the new dataset; empty: the folder's",
            **problem(lambda: _name(params) if params["folder"] else None),
        )
        inputs.int("max_samples", min=1, label="At most this many images", description="Empty: all")

    def run(self, ctx: Any) -> str:
        """Load and keep."""
        params = {**DEFAULTS, **ctx.params}
        if params["kind"] not in LOADERS:
            raise InputError(f"kind must be one of {', '.join(LOADERS)}, got {params['kind']!r}")
        load = getattr(fiftyone_ssa, LOADERS[params["kind"]])
        limit = params["max_samples"]
        dataset = load(
            _folder(params["folder"]),
            _name(params),
            max_samples=int(limit) if limit else None,
            persistent=True,
            progress=report(ctx),
        )
        return f"{dataset.count()} images in dataset {dataset.name}{_unlabelled(dataset)}"

    def show(self, ctx: Any, row: JobRow) -> None:
        """Open it."""
        if row.state == "done":
            ctx.ops.open_dataset(ctx.params.get("name") or _folder(ctx.params["folder"]).name)


def _unlabelled(dataset: fo.Dataset) -> str:
    """How many images have no labels: the data set keeps them back, or they are missing or damaged."""
    (field,) = dataset.get_field_schema(embedded_doc_type=(fo.Segmentation, fo.Detections))
    count = dataset.exists(field, False).count()
    return f"; {count} have no {field.replace('_', ' ')} that can be read" if count else ""


def _folder(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_absolute() or not path.is_dir():
        raise InputError(f"the folder must be the absolute path of a folder, got {text!r}")
    return path


def _name(params: dict[str, Any]) -> str:
    name = params["name"] or _folder(params["folder"]).name
    if fo.dataset_exists(name):
        raise InputError(f"there is a dataset {name!r} already; choose another name")
    return str(name)
