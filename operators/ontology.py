"""`ontology`: the names of masks put together to classes, in a form that begins with a suggestion; and taken back."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.curation.ontology_apply import apply, check_target
from fiftyone_ssa.curation.ontology_journal import applied_to, undo_ontology
from fiftyone_ssa.curation.ontology_pictures import caption, example_sheet, pages
from fiftyone_ssa.curation.ontology_suggest import suggest
from fiftyone_ssa.curation.remembered import remembered
from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.layouts.ontology import Ontology
from fiftyone_ssa.layouts.ontology_lines import lines_of, ontology_of_lines
from fiftyone_ssa.layouts.ontology_suggested import with_joined

from .form_values import absolute_path
from .forms import Card, Form, given, source_of_masks, target_of
from .job import Job, Outcome

APPLY, UNDO = "apply", "undo"
DEFAULTS: dict[str, Any] = {
    "action": APPLY,
    "label_field": "",
    "file": "",
    "join": False,
    "classes": "",
    "others": "",
    "to": "",
    "save_to": "",
    "overwrite": False,
}
ABOUT = {
    APPLY: "Give the masks their classes in a new field, by what was proposed for them; no model runs",
    UNDO: "Take the last ontology back that was applied to a field",
}
NO_PICTURES = "none"
CLASSES = "_classes"
TOLD = 6
"""Pairs that a note lists before it only counts."""


class ApplyOntology(Job):
    """Put names together to classes."""

    job = "ontology"
    label = "SSA: classes from names (ontology)"
    description = "Put the names of masks together to your classes: suggested, edited in the form, in a new field"
    icon = "category"
    patience = 20.0
    paths = ("file", "save_to")

    def __call__(
        self, sample_collection: Any, label_field: str = "ssa", *, delegate: bool = False, **params: Any
    ) -> Any:
        """Run it from Python, or queue it with `delegate`."""
        return self.call(sample_collection, {"label_field": label_field, **params}, delegate)

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """The masks, the classes, and where they go."""
        form = Form(inputs, ctx.params, DEFAULTS)
        values = form.values
        form.choice("action", [Card(name, name, ABOUT[name]) for name in ABOUT], label="Action", cards=True)
        if values["action"] == UNDO:
            if not form.refused(lambda: _applied(ctx)):
                values["to"] = values["to"] or _applied(ctx)[0]
                form.choice("to", _applied(ctx), label="Field", description="What the classes were written to")
            return
        samples = form.masks(ctx, usual=_usual_field)
        if samples is None:
            return
        field = values["label_field"]
        to = values["to"] or _usual_target(field)
        form.text(
            "to",
            label="New field",
            description=f"Masks with classes; what people named or reviewed stays. Empty: {_usual_target(field)}",
            check=lambda: check_target(samples, field, to),
        )
        form.text("others", label="Name of what means no class", description="Empty: it keeps its own name")
        form.file(
            "save_to",
            label="Save the ontology as",
            description="The absolute path of a new TOML file, to edit and use again; empty: it is not saved",
            check=_check_new,
        )
        form.switch("overwrite", label="Replace what the field holds", description="What people touched there stays")
        form.file(
            "file",
            label="Ontology",
            description="The absolute path of a TOML file on the machine of the job; empty: suggested from the names",
            check=Ontology.load,
        )
        if not values["file"] and not form.refused(lambda: remembered(suggest, samples, field)):
            found = remembered(suggest, samples, field)
            self._classes(form, found, lambda page: remembered(_sheet, samples, field, page))

    def _classes(self, form: Form, found: Ontology, sheet: Callable[[str], str]) -> None:
        """The suggestion, in pictures and a line a class."""
        unsure = [f"{entry.name} and {', '.join(entry.maybe)}" for entry in found.classes if entry.maybe]
        if unsure:
            more = f" and {len(unsure) - TOLD} more" if len(unsure) > TOLD else ""
            form.note("unsure", f"May be the same, and stay apart: {'; '.join(unsure[:TOLD])}{more}.")
            form.switch("join", label="Put together what may be the same")
        _examples(form, found, sheet)
        name = _lines_of(form.values)
        form.values[name] = form.params.get(name) or lines_of(with_joined(found) if form.values["join"] else found)
        form.text(
            name,
            label="Classes",
            description="One a line: class = synonym, synonym. Names that no line has mean no class",
            check=lambda: ontology_of_lines(form.values[name]),
            lines=True,
        )
        if name not in form.wrong:
            form.note("amount", _amount(found, ontology_of_lines(form.values[name], base=found)))

    def run(self, ctx: Any) -> Outcome:
        """Apply, or take back."""
        params, samples = given(ctx.params, DEFAULTS), target_of(ctx)
        if params["action"] == UNDO:
            return Outcome(str(undo_ontology(samples, params["to"] or _applied(ctx)[0])))
        field = params["label_field"] or _usual_field(ctx, samples)
        to = params["to"] or _usual_target(field)
        ontology = _chosen(params, samples, field)
        if params["save_to"]:
            path = absolute_path("save_to", params["save_to"])
            _check_new(path)
            ontology.save(path)
        done = apply(ontology, samples, field, to=to, overwrite=params["overwrite"])
        return Outcome(str(replace(done, errors={})), done.errors)

    def new_field(self, ctx: Any) -> str:
        """The classes, unless they were taken back or are an attribute of the masks that are shown."""
        params = given(ctx.params, DEFAULTS)
        if params["action"] == UNDO:
            return ""
        to = params["to"] or _usual_target(params["label_field"] or _usual_field(ctx, target_of(ctx)))
        return "" if "." in to else str(to)


def _chosen(params: dict[str, Any], samples: Any, field: str) -> Ontology:
    """The ontology of the file, of the form's lines, or the suggested one."""
    others = params["others"] or None
    if params["file"]:
        loaded = Ontology.load(absolute_path("file", params["file"]))
        return loaded.with_others(others) if others else loaded
    suggested = suggest(samples, field)
    lines = params.get(_lines_of({**params, "label_field": field})) or params["classes"]
    if not lines:
        return (with_joined(suggested) if params["join"] else suggested).with_others(others)
    return ontology_of_lines(lines, base=suggested, others=others, name=field)


def _examples(form: Form, found: Ontology, sheet: Callable[[str], str]) -> None:
    """What classes look like, a page of them at a time."""
    shown = pages(found)
    if not shown:
        return
    name = f"pictures_of_{form.values['label_field']}"  # a form keeps what it has shown, and other masks have others
    page = form.values[name] = form.params.get(name) or next(iter(shown))
    form.choice(name, [*shown, NO_PICTURES], label="Pictures", description="The surest masks of each class")
    if page in shown:
        form.picture("sheet", sheet(page), ", ".join(map(caption, shown[page])))


def _sheet(samples: Any, field: str, page: str) -> str:
    """A page of pictures, as an address that a browser shows."""
    sheet = example_sheet(samples, field, pages(remembered(suggest, samples, field))[page])
    return f"data:image/jpeg;base64,{base64.b64encode(sheet).decode()}"


def _lines_of(params: Mapping[str, Any]) -> str:
    """The parameter that holds a form's lines: a form keeps what it has shown, and other masks have other names."""
    return f"classes_of_{params['label_field']}" + ("_joined" if params["join"] else "")


def _amount(found: Ontology, chosen: Ontology) -> str:
    """How many masks have how many names, and what becomes of these."""
    names = {name: masks for entry in found.classes for name, masks in entry.counts.items()}
    none = [masks for name, masks in names.items() if chosen.class_of(name) is None]
    left = f"; {counted(len(none), 'name')} of {counted(sum(none), 'mask')} mean no class" if none else ""
    told = f"{counted(len(names), 'name')}, here in {counted(len(chosen.classes), 'class')}"
    return f"{counted(sum(names.values()), 'mask')} have {told}{left}."


def _check_new(path: Path) -> None:
    if path.exists():
        raise InputError(f"{path} is there already; choose another name for the ontology's file")


def _applied(ctx: Any) -> list[str]:
    """Where ontologies were applied: what the App shows, then the last one. Raises InputError where there is none."""
    found = applied_to(ctx.dataset)
    if not found:
        raise InputError("no ontology was applied to this dataset that is not taken back already")
    return sorted(found, key=lambda to: to.partition(".")[0] not in (ctx.active_fields or ()))


def _usual_field(ctx: Any, samples: Any) -> str:
    """The field that one means: not the classes that were made of it, which an App shows from then on."""
    return source_of_masks(ctx, samples, (CLASSES,))


def _usual_target(field: str) -> str:
    return f"{field}{CLASSES}"
