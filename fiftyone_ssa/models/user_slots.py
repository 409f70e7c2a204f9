"""A captioner, class filter or decider of the user's own, behind checks that name it when its answer cannot be used.

Users see numpy arrays, one flat list for each call: groups of tensors are ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.masks import rle
from fiftyone_ssa.models import Question
from fiftyone_ssa.models.factories import call_factory, told
from fiftyone_ssa.models.memo import Memo
from fiftyone_ssa.models.user_answers import answers_of, array_of, checked_answers, described

Embeddings = npt.NDArray[np.float32]
SCALE = 100.0
"""CLIP's own, for a filter that names none."""
LARGEST = 1_000_000
"""Of either number, which evidence is multiplied by and summed with."""
TEXTS_KEPT = 1 << 15


def build_captioner(spec: str) -> UserCaptioner:
    """The captioner that `"module:factory"` builds: `__call__(crops)`. Raises InputError if it is none."""
    return UserCaptioner(_with_methods(spec, "captioner", {"__call__": "crops"}), spec)


def build_class_filter(spec: str, template: str = "{}") -> UserClassFilter:
    """The class filter that `"module:factory"` builds: `images(crops)` and `texts(names)`.

    Raises InputError if it is none.
    """
    return UserClassFilter(_with_methods(spec, "class filter", {"images": "crops", "texts": "names"}), spec, template)


def build_decider(spec: str) -> UserDecider:
    """The decider that `"module:factory"` builds: `__call__(crops, masks, names)`. Raises InputError if it is none."""
    return UserDecider(_with_methods(spec, "decider", {"__call__": "crops, masks, names"}), spec)


def _with_methods(spec: str, what: str, methods: dict[str, str]) -> Any:
    """What a factory builds, if it has `methods` (name to arguments)."""
    built = call_factory(spec, what)
    listed = " and ".join(f"`{name}({arguments})`" for name, arguments in methods.items())
    with told(f"{spec} failed", f"it must build an object with {listed}"):
        complete = not isinstance(built, type) and all(callable(getattr(built, name, None)) for name in methods)
    if not complete:
        got = built.__name__ if isinstance(built, type) else f"a {type(built).__name__}"
        raise InputError(f"{spec} must build a {what}, an object with {listed}; got {got}")
    return built


class UserCaptioner:
    """Checks what a user's captioner answers: a sentence, or a list of names, for each crop.

    With an attribute `only_names = True` it says that there are no sentences to be read.
    """

    def __init__(self, captioner: Callable[..., Any], what: str) -> None:
        self.captioner, self.what = captioner, what
        self.only_names = bool(getattr(captioner, "only_names", False))

    def __call__(self, groups: Sequence[Sequence[torch.Tensor]]) -> list[list[str | tuple[str, ...]]]:
        """One answer for each (h, w, 3) uint8 crop; a list of names comes back as a tuple."""
        return [self._group(crops) if crops else [] for crops in groups]

    def _group(self, crops: Sequence[torch.Tensor]) -> list[str | tuple[str, ...]]:
        answers = answers_of(self.what, self.captioner, _arrays(crops), "captions or lists of names", "crop")
        return [self._checked(answer) for answer in answers]

    def _checked(self, answer: object) -> str | tuple[str, ...]:
        if isinstance(answer, str) and not self.only_names:
            return answer.strip()
        if isinstance(answer, list | tuple) and all(isinstance(name, str) for name in answer):
            return tuple(dict.fromkeys(name.strip() for name in answer if name.strip()))
        kinds = "a list of strings" if self.only_names else "a string or a list of strings"
        raise InputError(f"{self.what} must answer {kinds} for a crop, got {described(answer)}")


class UserClassFilter:
    """Checks what a user's class filter answers: embeddings of one length, which are brought to length 1.

    Its `logit_scale` (100 where it has none) and `logit_bias` (None: softmax; a number: sigmoid) are read once.
    """

    def __init__(self, class_filter: Any, what: str, template: str) -> None:
        self.filter, self.what = class_filter, what
        self.logit_scale = self._number("logit_scale", SCALE)
        self.logit_bias = None if getattr(class_filter, "logit_bias", None) is None else self._number("logit_bias", 0)
        self._width = 0
        self._known = Memo(lambda names: self._texts([template.replace("{}", name) for name in names]), TEXTS_KEPT)

    def images(self, groups: Sequence[Sequence[torch.Tensor]]) -> list[Embeddings]:
        """(N, d) float32 unit embeddings of each group's N (h, w, 3) uint8 crops."""
        ask = self.filter.images
        return [self._unit(ask, _arrays(crops), "crop") if crops else np.zeros((0, 0), np.float32) for crops in groups]

    def texts(self, names: Sequence[str]) -> Embeddings:
        """(N, d) float32 unit embeddings of N names, each asked once a run."""
        return np.stack(self._known(names)) if names else np.zeros((0, 0), np.float32)

    def _texts(self, names: Sequence[str]) -> list[Embeddings]:
        return list(self._unit(self.filter.texts, names, "name"))

    def _unit(self, ask: Callable[..., Any], items: Sequence[Any], item: str) -> Embeddings:
        method = f"{self.what}.{item}".replace(".crop", ".images").replace(".name", ".texts")
        rows = array_of(checked_answers(method, lambda: ask(list(items)), len(items), "embeddings", item), np.float32)
        if rows is None or rows.ndim != 2 or not rows.shape[1] or not np.isfinite(rows).all():
            got = "numbers that are not finite" if rows is not None and rows.ndim == 2 else described(rows)
            raise InputError(f"{method} must answer ({len(items)}, d) finite numbers, got {got}")
        self._width = self._width or rows.shape[1]
        if rows.shape[1] != self._width:
            raise InputError(f"{method} answered embeddings of {rows.shape[1]} numbers, others have {self._width}")
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: Embeddings = rows / np.maximum(lengths, 1e-12, dtype=np.float32)
        return unit

    def _number(self, name: str, default: float) -> float:
        value = getattr(self.filter, name, default)
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):
            number = math.nan
        if not abs(number) <= LARGEST:
            raise InputError(
                f"{self.what}.{name} must be a number from -{LARGEST:,} to {LARGEST:,}, got {shown(value)}"
            )
        return number


class UserDecider:
    """Checks what a user's decider answers: for each question one finite number >= 0 a name, higher is better.

    Or two, inside the mask and outside it, of which `decision = "fused"` takes the difference of the shares.
    """

    def __init__(self, decider: Callable[..., Any], what: str) -> None:
        self.decider, self.what = decider, what

    def __call__(self, groups: Sequence[Sequence[Question]]) -> list[list[npt.NDArray[np.float64]]]:
        """The user's scores; a name without rivals is not asked about."""
        return [self._group(questions) for questions in groups]

    def _group(self, questions: Sequence[Question]) -> list[npt.NDArray[np.float64]]:
        scores = [np.ones(len(question.names)) for question in questions]
        open_ones = [index for index, question in enumerate(questions) if len(question.names) > 1]
        if open_ones:
            asked = [questions[index] for index in open_ones]
            crops = _arrays([question.crop for question in asked])
            masks = [rle.decode_crop(question.rle, question.size_hw, question.crop_xyxy) for question in asked]
            names = [list(question.names) for question in asked]
            answers = checked_answers(
                self.what, lambda: self.decider(crops, masks, names), len(asked), "lists of scores", "crop"
            )
            for index, answer in zip(open_ones, answers, strict=True):
                scores[index] = self._checked(answer, len(questions[index].names))
        return scores

    def _checked(self, answer: object, count: int) -> npt.NDArray[np.float64]:
        values = array_of(answer, np.float64)
        if values is None or values.shape not in ((count,), (count, 2)):
            raise InputError(
                f"{self.what} must answer {count} scores for {count} names, or ({count}, 2), inside the mask and "
                f"outside it; got {described(answer)}"
            )
        if not np.isfinite(values).all() or values.min() < 0:
            raise InputError(f"{self.what} must answer finite non-negative scores; some are not")
        return values


def _arrays(crops: Sequence[torch.Tensor]) -> list[npt.NDArray[np.uint8]]:
    """Copies: users draw on what they are given, and crops of an image share its pixels."""
    return [np.array(crop.cpu()) for crop in crops]
