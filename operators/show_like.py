"""`show_like`: masks that look like the selected ones, or like words, the nearest first."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.labels.database import is_generated, needs_database
from fiftyone_ssa.labels.kept import check_kept
from fiftyone_ssa.labels.likeness import MOST, NEAREST, check_find, check_text, find_like, kept_fields
from fiftyone_ssa.labels.shown import detections_fields, object_ids

from ._decide import field_of, opened
from ._operator import FormOperator, telling
from .forms import Form, first_problem, given, refusal

DEFAULTS: dict[str, Any] = {"text": "", "label_field": None, "k": NEAREST, "same_wrong_name": False}
NOTHING = "select a mask or several, in a sample or as patches, or type what to look for"


class ShowLike(FormOperator):
    """Open the masks of the dataset that look most like some masks, or like a text."""

    job = "show_like"
    label = "SSA: show masks like these"
    description = "The masks that look most like the selected ones, or like what you type, the nearest first"
    icon = "image_search"

    def resolve_input(self, ctx: Any) -> types.Property:
        """The form, or why nothing can be found; a panel that only asks (`dry_run`) needs none."""
        inputs = types.Object()
        if not ctx.params.get("dry_run"):
            try:
                with needs_database():
                    self._form(ctx, inputs)
            except (InputError, MissingDependencyError) as error:
                refusal(inputs, str(error))
        return types.Property(inputs, view=types.View(label=self.label))

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Open them; with `dry_run` only say whether there is an index to find them by."""
        if ctx.params.get("dry_run"):
            return _answer(ctx)
        with telling(ctx):
            if wrong := first_problem(self.resolve_input(ctx)):
                raise InputError(wrong)
            found = find_like(ctx.dataset, **_arguments(ctx))
        if found.ids:
            if ctx.request_params.get("filters"):  # they would hide some of what was found
                ctx.ops.clear_sidebar_filters()
            ctx.ops.set_view(found.view())
        message = str(found)
        ctx.ops.notify(message[:1].upper() + message[1:], variant="success" if found.ids else "info")
        return {"masks": len(found.ids), "message": message}

    def _form(self, ctx: Any, inputs: types.Object) -> None:
        arguments = _arguments(ctx)
        form = Form(inputs, ctx.params, {**DEFAULTS, "label_field": arguments["label_field"]})
        selected = len(arguments["ids"] or ())

        form.text(
            "text",
            label="What to look for",
            description=f"In plain words; empty: masks like the {selected} selected" if selected else "In plain words",
            check=None if arguments["text"] is None else lambda: check_text(arguments["text"]),
        )
        field = arguments["label_field"]
        form.choice(
            "label_field",
            detections_fields(ctx.dataset),
            label="Masks",
            check=lambda: check_kept(ctx.dataset, field),
        )
        if form.wrong:
            return
        form.number("k", label="At most", description="How many masks to show", high=MOST)
        form.switch(
            "same_wrong_name",
            label="Only those with the same wrong name",
            description="Masks that were given the same name and that nobody has reviewed: right them at once",
            check=lambda: _check_all(ctx.dataset, arguments),
        )


def _check_all(dataset: Any, arguments: dict[str, Any]) -> None:
    """What is wrong with the arguments together: first of all that there is something to look for."""
    if arguments["ids"] is None and arguments["text"] is None:
        raise InputError(NOTHING)
    check_find(dataset, **{**arguments, "k": NEAREST})


def _arguments(ctx: Any) -> dict[str, Any]:
    """What `find_like` is asked: the ids that were passed, what was typed, else what is selected."""
    samples = opened(ctx)
    values = given(ctx.params, DEFAULTS)
    label_field, text = _field(ctx, samples), values["text"]
    ids = ctx.params.get("ids")
    if ids is not None:
        object_ids("ids", ids)
    elif text == "":
        ids = [row["label_id"] for row in ctx.selected_labels or () if row["field"] == label_field] or None
        if ids is None and is_generated(samples):
            ids = list(ctx.selected) or None  # a patch has its mask's id
    k = values["k"]
    return {
        "ids": ids,
        "label_field": label_field,
        "text": None if text == "" else text,
        "k": int(k) if isinstance(k, float) and k.is_integer() else k,
        "same_wrong_name": values["same_wrong_name"],
    }


def _field(ctx: Any, samples: Any) -> Any:
    """The field that was named or is shown, or else one with embeddings."""
    field = field_of(ctx, samples)
    kept = kept_fields(samples)
    return field if ctx.params.get("label_field") or field in kept or not kept else kept[0]


def _answer(ctx: Any) -> dict[str, Any]:
    try:
        with needs_database():
            check_kept(opened(ctx), _field(ctx, opened(ctx)))
    except (InputError, MissingDependencyError) as error:
        return {"available": False, "message": str(error)}
    return {"available": True, "message": ""}
