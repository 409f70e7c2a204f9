"""The one place that builds what forms share: fields that check themselves, the target view, notes.

A form only reads. What is wrong with a value stands under its field as one sentence, and a run refuses it in the same
words (`Job.execute`).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bson import json_util
from fiftyone.operators import types

from fiftyone_ssa.errors import InputError, MissingDependencyError, counted
from fiftyone_ssa.exports.export_arguments import detections_fields, is_filtered
from fiftyone_ssa.labels.database import check_whole_images, dataset_id, root_dataset, see_filters, serialized
from fiftyone_ssa.models.hardware import FALLBACK, has_mps
from fiftyone_ssa.naming.arguments import check_device

from .form_values import EMPTY, absolute_path, check_choice, check_number, check_switch, check_text

NO_DATASET = "no dataset is open; open one in the App, or load one with the operator SSA: load a dataset"


STILL_TO_GIVE = "still_to_give"


@dataclass(frozen=True)
class Card:
    """One of the values that a field may have, and what it is for."""

    value: str
    label: str = ""
    """What the form shows; empty: the value."""
    description: str = ""


class Form:
    """The fields of a form, each with its value so far and what is wrong with it."""

    def __init__(self, inputs: types.Object, params: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self.inputs = inputs
        self.params = params
        self.values = given(params, defaults)
        self.wrong: dict[str, str] = {}
        """Field to sentence."""

    def text(
        self,
        name: str,
        *,
        label: str,
        description: str = "",
        check: Callable[[], object] | None = None,
        lines: bool = False,
        required: bool = False,
    ) -> None:
        """A text box, of several `lines` or one; `check` raises InputError where its value is wrong."""
        view = types.TextFieldView(multiline=True) if lines else types.FieldView()
        self._check(name, lambda: check_text(name, self.values[name]), check)
        self.inputs.str(
            name,
            default=self.values[name] or None,
            label=label,
            description=description,
            required=required,
            view=view,
            **self._invalid(name),
        )

    def file(self, name: str, *, label: str, description: str, check: Callable[[Path], object]) -> None:
        """A text box for the absolute path of a file, or none; `check` raises InputError for a wrong one."""
        what, value = f"the path of {label!r}", self.values[name]
        told = (lambda: check(absolute_path(what, value))) if value else None
        self.text(name, label=label, description=description, check=told)

    def choice(
        self,
        name: str,
        choices: Sequence[str | Card],
        *,
        label: str,
        description: str = "",
        check: Callable[[], object] | None = None,
        cards: bool = False,
    ) -> None:
        """One of several values: a drop-down, or `cards` of which each says what it is for. None is none of them."""
        offered = [Card(entry) if isinstance(entry, str) else entry for entry in choices]
        values = [card.value for card in offered]
        asked = self.params.get(name)  # a 0 or [] may have been taken for empty, and replaced
        both = (lambda: check_choice(name, asked, values)), (lambda: check_choice(name, self.values[name], values))
        self._check(name, *both, check)
        view = types.RadioView(orientation="vertical") if cards else types.DropdownView()
        for card in offered:
            view.add_choice(card.value, label=card.label or card.value, description=card.description or None)
        default = self.values[name] if self.values[name] in values else None
        about = {"label": label, "description": description, **self._invalid(name)}
        self.inputs.enum(name, values, default=default, view=view, **about)

    def number(
        self,
        name: str,
        *,
        label: str,
        description: str = "",
        high: int | None = None,
    ) -> None:
        """A whole number from 1 to `high`; None where there is no default and none is given."""
        self._check(name, lambda: check_number(name, self.values[name], high))
        about = {"label": label, "description": description, **self._invalid(name)}
        self.inputs.int(name, default=self.values[name], min=1, **about)

    def switch(
        self, name: str, *, label: str, description: str = "", check: Callable[[], object] | None = None
    ) -> bool:
        """A box to tick; answers whether it is ticked."""
        self._check(name, lambda: check_switch(name, self.values[name]), check)
        about = {"label": label, "description": description, **self._invalid(name)}
        self.inputs.bool(name, default=self.values[name], **about)
        return bool(self.values[name])

    def refused(self, check: Callable[[], object]) -> bool:
        """Whether `check` raises InputError; its sentence then stands for all fields that would follow."""
        if found := problem(check):
            refusal(self.inputs, found["error_message"])
        return bool(found)

    def target(self, ctx: Any) -> Any:
        """What the job works on, with the number of images of each choice; answers the collection."""
        see_filters(ctx)
        counts = {
            "dataset_description": _images(of_one_slice(ctx, ctx.dataset)),
            "current_view_description": _images(of_one_slice(ctx, ctx.view)),
            "base_view_description": "The view that this one was made of",
            "selected_samples_description": counted(len(ctx.selected or ()), "image"),
        }
        labels = {"dataset_label": "Whole dataset", "current_view_label": "What the App shows now"}
        flat = {"require_flat": True} if ctx.group_slice and hasattr(ctx, "get_group_slice_scopes") else {}
        self.inputs.view_target(ctx, selected_samples_label="Selected images", **labels, **counts, **flat)
        return target_of(ctx)

    def masks(
        self,
        ctx: Any,
        *,
        label: str = "Masks",
        description: str = "",
        frames: bool = False,
        usual: Callable[[Any, Any], str] | None = None,
        check: Callable[[Any], object] | None = None,
    ) -> Any:
        """What a job on masks works on, and which field holds them; None, and a sentence, where there are none.

        `frames` says whether a view of a video's frames will do; `usual` answers the field that is meant where none is
        given (None: `field_of_masks`); `check` raises InputError where a collection's masks cannot be used.
        """
        samples = self.target(ctx)
        if self.refused(lambda: check_masks_of_images(samples, frames=frames)):
            return None
        self.values["label_field"] = self.values["label_field"] or (usual or field_of_masks)(ctx, samples)
        fields = by_sight(ctx, samples, detections_fields(samples))
        checks = (lambda: check(samples)) if check else None
        self.choice("label_field", fields, label=label, description=description, check=checks)
        return samples

    def device(self, name: str = "device") -> None:
        """Where models run; whether it is there only the machine that runs the job can tell."""
        description = "auto takes a GPU where there is one; or cpu, cuda, cuda:1 ..."
        if has_mps():
            description = "auto takes the CPU; mps this Mac's GPU, if an operation is missing there with " + FALLBACK
        self.text(name, label="Device", description=description, check=lambda: check_device(self.values[name]))

    def put_last(self, *names: str) -> None:
        """Show fields below all others, though they were checked before some of them."""
        fields = self.inputs.properties
        fields.update({name: fields.pop(name) for name in names if name in fields})

    def note(self, name: str, text: str) -> None:
        """A sentence or two to read."""
        self.inputs.view(name, types.Notice(label=text))

    def picture(self, name: str, address: str, told: str) -> None:
        """A picture to look at, and what it shows in words."""
        self.inputs.view(name, types.ImageView(alt=told, width="100%"), default=address)

    def warn(self, name: str, text: str) -> None:
        """A sentence that stands out, and stops nothing."""
        self.inputs.view(name, types.Warning(label=text))

    def _check(self, name: str, *checks: Callable[[], object] | None) -> None:
        """The first thing that is wrong with a field; a hidden field is checked, too, where it is given."""
        for check in filter(None, checks):
            if found := problem(check):
                self.wrong[name] = found["error_message"]
                return

    def _invalid(self, name: str) -> dict[str, Any]:
        """What a field says of itself: an empty one is no mistake yet, and is asked for below the form."""
        if name not in self.wrong:
            return {}
        if self.values[name] is False or self.values[name] in EMPTY:
            still_to_give(self.inputs, self.wrong[name])
            return {}
        return {"invalid": True, "error_message": self.wrong[name]}


def check_open(ctx: Any) -> None:
    """Raise InputError where no dataset is open, or what is shown of it is no longer there."""
    see_filters(ctx)
    if ctx.dataset is None:
        raise InputError(NO_DATASET)


def target_of(ctx: Any) -> Any:
    """The collection that a job works on: what the App shows, filters and all, or what was chosen instead."""
    see_filters(ctx)
    return of_one_slice(ctx, ctx.target_view())


def of_one_slice(ctx: Any, samples: Any) -> Any:
    """Of groups, the slice that the App shows; a call from Python says nothing of slices, and gets its groups."""
    is_one = ctx.group_slice and samples.media_type == "group"
    return samples.select_group_slices(ctx.group_slice) if is_one else samples


def by_sight(ctx: Any, samples: Any, fields: Sequence[str]) -> list[str]:
    """Fields in the order in which one means them: what a view filters, what the App shows, then the others."""
    active = list(ctx.active_fields or ())
    filtered = [name for name in fields if is_filtered(samples, name)]
    return list(dict.fromkeys([*filtered, *(name for name in active if name in fields), *fields]))


def field_of_masks(ctx: Any, samples: Any) -> str:
    """The field of masks that one means: filtered, shown, or any. Raises InputError where there is none."""
    return by_sight(ctx, samples, masks_fields(samples))[0]


def source_of_masks(ctx: Any, samples: Any, endings: Sequence[str]) -> str:
    """The field of masks that one means by one that was made of it and has its name with one of some endings."""
    name, fields = field_of_masks(ctx, samples), masks_fields(samples)
    while stems := [name.removesuffix(ending) for ending in endings if name.endswith(ending)]:
        if stems[0] not in fields:
            break
        name = stems[0]
    return name


def masks_fields(samples: Any) -> list[str]:
    """The Detections fields of a collection. Raises InputError where there is none."""
    if not (fields := detections_fields(samples)):
        raise InputError("no field of this dataset holds masks; annotate first")
    return fields


def check_masks_of_images(samples: Any, *, frames: bool = False) -> None:
    """Raise InputError unless a collection's samples are images, or a video's `frames`, with a field of masks."""
    check_whole_images(samples, "this job", frames=frames)
    masks_fields(samples)


COUNTED_FOR_S = 5
"""How long a count holds, in seconds: while one types, it need not be made anew."""
_counts: dict[tuple[str, str, str], tuple[float, int]] = {}


def count(samples: Any, path: str = "") -> int:
    """The samples of a collection, or the masks that it shows at `path`; the same answer for some seconds."""
    view = samples.view()
    key = (str(dataset_id(root_dataset(samples))), json_util.dumps(serialized(view)), path)
    when, count = _counts.get(key, (-math.inf, 0))
    if time.monotonic() - when > COUNTED_FOR_S:
        count = int(view.count(path) if path else view.count())
        if len(_counts) > 64:
            _counts.clear()
        _counts[key] = (time.monotonic(), count)
    return count


def _images(samples: Any) -> str:
    return counted(count(samples), "image")


def given(params: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every parameter: FiftyOne applies no default in a run, and an emptied field is None or ""."""
    return {**defaults, **{name: value for name, value in params.items() if value not in EMPTY}}


def problem(check: Callable[[], object]) -> dict[str, Any]:
    """The `invalid` and `error_message` of a form's field, by what `check` raises."""
    try:
        check()
    except (InputError, MissingDependencyError) as error:
        return {"invalid": True, "error_message": str(error)}
    return {}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def refusal(inputs: types.Object, sentence: str) -> None:
    """The one sentence that stands where a form cannot be offered; it cannot be submitted."""
    about = {"invalid": True, "error_message": sentence}
    inputs.view("refusal", types.Warning(label=_sentence(sentence)), **about)


def still_to_give(inputs: types.Object, sentence: str) -> None:
    """What has to be given before a form can be submitted, in no colour of alarm: nobody has done anything wrong."""
    if before := inputs.properties.get(STILL_TO_GIVE):
        sentence = f"{before.error_message}; {sentence}"
    about = {"invalid": True, "error_message": sentence}
    inputs.view(STILL_TO_GIVE, types.Notice(label=_sentence(sentence)), **about)


def first_problem(form: types.Property) -> str | None:
    """What a form says of the first value that is wrong, if any is."""
    fields = form.type.properties.values()
    return next((field.error_message for field in fields if field.invalid), None)


def say_by_labels(inputs: types.Object) -> None:
    """Put what a form says is wrong in words of its own fields: a person in the App has no `overwrite=True` to pass."""
    fields = inputs.properties
    labels = {name: repr(field.view.label) for name, field in fields.items() if field.view and field.view.label}
    if "masks" in fields:
        labels["masks_field"] = labels["masks"]  # Python's name of a field that is chosen there
    any_of = "|".join(labels)
    for field in fields.values():
        if field.invalid:
            told = re.sub(
                rf"(?:pass )?\b({any_of})=True", lambda found: f"tick {labels[found[1]]}", field.error_message
            )
            told = re.sub(rf"\b({any_of})=('[^']*')", lambda found: f"{found[2]} under {labels[found[1]]}", told)
            told = re.sub(rf"\bpass ({any_of})\b", lambda found: f"choose {labels[found[1]]}", told)
            told = re.sub(rf"^({any_of})(?= must )", lambda found: labels[found[1]], told)
            told = re.sub(rf"another ({any_of})\b", lambda found: f"another {labels[found[1]]}", told)
            if field.view and field.view.label == _sentence(field.error_message):
                field.view = type(field.view)(label=_sentence(told))
            field.error_message = told


def choice(inputs: types.Object, name: str, values: Sequence[str], *, default: str | None = None, **about: Any) -> None:
    """A drop-down of `values`."""
    dropdown = types.DropdownView()
    for value in values:
        dropdown.add_choice(value, label=value)
    inputs.enum(name, dropdown.values(), default=default, view=dropdown, **about)
