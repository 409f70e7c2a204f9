"""Arguments that several calls share, checked once: the command, Python and the App's forms refuse the same ones.

Each function returns the value to use, or raises an InputError that says what was expected and what came. None of
them loads torch: whether a device is there is asked when models are loaded.
"""

from __future__ import annotations

import operator
import os
import re
import warnings
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError, shown

DTYPES = ("auto", "float32", "bfloat16", "float16")
LARGEST_WORKERS = 64
"""Processes of one machine."""
LARGEST_BATCH = 65536
_FLAGS = ("bool", "bool_")
"""Python's and numpy's; by name, so that a command's help needs no numpy."""


def check_batch_size(value: Any) -> int:
    """Images at a time, 1 to 65536."""
    return check_count("batch_size", value, most=LARGEST_BATCH)


def check_limit(value: Any) -> int | None:
    """At most so many images; None for all."""
    return None if value is None else check_count("limit", value)


def check_count(name: str, value: Any, *, most: int = 2**62) -> int:
    """A whole number from 1 to `most`; True, "4" and 4.0 are none."""
    try:
        number = 0 if type(value).__name__ in _FLAGS else operator.index(value)
    except TypeError:
        number = 0
    if not 1 <= number <= most:
        upper = f"from 1 to {most}" if most < 2**62 else "above 0"
        raise InputError(f"{name} must be a whole number {upper}, got {shown(value)}")
    return number


def check_flag(name: str, value: Any) -> bool:
    """True or False; a word such as "no" would count as True, so it is refused."""
    if type(value).__name__ not in _FLAGS:
        raise InputError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def check_device(value: Any) -> str:
    """`auto`, `cpu`, `cuda`, `cuda:N` or `mps`, as a string or a torch.device."""
    text = str(value) if type(value).__name__ == "device" else value
    if not isinstance(text, str) or not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,4})?", text):
        raise InputError(f"device must be auto, cpu, cuda, cuda:N or mps, got {shown(value)}")
    return text


def check_dtype(value: Any) -> str:
    """One of `DTYPES`."""
    if value not in DTYPES:
        raise InputError(f"dtype must be one of {', '.join(DTYPES)}, got {shown(value)}")
    return str(value)


def check_path(name: str, value: Any) -> Path:
    """A path that the system can look at, whether or not something is there; `~` is the home folder."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str) or not os.fspath(value):
        raise InputError(f"{name} must be a path, got {shown(value)}")
    path = Path(value)
    try:
        path.lstat()
    except FileNotFoundError:
        return _at_home(name, path)
    except NotADirectoryError:
        return path
    except (OSError, ValueError) as error:  # too long, no permission on the way, a zero byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{name} is no path that can be used: {reason}: {shown(value)}") from error
    return path


def _at_home(name: str, path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise InputError(
            f"{name} {shown(str(path))} cannot be found: there is no such user; write the whole path"
        ) from error


def renamed(old: str, old_value: Any, new: str, new_value: Any) -> Any:
    """The value of an argument that may still be given by its former name."""
    if old_value is None:
        return new_value
    if new_value is not None:
        raise InputError(f"{old} is the former name of {new}; leave it out")
    warnings.warn(f"{old} is called {new} now", DeprecationWarning, stacklevel=4)
    return old_value
