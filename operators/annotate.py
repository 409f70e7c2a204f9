"""`annotate`: names for the masks of a view, by a preset."""

from __future__ import annotations

import re
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.coco_arguments import detections_fields
from fiftyone_ssa.labels import annotate as library
from fiftyone_ssa.labels.annotate import Job as Work
from fiftyone_ssa.labels.evaluation import segmentation_fields
from fiftyone_ssa.presets import Preset, load_preset, parse_override, preset_names

from .forms import check_new_name, choice, problem
from .job import Job, Outcome, report

OWN_FILE = "own TOML file"
LOOKED_AT = 1000
"""Samples that the form looks at, while one types; the run looks at all."""
DEFAULTS: dict[str, Any] = {
    "preset": "ssa-ade20k",
    "preset_file": "",
    "overrides": "",
    "label_field": "ssa",
    "masks_field": None,
    "semantic_field": None,
    "device": "auto",
    "batch_size": 4,
    "keep_branch": False,
    "overwrite": False,
    "everything": False,
    "everything_sure": False,
}


class Annotate(Job):
    """Run a preset on the target view."""

    job = "annotate"
    label = "SSA: name masks"
    description = "Find masks, or take those that are there, and give each a name by semantic voting"
    icon = "sell"

    def __call__(
        self, sample_collection: Any, preset: str = DEFAULTS["preset"], *, delegate: bool = False, **params: Any
    ) -> Any:
        """Run it from Python, or queue it with `delegate`; `params` are those of the form (`DEFAULTS`)."""
        own = {"preset_file": preset, "preset": OWN_FILE} if preset.endswith(".toml") else {"preset": preset}
        if params.get("overwrite") == "everything":  # said once in Python, twice in the form
            params |= {"overwrite": True, "everything": True, "everything_sure": True}
        return self.call(sample_collection, {**own, **params}, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """Preset, changes to it, where masks and classes come from, the field, and where it runs."""
        samples, params = ctx.target_view(), {**DEFAULTS, **ctx.params}
        own = params["preset"] == OWN_FILE
        wrong = problem(lambda: _preset(params))
        names = [*preset_names(), OWN_FILE]
        choice(inputs, "preset", names, default=DEFAULTS["preset"], label="Preset")
        if own:
            inputs.str("preset_file", required=True, label="TOML file", description="A path on this machine", **wrong)
        inputs.str(
            "overrides",
            label="Changes",
            description="One section.key=value a line, for example masks.points_per_side=32",
            view=types.TextFieldView(multiline=True),
            **({} if own else wrong),
        )
        choice(
            inputs,
            "masks_field",
            detections_fields(samples),
            label="Existing masks",
            description="A field to take masks from; empty: as the preset says (SAM, or JSON beside the image)",
        )
        choice(
            inputs,
            "semantic_field",
            segmentation_fields(samples),
            label="Existing class map",
            description="A field that stands in for the preset's segmenter; empty: run the segmenter",
        )
        inputs.str(
            "label_field",
            default=DEFAULTS["label_field"],
            label="Label field",
            description="Masks go to this field, the class map to <field>_semantic",
            **({} if wrong else problem(lambda: _check_label_field(samples, params))),
        )
        inputs.str(
            "device",
            default=DEFAULTS["device"],
            label="Device",
            description="auto, cpu, cuda or cuda:N",
            **problem(lambda: _check_device(params["device"])),
        )
        inputs.int("batch_size", default=DEFAULTS["batch_size"], min=1, label="Images at a time")
        inputs.bool("keep_branch", default=False, label="Keep the segmenter's own map beside the refined one")
        inputs.bool(
            "overwrite",
            default=False,
            label="Redo images that are done",
            description="Masks that people reviewed, renamed, tagged, edited or drew stay as they are",
        )
        if params["overwrite"]:
            inputs.bool("everything", default=False, label="Drop what people touched, too")
        if params["overwrite"] and params["everything"]:
            inputs.bool(
                "everything_sure",
                default=False,
                label="Yes: reviews, corrections and drawn masks of this field are lost",
                **problem(lambda: _overwrite(params)),
            )

    def run(self, ctx: Any) -> Outcome:
        """Annotate."""
        params = {**DEFAULTS, **ctx.params}
        summary = library.annotate(
            ctx.target_view(),
            _preset(params),
            label_field=params["label_field"],
            masks_field=params["masks_field"] or None,
            semantic_field=params["semantic_field"] or None,
            device=params["device"],
            batch_size=int(params["batch_size"]),
            overwrite=_overwrite(params),
            keep_branch=bool(params["keep_branch"]),
            progress=report(ctx),
        )
        return Outcome(str(summary), summary.errors)


def _preset(params: dict[str, Any]) -> Preset:
    own = params["preset"] == OWN_FILE
    if own and not params["preset_file"]:
        raise InputError("name a TOML file, or choose one of the presets")
    lines = [line for line in (params["overrides"] or "").splitlines() if line.strip()]
    return load_preset(params["preset_file"] if own else params["preset"], dict(map(parse_override, lines)))


def _overwrite(params: dict[str, Any]) -> Any:
    """What the library's `overwrite` is; "everything" has to be said twice."""
    if params["overwrite"] and params["everything"]:
        if not params["everything_sure"]:
            raise InputError("this cannot be undone: say yes, or leave what people touched as it is")
        return "everything"
    return params["overwrite"]


def _check_label_field(samples: Any, params: dict[str, Any]) -> None:
    check_new_name(params["label_field"], "the label field")
    everything = params["overwrite"] and params["everything"]
    work = Work(
        samples,
        label_field=params["label_field"],
        preset=_preset(params),
        masks_field=params["masks_field"] or None,
        semantic_field=params["semantic_field"] or None,
        overwrite="everything" if everything else params["overwrite"],
        keep_branch=bool(params["keep_branch"]),
    )
    work.check_content(at_most=LOOKED_AT)


def _check_device(device: str) -> None:
    # whether it is there only the machine that runs the job can tell
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise InputError(f"device must be auto, cpu, cuda or cuda:N, got {device!r}")
