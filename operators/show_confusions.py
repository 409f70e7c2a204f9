"""`show_confusions`: the masks whose proposals, or whose corrections, confuse two names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fiftyone_ssa.curation.confusions import CLOSE, check_close
from fiftyone_ssa.curation.opened import check_names, confused

from ._show import Show
from .forms import Form


class ShowConfusions(Show):
    """Open the masks of what the App shows that confuse two names."""

    job = "show_confusions"
    label = "SSA: show confused masks"
    description = "Masks that could as well have another name, or that were given it by hand"
    icon = "compare_arrows"
    defaults: Mapping[str, Any] = {"name": "", "other": "", "close": CLOSE}

    def fields(self, ctx: Any, form: Form) -> None:
        """One name or two, and how close."""
        values = form.values
        form.text(
            "name",
            label="Name",
            description="Empty: the two names that are confused most often",
            check=lambda: check_names(values["name"] or None, None),
        )
        form.text(
            "other",
            label="Confused with",
            description="Empty: any name",
            check=lambda: check_names(values["name"] or None, values["other"] or None),
        )
        form.inputs.float(
            "close",
            default=CLOSE,
            label="Scores at most this far apart",
            description="Of a mask's first two proposals, from 0 to 1",
        )

    def view(self, samples: Any, values: Mapping[str, Any]) -> Any:
        """The masks that confuse them."""
        check_close(values["close"])
        return confused(
            samples,
            values["name"] or None,
            values["other"] or None,
            values["label_field"],
            close=values["close"],
            patches=values["patches"],
        )
