"""What the jobs share: their configuration, where they run, how they are recorded, and how they report.

"Execute" in the App starts a process of its own: a job in the request blocks the App and is cut after 600 seconds. From
Python, and scheduled, a job runs where it is called.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import fiftyone as fo
import fiftyone.operators as foo
from bson import json_util
from fiftyone.operators import types
from fiftyone.operators.executor import ExecutionContext, ExecutionError, ExecutionResult, Executor

from fiftyone_ssa.errors import DeviceLostError, InputError, MissingDependencyError
from fiftyone_ssa.exports.export_arguments import detections_fields
from fiftyone_ssa.labels import background
from fiftyone_ssa.labels.appearance import show_anew
from fiftyone_ssa.labels.database import dataset_id, root_dataset, see_filters, serialized
from fiftyone_ssa.labels.job_record import Cancelled, JobRecord, begin, leave
from fiftyone_ssa.labels.jobs import JobRow, Where, images_of, jobs
from fiftyone_ssa.labels.lease import check_free
from fiftyone_ssa.naming.run import describe
from fiftyone_ssa.plugin import missing

from ._operator import FormOperator, telling
from .forms import STILL_TO_GIVE, check_open, first_problem, problem, refusal, say_by_labels, target_of

PANEL = "masks"
WITHOUT_PANEL = 500.0
"""Seconds that "Execute" waits where no dataset is open, and so no panel; FiftyOne gives a request 600."""
WRITERS = ("annotate", "repaint", "panoptic")
"""The jobs that need their field for themselves."""
OF_ONE_REQUEST = ("delegated", "delegation_target", "prompt_id", "request_delegation", "results", "run_doc", "target")
"""What a request says about itself, and the next one with the same job must not."""
_record: ContextVar[JobRecord | None] = ContextVar("record", default=None)


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    message: str
    errors: Mapping[str, str] = field(default_factory=dict)
    """File path to reason, of each image that failed."""


class Job(FormOperator):
    """A job of the App: a form, checked while one types and again when it runs, and one closing sentence."""

    options: ClassVar[Mapping[str, Any]] = {"allow_immediate_execution": True, "allow_delegated_execution": True}
    needs_dataset: bool = True
    named_by: tuple[str, str] = ("label_field", "ssa")
    """The parameter that names the field it fills or reads, and its default."""
    patience: float = 0.0
    """Seconds for which "Execute" in the App waits for the end, before the panel takes over."""
    if_cancelled: str = "what is done is kept, resume goes on from there"
    paths: tuple[str, ...] = ()
    """The parameters that are paths, which a form takes whole, and a call from Python from its own folder."""

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """Add the fields of the form, each with what is wrong with its value."""
        raise NotImplementedError

    def run(self, ctx: Any) -> str | Outcome:
        """Do the job with `ctx.params`, where a field may be missing, and answer how it ended."""
        raise NotImplementedError

    def resolve_input(self, ctx: Any) -> types.Property:
        """The form, or the one sentence that says why there is none."""
        inputs = types.Object()
        if gone := problem(lambda: check_open(ctx)) if self.needs_dataset else {}:
            refusal(inputs, gone["error_message"])
        else:
            self.form(ctx, inputs)
            if self.job in WRITERS and is_from_app(ctx) and (busy := problem(lambda: self._check_free(ctx))):
                told = busy["error_message"]  # by the time that a scheduled job begins, it may be free
                inputs.view("busy", types.Warning(label=told[:1].upper() + told[1:]))
            if ask := inputs.properties.pop(STILL_TO_GIVE, None):
                inputs.properties[STILL_TO_GIVE] = ask  # beside the button that it holds back
            if is_from_app(ctx):
                say_by_labels(inputs)
        return types.Property(inputs, view=types.View(label=self.label))

    def resolve_execution_options(self, ctx: Any) -> Any:
        """In the App, "Schedule" is offered only where FiftyOne can: a button "NOT AVAILABLE" helps no one."""
        options = super().resolve_execution_options(ctx)
        can = getattr(fo.config, "allow_legacy_orchestrators", True) or options.available_orchestrators
        if is_from_app(ctx) and not can:
            return foo.ExecutionOptions(allow_immediate_execution=True, allow_delegated_execution=False)
        return options

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Run the job, or start it if it comes from the App; show its closing sentence or what stopped it."""
        if not self.needs_dataset and problem(lambda: see_filters(ctx)):
            ctx.request_params |= {"dataset_id": None, "dataset_name": None, "view": None}  # it is gone, and not needed
        with telling(ctx):
            if wrong := first_problem(self.resolve_input(ctx)):
                raise InputError(wrong)  # what the form says of a value, a run says in the same words
            return self.launch(ctx, apart=is_from_app(ctx))

    def launch(self, ctx: Any, *, apart: bool) -> dict[str, Any]:
        """Do the job here, or start a process of its own for it."""
        if not apart:
            return self.work(ctx, self._begin(ctx, "schedule" if ctx.delegated else "python"))
        if self.job in WRITERS and (busy := problem(lambda: self._check_free(ctx))):
            message = busy["error_message"]  # an answer: beside what is raised FiftyOne shows an error of its own
            ctx.ops.notify(message, variant="error")
            return {"job": "", "state": "failed", "message": message}
        return self._start(ctx, self._begin(ctx, "app"))

    def _field(self, ctx: Any) -> str:
        name, default = self.named_by
        return str(ctx.params.get(name) or default)

    def _check_free(self, ctx: Any) -> None:
        """Raise InputError if a job or another process fills the same field, before this one has loaded its models."""
        for row in jobs(ctx.dataset):
            writes = row.state == "running" and row.operator in WRITERS
            if writes and row.label_field == self._field(ctx):
                raise InputError(
                    f"{row.label_field!r} of dataset {row.dataset!r} is being written by {row.operator} since "
                    f"{row.began:%Y-%m-%d %H:%M:%S} UTC; wait until it is done or cancel it in the panel Masks, or "
                    "choose another label_field"
                )
        check_free(ctx.dataset, self._field(ctx))

    def _begin(self, ctx: Any, where: Where) -> str:
        """Record that the job begins, and answer its id."""
        request = {key: value for key, value in ctx.request_params.items() if key not in OF_ONE_REQUEST}
        if ctx.dataset is not None:
            request["dataset_id"] = str(dataset_id(ctx.dataset))  # a dataset may be renamed meanwhile
        waits = where == "app" and self.patience > 0
        return begin(
            self.job,
            ctx.dataset,
            uri=self.uri,
            label_field=self._field(ctx),
            where=where,
            request=json_util.dumps(request),
            delegated=str(ctx.request_params.get("run_doc") or ""),
            target=self._target(ctx),
            told=open_panels(ctx) if waits else (),
        )

    def _target(self, ctx: Any) -> str:
        """What of the dataset it works on, as the record has it."""
        if ctx.dataset is None:
            return ""
        stages = [{**stage, "_uuid": None} for stage in serialized(target_of(ctx).view())]
        tried = " try" if ctx.params.get("try_first") else ""
        return (json_util.dumps(stages) if stages else "") + tried

    def work(self, ctx: Any, identity: str, *, is_own_process: bool = False) -> dict[str, Any]:
        """Do a job that has been recorded, here and now."""
        record = JobRecord(identity, interrupts=is_own_process)
        token = _record.set(record)
        try:
            with record.running():
                row = self._recorded(ctx, record)
        finally:
            _record.reset(token)
        return self._close(ctx, row)

    def _recorded(self, ctx: Any, record: JobRecord) -> JobRow:
        try:
            answer = self.run(ctx)
        except (Cancelled, KeyboardInterrupt):
            when = f"after {images_of(record.done, record.total)}" if record.total else "before its first image"
            row = record.end("cancelled", f"cancelled {when}; {self.if_cancelled}")
            if not record.cancelled.is_set():
                raise  # someone pressed Ctrl-C, and waits for Python's answer
            return row
        except ImportError as error:
            told = missing(error)
            record.end("failed", str(told))
            raise told from error
        except BaseException as error:
            record.end("failed", str(error) if isinstance(error, InputError) else describe(error))
            raise
        outcome = answer if isinstance(answer, Outcome) else Outcome(answer)
        return record.end("done", with_failures(outcome, record.total), outcome.errors)

    def _start(self, ctx: Any, identity: str) -> dict[str, Any]:
        """Leave the job to a process of its own, and wait for it no longer than `patience`."""
        background.start(identity)
        row = background.wait(identity, self.patience if ctx.dataset is not None else WITHOUT_PANEL)
        if row.state != "running":
            return self._close(ctx, row)
        leave(identity)
        if not ctx.current_sample:  # over a large sample the App opens no panel of the grid
            # in words of the App's, as FiftyOne 1.14 knows no `state` here
            on_runs = {"state": {"tab": "runs"}}
            ctx.trigger("open_panel", {"name": PANEL, "isActive": True, "layout": "horizontal", "state": on_runs})
            for panel in open_panels(ctx):  # the App gives the state to a panel that it opens, not to one that is open
                ctx.trigger(f"{self.uri.rpartition('/')[0]}/{PANEL}", {"panel_id": panel, "__method__": "on_job"})
        ctx.ops.notify(f"{self.label} has started; its progress is in the panel Masks, tab Runs", variant="info")
        return {"job": identity, "state": "running", "message": "started"}

    def new_field(self, ctx: Any) -> str:
        """The field that the App is to show when the job is done, besides those that it shows; empty: none."""
        return ""

    def show(self, ctx: Any, row: JobRow) -> None:
        """Show in the App what a job that has ended has done."""
        if row.changes_dataset and is_from_app(ctx):
            show_anew(ctx, row.began)
            field = self.new_field(ctx) if row.state == "done" else ""
            if field and ctx.dataset.has_field(field):  # in place of other masks: one over another shows neither
                others = detections_fields(ctx.dataset)
                ctx.ops.set_active_fields([*(name for name in ctx.active_fields or () if name not in others), field])

    def _close(self, ctx: Any, row: JobRow) -> dict[str, Any]:
        self.show(ctx, row)
        ctx.ops.notify(row.message, variant=row.variant)
        return {"job": row.id, "state": row.state, "message": row.message, "failed": row.failed, "total": row.total}

    def resolve_output(self, ctx: Any) -> types.Property:
        """The closing sentence, with how many failed before it; nothing while it runs."""
        outputs = types.Object()
        results = ctx.results  # None where it raised: the App has said why
        if results is None:
            return types.Property(outputs)
        state, failed, total = (results.get(name) for name in ("state", "failed", "total"))
        if state != "running":
            known = {"failed": "Failed", "cancelled": "Cancelled"}
            label = f"{images_of(failed, total)} failed" if failed else known.get(state, "Done")
            outputs.str("message", label=label, view=types.MarkdownView(read_only=True))
        return types.Property(outputs)

    def call(self, samples: Any, params: dict[str, Any], delegate: bool) -> Any:
        """Run the job from Python on a dataset or view, or queue it."""
        params = params | {name: from_here(params[name]) for name in self.paths if params.get(name)}
        if delegate:
            view = samples.view() if samples is not None else None
            return foo.execute_operator(self.uri, {"view": view}, params=params, request_delegation=True)
        # FiftyOne's own call gives up after 600 seconds, while the job goes on unseen, and takes no Ctrl-C
        request: dict[str, Any] = {"params": params}
        if samples is not None:
            request |= {"dataset_name": root_dataset(samples).name, "view": serialized(samples)}
        context = ExecutionContext(request, executor=Executor(), operator_uri=self.uri)
        try:
            return ExecutionResult(self.execute(context), context.executor)
        except (DeviceLostError, InputError, MissingDependencyError) as error:
            raise ExecutionError(str(error)) from error


def from_here(path: Any) -> str:
    """A path as it is meant in this process, for one that begins in another folder."""
    return str(path) if "://" in str(path) else str(Path(path).expanduser().absolute())


def is_from_app(ctx: Any) -> bool:
    """Whether a person pressed "Execute": the App alone sends what its sidebar and its plots select."""
    return "extended" in ctx.request_params and not ctx.delegated


def open_panels(ctx: Any) -> list[str]:
    """The ids of the panels Masks that are open in the page of a request."""
    found, spaces = [], [ctx.request_params.get("spaces") or {}]
    while spaces:
        space = spaces.pop()
        spaces += space.get("children") or []
        if space.get("type") == PANEL:
            found.append(str(space["component_id"]))
    return found


def with_failures(outcome: Outcome, total: int | None) -> str:
    """The closing sentence, with what most failed of first."""
    reasons = list(outcome.errors.values())
    if not reasons:
        return outcome.message
    return f"{images_of(len(reasons), total)} failed ({max(reasons, key=reasons.count)}); {outcome.message}"


def report(ctx: Any) -> Callable[..., Any]:
    """A progress callback for the library: it keeps the job's record, and FiftyOne's own of a scheduled job."""
    record, told = _record.get(), 0.0

    def callback(bar: Any) -> None:
        nonlocal told
        if record is not None:
            record.progress(bar)
        if ctx.delegated and (time.monotonic() - told > 1 or bar.complete):
            told = time.monotonic()
            ctx.set_progress(progress=bar.progress, label=images_of(bar.iteration, bar.total))

    return callback
