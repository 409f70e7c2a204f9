"""`export`: the masks that a view shows, in a format that others read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.operators import types

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.exports import export_arguments
from fiftyone_ssa.exports.exporting import export, least_confidence, loaded, source_of, splits_of
from fiftyone_ssa.exports.formats import FORMATS
from fiftyone_ssa.exports.splits import read_splits

from .form_values import absolute_path
from .forms import Card, Form, count, field_of_masks, given, target_of
from .job import Job, Outcome, report

COUNTED = 1000
"""Images whose masks are counted for the form; the rest is judged by them."""


MEDIA = (
    Card("copy", "Copied into the folder"),
    Card("symlink", "Linked into the folder"),
    Card("none", "Left where they are"),
)
DEFAULTS: dict[str, Any] = {
    "format": "coco",
    "label_field": "",
    "export_media": "copy",
    "export_dir": "",
    "splits": "",
    "ontology": "",
    "min_confidence": "",
    "unreviewed": True,
    "fail_on_loss": False,
    "overwrite": False,
}
"""Empty: the field that is filtered or shown, and a folder of its own."""


class Export(Job):
    """Write a Detections field."""

    job = "export"
    label = "SSA: export masks"
    description = "The masks that the view shows, with their names: filter by class first to export one class"
    icon = "download"
    patience = 20.0
    if_cancelled = "the folder is as it was"
    paths = ("ontology",)

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
        **params: Any,
    ) -> Any:
        """Run it from Python, or queue it with `delegate`; `media` is the former name of `export_media`."""
        params |= {"export_dir": str(export_dir), "label_field": label_field, "export_media": media or export_media}
        return self.call(sample_collection, {**params, "overwrite": overwrite}, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """The field, the format, the folder, and what becomes of the images."""
        form = Form(inputs, _params(ctx), DEFAULTS)
        params = form.values
        samples = form.masks(ctx, frames=True, description="The field that is filtered or shown comes first")
        if samples is None:
            return
        if "label_field" not in form.wrong:
            form.note("amount", _amount(samples, params["label_field"]))
        form.choice("format", format_cards(), label="Format", cards=True)
        form.choice("export_media", MEDIA, label="Images")
        _narrower(form, samples)
        form.switch(
            "overwrite",
            label="Overwrite",
            description="Replace an earlier export in the folder; files that others put there stay",
        )
        usual = "" if form.wrong else _own_folder(ctx.dataset.name, params)
        chosen = {**params, "export_dir": params["export_dir"] or usual}
        form.text(
            "export_dir",
            label="Folder",
            description="An absolute path on the machine of the job: new, empty, or of an earlier export. "
            f"Empty: {usual or 'one of its own'}",
            check=None if form.wrong else lambda: _check_folder(chosen),
        )
        form.put_last("overwrite")

    def run(self, ctx: Any) -> Outcome:
        """Export."""
        params, samples = given(_params(ctx), DEFAULTS), target_of(ctx)
        params["label_field"] = params["label_field"] or field_of_masks(ctx, samples)
        params["export_dir"] = params["export_dir"] or _own_folder(ctx.dataset.name, params)
        summary = export(
            samples,
            absolute_path("the folder", params["export_dir"]),
            format=params["format"],
            label_field=params["label_field"],
            export_media=params["export_media"],
            splits=_splits(params["splits"]),
            ontology=absolute_path("ontology", params["ontology"]) if params["ontology"] else None,
            min_confidence=_confidence(params["min_confidence"]),
            unreviewed=params["unreviewed"],
            fail_on_loss=params["fail_on_loss"],
            overwrite=params["overwrite"],
            progress=report(ctx),
        )
        return Outcome(str(summary), {**summary.mask_errors, **summary.errors})


class ExportCoco(Export):
    """The former name of `export`."""

    job = "export_coco"
    unlisted = True


def format_cards() -> list[Card]:
    """The formats, each with what it is."""
    return [Card(entry.name, entry.label, entry.line) for entry in FORMATS.values()]


def _narrower(form: Form, samples: Any) -> None:
    """What of the masks is exported, and to which splits."""
    params = form.values
    source = None if form.wrong else source_of(samples, params["label_field"])
    form.text(
        "splits",
        label="Splits",
        description="train=0.8,val=0.2, or a field of texts (or tags) that holds them. Empty: none",
        check=lambda: source and splits_of(source, _splits(params["splits"]), 0),
    )
    form.file(
        "ontology",
        label="Ontology",
        description="The absolute path of a TOML file of the classes that are wanted; names that it does not know are "
        "left out. Empty: all",
        check=loaded,
    )
    form.text(
        "min_confidence",
        label="Least confidence",
        description="From 0 to 1; masks below are left out. Empty: all",
        check=lambda: _confidence(params["min_confidence"]),
    )
    form.switch("unreviewed", label="Masks that nobody reviewed, too")
    form.switch("fail_on_loss", label="Write nothing if a mask would be read back with other pixels")


def _splits(text: str) -> Any:
    return read_splits(text) if text else None


def _confidence(text: Any) -> float:
    try:
        value = float(text or 0)
    except (TypeError, ValueError) as error:
        raise InputError(f"the least confidence must be a number from 0 to 1, got {text!r}") from error
    return least_confidence(value)


def _params(ctx: Any) -> dict[str, Any]:
    """What is asked for, also where a queued job says it in former words."""
    former = {"export_dir": ctx.params.get("out_dir"), "export_media": ctx.params.get("media")}
    return {**{name: value for name, value in former.items() if value}, **ctx.params}


def _amount(samples: Any, label_field: str) -> str:
    """How much would be written; of many images, as the first of them have it."""
    images = count(samples)
    part = samples if images <= COUNTED else samples.limit(COUNTED)
    masks = count(part, f"{label_field}.detections")
    shown = ", as filtered" if export_arguments.is_filtered(samples, label_field) else ""
    about = "" if images <= COUNTED else "about "
    masks = masks if images <= COUNTED else 100 * round(masks * images / COUNTED / 100)
    return f"{about}{counted(masks, 'mask')} of {counted(images, 'image')}{shown}; rejected masks are left out."


def _check_folder(params: dict[str, Any]) -> None:
    folder = absolute_path("the folder", params["export_dir"])
    kind, media = FORMATS[params["format"]].kind, export_arguments.check_media(params["export_media"])
    export_arguments.check_target(folder, kind, params["label_field"], media, params["overwrite"])


def _own_folder(dataset: str, params: dict[str, Any]) -> str:
    """A folder for this dataset, field and format, beside FiftyOne's own data sets."""
    name = re.sub(r"[^\w.-]+", "-", f"{dataset}-{params['label_field']}-{params['format']}")
    return str(Path(fo.config.default_dataset_dir).expanduser().absolute() / "exports" / name)
