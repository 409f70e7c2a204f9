"""`load_dataset`: one's own images, SA-1B, ADE20K, Cityscapes or Foggy Driving as a FiftyOne dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.operators import types

import fiftyone_ssa
from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.labels.jobs import JobRow
from fiftyone_ssa.labels.loaders import check_dataset_name
from fiftyone_ssa.naming.arguments import check_path

from .forms import Card, Form, given
from .job import Job, report

LOADERS = {
    "Images": ("load_images", "A folder of your own, and those in it; masks where SA-1B style JSON lies beside"),
    "SA-1B": ("load_sa1b", "sa_1.jpg with its masks in sa_1.json, as the data set unpacks"),
    "ADE20K": ("load_ade20k", "The folder ADEChallengeData2016, with its ground truth of 150 classes"),
    "Cityscapes": ("load_cityscapes", "The folder of leftImg8bit and gtFine, with its ground truth of 19 classes"),
    "Foggy Driving": ("load_foggy_driving", "The folder of leftImg8bit and gtFine, with Cityscapes' 19 classes"),
}
"""Kind to the library's function, and what the folder is to hold."""
DEFAULTS: dict[str, Any] = {"kind": "Images", "folder": "", "name": "", "max_samples": None}


class LoadDataset(Job):
    """Make a persistent dataset of a folder and open it."""

    job = "load_dataset"
    label = "SSA: load a dataset"
    description = "A folder of images, or SA-1B, ADE20K, Cityscapes or Foggy Driving with masks or ground truth"
    icon = "folder_open"
    needs_dataset = False
    named_by = ("", "")
    patience = 120.0  # it opens what it has loaded, which only the request that waits for it can
    if_cancelled = "nothing of it is kept"

    def __call__(self, folder: str, kind: str = "Images", *, delegate: bool = False, **params: Any) -> Any:
        """Run it from Python, or queue it with `delegate`; `params` are those of the form (`DEFAULTS`)."""
        return self.call(None, {"folder": str(folder), "kind": kind, **params}, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """Kind, folder and name."""
        form = Form(inputs, ctx.params, DEFAULTS)
        cards = [Card(kind, kind, line) for kind, (_, line) in LOADERS.items()]
        form.choice("kind", cards, label="What it is", cards=True)
        form.text(
            "folder",
            label="Folder",
            description="An absolute path on the machine that runs the job",
            check=lambda: _folder(form.values["folder"]),
        )
        form.text(
            "name",
            label="Name",
            description="Of the new dataset; empty: the folder's",
            check=lambda: None if "folder" in form.wrong else _name(form.values),
        )
        form.number("max_samples", label="At most this many images", description="Empty: all")

    def run(self, ctx: Any) -> str:
        """Load and keep."""
        params = given(ctx.params, DEFAULTS)
        loader, _ = LOADERS[params["kind"]]
        limit = params["max_samples"]
        dataset = getattr(fiftyone_ssa, loader)(
            _folder(params["folder"]),
            _name(params),
            max_samples=int(limit) if limit else None,
            persistent=True,
            progress=report(ctx),
        )
        return f"{counted(dataset.count(), 'image')} in dataset {dataset.name}{_unlabelled(dataset)}"

    def show(self, ctx: Any, row: JobRow) -> None:
        """Open it."""
        if row.state == "done":
            ctx.ops.open_dataset(ctx.params.get("name") or _folder(ctx.params["folder"]).name)


def _unlabelled(dataset: fo.Dataset) -> str:
    """How many images have no labels: the data set keeps them back, or they are missing or damaged."""
    fields = dataset.get_field_schema(embedded_doc_type=(fo.Segmentation, fo.Detections))
    counts = {field: dataset.exists(field, False).count() for field in fields}
    told = [f"{count} without {name.replace('_', ' ')} that can be read" for name, count in counts.items() if count]
    return "".join(f"; {sentence}" for sentence in told)


def _folder(text: str) -> Path:
    if not text:
        raise InputError("name the folder that holds the images, as an absolute path")
    path = check_path("folder", text)
    if not path.is_absolute() or not path.is_dir():
        raise InputError(f"the folder must be the absolute path of a folder, got {text!r}")
    return path


def _name(params: dict[str, Any]) -> str:
    name = params["name"] or _folder(params["folder"]).name
    check_dataset_name(name)
    return str(name)
