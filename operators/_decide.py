"""What the operators of review share: which masks are meant, what a form says will happen, how the App shows it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

from fiftyone_ssa.curation.deciding import Decision
from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.labels.appearance import READ_SAMPLES_ANEW
from fiftyone_ssa.labels.database import needs_database
from fiftyone_ssa.labels.shown import detections_fields, field_shown

from ._operator import FormOperator, telling
from .form_values import EMPTY, check_switch
from .forms import check_open, choice, refusal, say_by_labels, still_to_give
from .job import is_from_app

FRESH_SECONDS = 5.0
_read: dict[str, tuple[float, Any]] = {}
"""A dataset's id to when it was read, and the dataset."""


class Answer(foo.Operator):  # type: ignore[misc]  # FiftyOne has no types
    """An operator without a form that a panel calls for an answer."""

    job: str
    label: str

    @property
    def config(self) -> foo.OperatorConfig:
        """Unlisted."""
        return foo.OperatorConfig(name=self.job, label=self.label, unlisted=True)


@dataclass(frozen=True)
class Masks:
    """The masks that an operator is to decide about."""

    samples: Any
    field: str
    which: str
    """In words."""
    ids: Mapping[str, Any]
    """`ids` and `sample_ids`, as far as they are known; without them all that the view shows is meant."""


class Decide(FormOperator):
    """A decision about masks: the form says what will happen, and it is written at once."""

    asks: tuple[str, ...] = ()
    """Parameters of which one has to be given."""

    def form(self, ctx: Any, inputs: types.Object, masks: Masks) -> None:
        """Add what is to be decided."""
        raise NotImplementedError

    def decide(self, ctx: Any, masks: Masks, dry_run: bool) -> Decision:
        """Decide about masks, or count them. Raises InputError for a bad parameter."""
        raise NotImplementedError

    def resolve_input(self, ctx: Any) -> types.Property:
        """The form, with the sentence that says what will happen, or what is wrong."""
        inputs = types.Object()
        if ctx.params.get("quiet"):  # a panel asks for no form, and FiftyOne resolves it before every run
            return types.Property(inputs)
        told = refusal
        try:
            with needs_database():
                fields = detections_fields(opened(ctx))
                masks = masks_meant(ctx)
                choice(inputs, "label_field", fields, default=masks.field, label="Masks")
                self.form(ctx, inputs, masks)
                if self.asks and all(ctx.params.get(name) in EMPTY for name in self.asks):
                    told = still_to_give
                _check_dry_run(ctx)
                would = self.decide(ctx, masks, True)
        except (InputError, MissingDependencyError) as error:
            told(inputs, str(error))
        else:
            inputs.view("preview", types.Notice(label=f"Of {masks.which}: {would}"))
        if is_from_app(ctx):
            say_by_labels(inputs)
        return types.Property(inputs, view=types.View(label=self.label))

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Decide, and let the App show it; with `quiet` the caller does."""
        quiet, dry_run = bool(ctx.params.get("quiet")), ctx.params.get("dry_run") is True
        with telling(ctx, quiet=quiet):
            _check_dry_run(ctx)
            done = self.decide(ctx, masks_meant(ctx), dry_run)
        if not (quiet or dry_run):
            ctx.ops.notify(str(done), variant="success")
            ctx.trigger(READ_SAMPLES_ANEW)
        return {"token": done.token, "masks": done.masks, "samples": done.samples, "message": str(done)}


def _check_dry_run(ctx: Any) -> None:
    """Raise InputError where it is not clear whether to write."""
    if (dry_run := ctx.params.get("dry_run")) is not None:
        check_switch("dry_run", dry_run)


def opened(ctx: Any) -> Any:
    """What is open in the App, filters and all. Raises InputError where nothing is."""
    check_open(ctx)
    return ctx.view


def opened_dataset(ctx: Any) -> Any:
    """The dataset that is open, as it was at most `FRESH_SECONDS` ago, or its patches where these are shown.

    `ctx.dataset` is read anew at every call, which takes ten times as long as a decision.
    """
    identity = ctx.request_params.get("dataset_id")
    stages = [str(stage.get("_cls", "")) for stage in ctx.request_params.get("view") or ()]
    if identity is None or any(name.endswith("Patches") for name in stages):
        return opened(ctx)
    read, dataset = _read.get(identity, (0.0, None))
    if dataset is None or dataset.deleted or time.monotonic() - read > FRESH_SECONDS:
        check_open(ctx)
        dataset = ctx.dataset
        _read.clear()  # one dataset is reviewed at a time
        _read[identity] = (time.monotonic(), dataset)
    return dataset


def field_of(ctx: Any, samples: Any) -> str:
    """The label field that was named, or that of the selected labels, or the one that is shown."""
    known = detections_fields(samples)
    selected = [row["field"] for row in ctx.selected_labels or () if row["field"] in known]
    if (named := ctx.params.get("label_field")) in (None, ""):
        return selected[0] if selected else field_shown(samples, ctx.active_fields or ())
    return str(named)


def masks_meant(ctx: Any) -> Masks:
    """The masks with the ids that were passed, else the selected ones, else all that the view, or what is selected of
    it, shows.
    """
    sample_ids = ctx.params.get("sample_ids")
    by_ids = ctx.params.get("ids") is not None or sample_ids is not None
    samples = opened_dataset(ctx) if by_ids and ctx.params.get("quiet") else opened(ctx)
    field = field_of(ctx, samples)
    if by_ids:
        return Masks(samples, field, "these masks", {"ids": ctx.params.get("ids"), "sample_ids": sample_ids})
    selected = [row["label_id"] for row in ctx.selected_labels or () if row["field"] == field]
    if selected:
        return Masks(samples, field, "the selected masks", {"ids": selected})
    if ctx.selected:
        return Masks(samples.select(ctx.selected), field, "what is selected", {})
    return Masks(samples, field, "all that the view shows", {})
