"""`parts_of`: what the selected mask is a part of, and what its parts are."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import InputError, MissingDependencyError, counted
from fiftyone_ssa.labels.database import is_generated, needs_database
from fiftyone_ssa.labels.family import CHOICES, Family, family_of
from fiftyone_ssa.labels.shown import detections_fields

from ._decide import field_of, opened
from ._operator import FormOperator, telling
from .forms import Form, first_problem, given, refusal, still_to_give

DEFAULTS: dict[str, Any] = {"label_field": None, "which": "parts"}
NOTHING = "select one mask, in a sample or as a patch, to see what its parts are and what it is a part of"


class PartsOf(FormOperator):
    """Show a mask's place in its tree, and open its parts, its whole, or all of it."""

    job = "parts_of"
    label = "SSA: show the parts of this"
    description = "What the selected mask is a part of and what its parts are, as levels says; opens one of these"
    icon = "account_tree"

    def resolve_input(self, ctx: Any) -> types.Property:
        """The tree, and what to open of it; or why there is none."""
        inputs = types.Object()
        try:
            with needs_database():
                identity = _mask(ctx)
                if identity is None:
                    still_to_give(inputs, NOTHING)
                else:
                    self._form(ctx, inputs, _family(ctx, identity))
        except (InputError, MissingDependencyError) as error:
            refusal(inputs, str(error))
        return types.Property(inputs, view=types.View(label=self.label))

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Open it, unless there is nothing to see."""
        with telling(ctx):
            if wrong := first_problem(self.resolve_input(ctx)):
                raise InputError(wrong)
            family = _family(ctx, _mask(ctx) or "")
            which = given(ctx.params, DEFAULTS)["which"]
            ids = family.ids(which)
        if ids:
            ctx.ops.set_view(family.view(which))
        found = {"parts": "part", "whole": "whole", "tree": "mask of its tree"}[which]
        message = counted(len(ids), found) if ids else "It has no parts"
        ctx.ops.notify(message, variant="success" if ids else "info")
        return {"masks": len(ids), "message": message}

    def _form(self, ctx: Any, inputs: types.Object, family: Family) -> None:
        form = Form(inputs, ctx.params, {**DEFAULTS, "label_field": family.label_field})
        inputs.str("tree", view=types.MarkdownView(read_only=True), default=str(family), label="Its place")
        form.choice("which", CHOICES, label="Open")
        if not form.wrong:
            count = len(family.ids(form.values["which"]))
            form.note("amount", f"{counted(count, 'mask')} will be shown." if count else "It has no parts.")


def _family(ctx: Any, identity: str) -> Family:
    samples = opened(ctx)
    return family_of(samples, identity, _field(ctx))


def _field(ctx: Any) -> str:
    return field_of(ctx, opened(ctx))


def _mask(ctx: Any) -> str | None:
    """The mask that was passed as `id`, else the one that is selected, as a label or as a patch."""
    samples = opened(ctx)
    if (identity := ctx.params.get("id")) is not None:
        if not isinstance(identity, str):
            raise InputError(f"id must be a mask's id, got {identity!r}")
        return identity
    known = detections_fields(samples)
    found = [row["label_id"] for row in ctx.selected_labels or () if row["field"] in known]
    if not found and is_generated(samples):
        found = list(ctx.selected or ())
    if len(found) > 1:
        raise InputError(f"{len(found)} masks are selected; {NOTHING}")
    return found[0] if found else None
