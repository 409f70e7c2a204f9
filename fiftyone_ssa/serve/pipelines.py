"""One preset's models, asked in several ways: for pictures that bring their masks, and for the names of a request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.layouts.class_names import is_one_line
from fiftyone_ssa.naming.engine import Engine
from fiftyone_ssa.naming.run import Pipeline
from fiftyone_ssa.naming.ssa import SSA
from fiftyone_ssa.presets import Preset
from fiftyone_ssa.serve.labeller import Kind

KEPT = 8
"""Vocabularies whose names stay embedded; the longest unused go first."""
LONGEST_NAME = 100


class Pipelines:
    """The pipeline for each kind of request, all of the same models. Called by the labelling thread alone."""

    def __init__(self, pipeline: Pipeline, preset: Preset) -> None:
        """`pipeline` is what `build_pipeline` made of `preset`, or any other one, which then is asked as it is."""
        self._pipeline, self.preset = pipeline, preset
        self._made: OrderedDict[Kind, Pipeline] = OrderedDict()

    @property
    def makes_masks(self) -> bool:
        """Whether pictures may come without masks."""
        return getattr(self._pipeline, "generator", None) is not None

    @property
    def takes_masks(self) -> bool:
        """Whether pictures may come with masks."""
        return isinstance(self._pipeline, SSA | Engine)

    @property
    def takes_names(self) -> bool:
        """Whether a request may bring names of its own."""
        return isinstance(self._pipeline, Engine)

    def check(self, kind: Kind) -> None:
        """Raise InputError where the preset cannot do what a request asks for."""
        if kind.has_masks and not self.takes_masks:
            raise InputError(f"{self.preset.name} takes no masks; send the picture alone")
        if not kind.has_masks and not self.makes_masks:
            raise InputError(f"{self.preset.name} makes no masks: send SA-1B style JSON with the picture, as `masks`")
        if kind.vocabulary and not self.takes_names:
            raise InputError(
                f"{self.preset.name} knows the classes of its segmenter only; leave `vocabulary` out, or start the "
                "service with an engine preset"
            )
        if kind.only and not kind.vocabulary:
            raise InputError("`only` needs a `vocabulary`: without one there is nothing to choose from")

    def __call__(self, kind: Kind) -> Pipeline:
        """The pipeline that does what is asked."""
        if not kind.vocabulary and (not kind.has_masks or not self.makes_masks):
            return self._pipeline
        if kind not in self._made:
            self._made[kind] = _variant(self._pipeline, kind)
        self._made.move_to_end(kind)
        while len(self._made) > KEPT:
            self._made.popitem(last=False)
        return self._made[kind]


def _variant(pipeline: Pipeline, kind: Kind) -> Pipeline:
    """The same models, asked otherwise."""
    if isinstance(pipeline, SSA):
        return pipeline.for_given_masks()  # Pipelines.check lets no names get here
    assert isinstance(pipeline, Engine)  # nor any other pipeline
    return pipeline.asked_for(kind.vocabulary, only=kind.only, given_masks=kind.has_masks)


def names_of(text: str | Sequence[str], most: int) -> tuple[str, ...]:
    """The distinct names of a request's vocabulary: a list, or a text with commas or line breaks between them.

    Raises InputError for more than `most`, names longer than 100 characters or with control characters.
    """
    parts = text.replace("\n", ",").split(",") if isinstance(text, str) else text
    names = tuple(dict.fromkeys(name for part in parts if (name := " ".join(str(part).split()))))
    if len(names) > most:
        raise InputError(f"the vocabulary holds {len(names):,} names, at most {most:,} are taken")
    if wrong := [name for name in names if not is_one_line(name)]:
        raise InputError(f"a name has no control characters, got {shown(wrong[0])}")
    if too_long := [name for name in names if len(name) > LONGEST_NAME]:
        raise InputError(f"a name has at most {LONGEST_NAME} characters, got {shown(too_long[0])}")
    return names
