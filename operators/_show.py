"""What the operators share that open a view of masks: the form says how many there are, one x undoes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import InputError, MissingDependencyError, counted
from fiftyone_ssa.labels.database import is_generated, needs_database
from fiftyone_ssa.labels.shown import check_masks, detections_fields, field_shown

from ._operator import FormOperator, telling
from .forms import Form, check_open, first_problem, of_one_slice, refusal

COMMON: dict[str, Any] = {"label_field": None, "patches": False}


class Show(FormOperator):
    """Open some masks of what the App shows."""

    defaults: Mapping[str, Any]

    def fields(self, ctx: Any, form: Form) -> None:
        """Add what is particular to this operator."""
        raise NotImplementedError

    def view(self, samples: Any, values: Mapping[str, Any]) -> Any:
        """The view to open. Raises InputError for a bad value."""
        raise NotImplementedError

    def resolve_input(self, ctx: Any) -> types.Property:
        """The form, with the number of masks that it would show."""
        inputs = types.Object()
        try:
            with needs_database():
                form = self._form(ctx, inputs)
                if not form.wrong:
                    inputs.view("preview", types.Notice(label=self._told(self._view(ctx, form), form.values)))
        except (InputError, MissingDependencyError) as error:
            refusal(inputs, str(error))
        return types.Property(inputs, view=types.View(label=self.label))

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Open the view, unless there is nothing to see."""
        with telling(ctx):
            inputs = types.Object()
            form = self._form(ctx, inputs)
            if wrong := first_problem(types.Property(inputs)):
                raise InputError(wrong)
            view = self._view(ctx, form)
            masks = _count(view, form.values["label_field"])
            message = self._told(view, form.values)
        if masks:
            if ctx.request_params.get("filters"):  # they are stages of the view now
                ctx.ops.clear_sidebar_filters()
            ctx.ops.set_view(view)
        ctx.ops.notify(message, variant="success" if masks else "info")
        return {"masks": masks, "message": message}

    def _form(self, ctx: Any, inputs: types.Object) -> Form:
        check_open(ctx)
        shown = field_shown(ctx.view, ctx.active_fields or ())
        form = Form(inputs, ctx.params, {**COMMON, **self.defaults, "label_field": shown})
        check = lambda: check_masks(ctx.view, form.values["label_field"])  # noqa: E731
        form.choice("label_field", detections_fields(ctx.view), label="Masks", check=check)
        self.fields(ctx, form)
        if not is_generated(ctx.view):
            form.switch("patches", label="Each mask as a picture of its own")
        return form

    def _view(self, ctx: Any, form: Form) -> Any:
        samples = of_one_slice(ctx, ctx.view) if form.values["patches"] else ctx.view
        return self.view(samples, form.values)

    def _told(self, view: Any, values: Mapping[str, Any]) -> str:
        masks = _count(view, values["label_field"])
        return (
            f"{counted(masks, 'mask')} of {values['label_field']!r}" if masks else "There is no such mask in this view"
        )


def _count(view: Any, label_field: str) -> int:
    many = view.has_field(f"{label_field}.detections")
    return int(view.count(f"{label_field}.detections" if many else label_field))
