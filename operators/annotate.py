"""`annotate`: names for the masks of a view, by a preset."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.labels import annotate as library

from .annotate_choice import DEFAULTS, Choice, chosen_overwrite, save_trial, trial_of
from .annotate_form import Questions
from .forms import Form, given, target_of
from .job import Job, Outcome, report
from .preset_cards import OWN_FILE


class Annotate(Job):
    """Run a preset on the target view."""

    job = "annotate"
    label = "SSA: name masks"
    description = "Find masks, or take those that are there, and give each a name by semantic voting"
    icon = "sell"
    paths = ("preset_file",)

    def __call__(
        self, sample_collection: Any, preset: str | None = None, *, delegate: bool = False, **params: Any
    ) -> Any:
        """Run it from Python, or queue it with `delegate`; `params` are those of the form (`DEFAULTS`)."""
        own = {"preset_file": preset, "preset": OWN_FILE} if str(preset).endswith(".toml") else {"preset": preset}
        if params.get("overwrite") == "everything":  # said once in Python, twice in the form
            params |= {"overwrite": True, "everything": True, "everything_sure": True}
        return self.call(sample_collection, {**own, **params}, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """What is named, by which preset, from which masks, into which field, and what comes of it."""
        form = Form(inputs, ctx.params, DEFAULTS)
        samples = form.target(ctx)
        if not form.refused(lambda: library.check_samples(samples)):
            Questions(form, samples).ask()

    def launch(self, ctx: Any, *, apart: bool) -> dict[str, Any]:
        """Start it; the images of a trial are shown at once, and their masks as soon as they are named."""
        answer: dict[str, Any] = super().launch(ctx, apart=apart)
        if ctx.params.get("try_first"):
            name = save_trial(target_of(ctx), given(ctx.params, DEFAULTS))
            ctx.ops.set_view(view=ctx.dataset.load_saved_view(name))  # by its name only what an open App has read
        return answer

    def run(self, ctx: Any) -> Outcome:
        """Annotate."""
        params, samples = given(ctx.params, DEFAULTS), target_of(ctx)
        if params["try_first"]:
            samples = trial_of(samples)
        chosen = Choice(samples, params)
        summary = library.annotate(
            samples,
            chosen.preset,
            label_field=params["label_field"],
            masks_field=chosen.masks_field,
            semantic_field=params["semantic_field"] or None,
            device=params["device"],
            dtype=params["dtype"],
            batch_size=int(params["batch_size"]),
            workers=int(params["workers"]),
            overwrite=chosen_overwrite(params),
            keep_branch=params["keep_branch"],
            keep_embeddings=chosen.keep_embeddings,
            progress=report(ctx),
        )
        shown = f"; they are the saved view {save_trial(samples, params)!r}" if params["try_first"] else ""
        return Outcome(f"{replace(summary, errors={})}{shown}", summary.errors)
