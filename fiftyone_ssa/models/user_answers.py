"""What a user's own code answers, checked in one place, with one sentence each that names the code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fiftyone_ssa.errors import InputError


def answers_of(what: str, ask: Callable[..., Any], items: Sequence[Any], kind: str, item: str) -> list[Any]:
    """What `ask(list of items)` answers, one of a `kind` for each `item`; InputError if it is no such list.

    `what` names the code ("mine:build"). An exception of the code stays what it is: it is that image's failure.
    """
    return checked_answers(what, lambda: ask(list(items)), len(items), kind, item)


def checked_answers(what: str, ask: Callable[[], Any], count: int, kind: str, item: str) -> list[Any]:
    """What `ask()` answers, as `answers_of` checks it."""
    try:
        answers = ask()
    except SystemExit as error:  # it would end the run, and say nothing
        raise InputError(f"{what} called sys.exit({error}) instead of answering; raise an error") from error
    article = "an" if item[0] in "aeiou" else "a"
    if isinstance(answers, str | bytes | dict | set) or not hasattr(answers, "__iter__"):
        raise InputError(f"{what} must answer a list of {kind}, one {article} {item}, got a {type(answers).__name__}")
    listed = list(answers)
    if len(listed) != count:
        raise InputError(f"{what} answered {len(listed)} {kind} for {count} {item}s; one each is expected")
    return listed


def array_of(answer: object, dtype: Any = None) -> npt.NDArray[Any] | None:
    """What a user answered as an array that torch takes, tensors of any device too; None where it is none.

    Views that are turned, mirrored, read-only or of another byte order are copied.
    """
    try:
        array = np.asarray(_from_torch(answer), dtype)
        return np.require(array, array.dtype.newbyteorder("="), ["C", "W"])
    except (TypeError, ValueError, RuntimeError):  # a ragged list, say
        return None


def _from_torch(answer: Any) -> Any:
    """A tensor, or a list of them, as numpy takes it: without gradients, on the CPU, no bfloat16."""
    if isinstance(answer, list) and any(isinstance(each, torch.Tensor) for each in answer):
        return [_from_torch(each) for each in answer]
    if not isinstance(answer, torch.Tensor):
        return answer
    return (answer.float() if answer.dtype == torch.bfloat16 else answer).detach().cpu()


def described(answer: object) -> str:
    """An answer's shape and type, for a sentence."""
    array = array_of(answer)
    return f"a {type(answer).__name__}" if array is None else f"{array.shape} {array.dtype}"
