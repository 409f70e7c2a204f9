"""`return_corrections`: what people changed in a dataset that `select` made, back over its Parquet labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.labels.database import root_dataset
from fiftyone_ssa.labels.shown import DEFAULT_FIELD

from .forms import Form, field_of_masks, given, target_of
from .job import Job, Outcome

DEFAULTS: dict[str, Any] = {"label_field": "", "overwrite": False}


class ReturnCorrections(Job):
    """Lay what people corrected over the rows that the masks came from."""

    job = "return_corrections"
    label = "SSA: return corrections to Parquet labels"
    description = "Renamed, redrawn, drawn, deleted and reviewed masks go beside the rows they came from, which stay"
    icon = "move_up"
    patience = 20.0

    def __call__(
        self, sample_collection: Any, label_field: str = DEFAULT_FIELD, *, delegate: bool = False, **params: Any
    ) -> Any:
        """Run it from Python, or queue it with `delegate`; `params` are those of the form (`DEFAULTS`)."""
        return self.call(sample_collection, {"label_field": label_field, **params}, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """The masks, and what happens to those that others decided."""
        form = Form(inputs, ctx.params, DEFAULTS)
        samples = form.masks(ctx, check=lambda samples: _origin(samples, form.values["label_field"]))
        form.switch("overwrite", label="Also masks about which another dataset returned something since")
        if samples is not None and not form.wrong:
            out = _origin(samples, form.values["label_field"])["out"]
            form.note("amount", f"What people changed goes to {out}, beside rows that stay as they are.")

    def run(self, ctx: Any) -> Outcome:
        """Return them."""
        from fiftyone_ssa.scale.returning import return_corrections

        params, samples = given(ctx.params, DEFAULTS), target_of(ctx)
        field = params["label_field"] or field_of_masks(ctx, samples)
        done = return_corrections(samples, field, overwrite=params["overwrite"])
        return Outcome(str(replace(done, errors={})), done.errors)


def _origin(samples: Any, label_field: str) -> Mapping[str, str]:
    """Where the masks are from. Raises InputError where that is no folder of Parquet labels."""
    from fiftyone_ssa.scale.returning import check_origin

    return check_origin(root_dataset(samples), label_field)
