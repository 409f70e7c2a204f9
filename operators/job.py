"""What the jobs share: their configuration and how they report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
from fiftyone.operators import types

from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.labels.database import needs_database

from .forms import NO_DATASET, first_problem, refusal


class Job(foo.Operator):  # type: ignore[misc]  # FiftyOne has no types
    """A job of the App: a form, checked while one types and again when it runs, and one closing sentence."""

    job: str
    label: str
    description: str
    icon: str
    unlisted: bool = False
    delegated_by_default: bool = True
    needs_dataset: bool = True

    @property
    def config(self) -> foo.OperatorConfig:
        """Dynamic, so that a wrong value is told while it is typed."""
        return foo.OperatorConfig(
            name=self.job,
            label=self.label,
            description=self.description,
            icon=self.icon,
            unlisted=self.unlisted,
            dynamic=True,
            allow_immediate_execution=True,
            allow_delegated_execution=True,
            default_choice_to_delegated=self.delegated_by_default,
        )

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """Add the fields of the form, each with what is wrong with its value."""
        raise NotImplementedError

    def run(self, ctx: Any) -> str:
        """Do the job with `ctx.params`, where a field may be missing, and answer the closing sentence."""
        raise NotImplementedError

    def resolve_input(self, ctx: Any) -> types.Property:
        """The form, or the one sentence that says why there is none."""
        inputs = types.Object()
        if self.needs_dataset and ctx.dataset is None:
            refusal(inputs, NO_DATASET)
        else:
            self.form(ctx, inputs)
        return types.Property(inputs, view=types.View(label=self.label))

    def execute(self, ctx: Any) -> dict[str, str]:
        """Run the job, show its closing sentence or what stopped it."""
        try:
            with needs_database():
                if wrong := first_problem(self.resolve_input(ctx)):
                    raise InputError(wrong)  # what the form says of a value, a run says in the same words
                message = self.run(ctx)
        except (InputError, MissingDependencyError) as error:
            ctx.ops.notify(str(error), variant="error")
            raise
        ctx.ops.notify(message, variant="success")
        return {"message": message}

    def resolve_output(self, ctx: Any) -> types.Property:
        """The closing sentence."""
        outputs = types.Object()
        outputs.str("message", label="Done", view=types.MarkdownView(read_only=True))
        return types.Property(outputs)

    def call(self, samples: Any, params: dict[str, Any], delegate: bool) -> Any:
        """Run the job from Python on a dataset or view, or queue it."""
        context = {"dataset": samples._root_dataset, "view": samples.view()} if samples is not None else {}
        return foo.execute_operator(self.uri, context, params=params, request_delegation=delegate)


def report(ctx: Any) -> Callable[..., Any]:
    """A progress callback for the library that shows on the run's page, at most once a second."""
    callback: Callable[..., Any] = fo.report_progress(lambda bar: ctx.set_progress(progress=bar.progress), dt=1.0)
    return callback
