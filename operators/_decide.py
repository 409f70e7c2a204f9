"""What the operators of review share: which field, which masks, and how a decision reaches the App."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fiftyone.operators as foo

from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.labels.deciding import Decision
from fiftyone_ssa.labels.shown import field_shown


class Answer(foo.Operator):  # type: ignore[misc]  # FiftyOne has no types
    """An operator without a form that a panel calls for an answer."""

    job: str
    label: str

    @property
    def config(self) -> foo.OperatorConfig:
        """Unlisted."""
        return foo.OperatorConfig(name=self.job, label=self.label, unlisted=True)


def opened(ctx: Any) -> Any:
    """What is open in the App, filters and all. Raises InputError where nothing is."""
    samples = ctx.view if ctx.dataset is not None else None
    if samples is None:
        raise InputError("no dataset is open; open one first")
    return samples


def field_of(ctx: Any, samples: Any) -> str:
    """The label field that was named, or the one that is shown."""
    return ctx.params.get("label_field") or field_shown(samples)


@dataclass(frozen=True)
class Masks:
    """The masks that an operator is to decide about."""

    samples: Any
    field: str
    ids: Sequence[str] | None
    """None: all that the view shows."""
    sample_ids: Sequence[str] | None


class Decide(foo.Operator):  # type: ignore[misc]  # FiftyOne has no types
    """A decision about masks: it is written at once, and the App shows it."""

    job: str
    label: str
    description: str
    icon: str

    @property
    def config(self) -> foo.OperatorConfig:
        """Dynamic, so that a wrong value is told while it is typed."""
        return foo.OperatorConfig(
            name=self.job, label=self.label, description=self.description, icon=self.icon, dynamic=True
        )

    def decide(self, ctx: Any, masks: Masks, dry_run: bool) -> Decision:
        """Decide about masks, or count them."""
        raise NotImplementedError

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Decide, and show it."""
        try:
            done = self.decide(ctx, masks_meant(ctx), False)
        except (InputError, MissingDependencyError) as error:
            ctx.ops.notify(str(error), variant="error")
            raise
        ctx.ops.reload_samples()
        return {"token": done.token, "masks": done.masks, "message": str(done)}


def masks_meant(ctx: Any) -> Masks:
    """The masks with the ids that were passed, else those that are selected, else all that the view shows."""
    samples = opened(ctx)
    field = field_of(ctx, samples)
    if ctx.params.get("ids") is not None:
        return Masks(samples, field, ctx.params["ids"], ctx.params.get("sample_ids"))
    selected = [row for row in ctx.selected_labels or () if row["field"] == field]
    if selected:
        return Masks(samples, field, [row["label_id"] for row in selected], [row["sample_id"] for row in selected])
    return Masks(samples, field, None, None)
