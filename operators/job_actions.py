"""`cancel_job`, `resume_job`, `show_failures`: what the panel's buttons do with a job, by its id."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
from bson import json_util
from fiftyone.operators import types
from fiftyone.operators.executor import ExecutionContext

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.jobs import JobRow, cancel, document_of, images_of, job

from ._operator import FormOperator, telling
from .form_values import check_text
from .job import is_from_app


class _JobAction(FormOperator):
    """Something that a button of the panel does with the job whose id is the parameter `job`."""

    unlisted = True

    def resolve_input(self, ctx: Any) -> types.Property:
        """The job's id."""
        inputs = types.Object()
        inputs.str("job", label="Job", required=True)
        return types.Property(inputs, view=types.View(label=self.label))

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Do it, and say what was done or why it cannot be."""
        identity = ctx.params.get("job")
        with telling(ctx):
            check_text("job", identity)
            return self.act(ctx, identity)

    def act(self, ctx: Any, identity: str) -> dict[str, Any]:
        """Do it with the job."""
        raise NotImplementedError


class CancelJob(_JobAction):
    """Ask a job to end."""

    job = "cancel_job"
    label = "SSA: cancel a job"

    def act(self, ctx: Any, identity: str) -> dict[str, Any]:
        """Cancel."""
        message = cancel(identity)
        ctx.ops.notify(message, variant="info")
        return {"message": message}


class ResumeJob(_JobAction):
    """Start a job again as it was asked for; what it has done is not done again."""

    job = "resume_job"
    label = "SSA: resume a job"

    def act(self, ctx: Any, identity: str) -> dict[str, Any]:
        """Start."""
        row = job(identity)
        if row.state == "running":
            raise InputError(f"{row.operator} is still running; cancel it first")
        document = document_of(identity)
        operator = foo.get_operator(document["uri"])
        request = json_util.loads(document["request"]) | {"spaces": ctx.request_params.get("spaces")}
        again = ExecutionContext(request, executor=ctx.executor, operator_uri=operator.uri)
        result: dict[str, Any] = operator.launch(again, apart=is_from_app(ctx))
        return result


class ShowFailures(_JobAction):
    """Show the samples that failed in a job."""

    job = "show_failures"
    label = "SSA: show what failed"

    def act(self, ctx: Any, identity: str) -> dict[str, Any]:
        """Open the view."""
        row = job(identity)
        if not row.errors:
            raise InputError(f"nothing failed in this job ({row.operator}: {row.message})")
        if ctx.dataset is None or ctx.dataset.name != row.dataset:
            raise InputError(f"these samples are in dataset {row.dataset!r}; open it first")
        view = ctx.dataset.select_by("filepath", list(row.errors))
        ctx.ops.set_view(view)
        message = _told(row)
        ctx.ops.notify(message, variant=row.variant)
        failures = [
            {"sample_id": sample_id, "filepath": path, "reason": row.errors[path]}
            for sample_id, path in zip(*view.values(["id", "filepath"]), strict=True)
        ]
        return {"message": message, "failures": failures}


def _told(row: JobRow) -> str:
    """How many failed, and why most did."""
    shown = f", the first {len(row.errors)} are shown" if row.failed > len(row.errors) else ""
    reasons = list(row.errors.values())
    return f"{images_of(row.failed, row.total)} failed{shown}: {max(reasons, key=reasons.count)}"
