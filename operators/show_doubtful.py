"""`show_doubtful`: the masks whose names are most likely wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fiftyone_ssa.curation.opened import doubtful

from ._show import Show
from .forms import Form


class ShowDoubtful(Show):
    """Open the doubtful masks of what the App shows."""

    job = "show_doubtful"
    label = "SSA: show doubtful masks"
    description = "Masks that nobody reviewed and whose names are most likely wrong"
    icon = "help_outline"
    defaults: Mapping[str, Any] = {"at_most": None}

    def fields(self, ctx: Any, form: Form) -> None:
        """How many."""
        about = "So many, the most doubtful of all; empty: every mask that is doubtful"
        form.number("at_most", label="At most", description=about)

    def view(self, samples: Any, values: Mapping[str, Any]) -> Any:
        """The doubtful masks."""
        at_most = values["at_most"]
        return doubtful(
            samples,
            values["label_field"],
            at_most=None if at_most is None else int(at_most),
            patches=values["patches"],
        )
