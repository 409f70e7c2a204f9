"""What the jobs share: their configuration and how they report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
from fiftyone.operators import types

from fiftyone_ssa.errors import InputError, MissingDependencyError


class Job(foo.Operator):  # type: ignore[misc]  # FiftyOne has no types
    """A long job: it runs delegated unless asked otherwise, and ends with one sentence."""

    job: str
    label: str
    description: str
    icon: str

    @property
    def config(self) -> foo.OperatorConfig:
        """Dynamic, so that a wrong value is told while it is typed."""
        return foo.OperatorConfig(
            name=self.job,
            label=self.label,
            description=self.description,
            icon=self.icon,
            dynamic=True,
            allow_immediate_execution=True,
            allow_delegated_execution=True,
            default_choice_to_delegated=True,
        )

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """Add the fields of the form, each with what is wrong with its value."""
        raise NotImplementedError

    def run(self, ctx: Any) -> str:
        """Do the job with `ctx.params`, where a field may be missing, and answer the closing sentence."""
        raise NotImplementedError

    def resolve_input(self, ctx: Any) -> types.Property:
        """The form."""
        inputs = types.Object()
        self.form(ctx, inputs)
        return types.Property(inputs, view=types.View(label=self.label))

    def execute(self, ctx: Any) -> dict[str, str]:
        """Run the job, show its closing sentence or what stopped it."""
        try:
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
