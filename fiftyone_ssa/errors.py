"""Errors a user can mend, each with what was expected, what came, and what to do; and how messages write values."""

from __future__ import annotations

from typing import Any


class InputError(ValueError):
    """Bad input: one image, mask file, preset, path or argument that cannot be used as it is."""


class TooLargeError(InputError):
    """A picture has more pixels, or takes more memory, than is taken."""


class OtherSettingsError(InputError):
    """A field holds results of other settings, which a run may not replace unasked."""


class MissingDependencyError(ImportError):
    """A package, model folder or mongod is not installed; the message holds the command that mends it."""


class DeviceLostError(RuntimeError):
    """The GPU answers nothing more in this process; what was done before is kept, and a new process goes on."""


def counted(number: int, noun: str) -> str:
    """A number of things in a message: "1 image", "2,000 images", "3 classes"."""
    ending = "" if number == 1 else "es" if noun.endswith(("s", "ch", "x")) else "s"
    return f"{number:,} {noun}{ending}"


def shown(value: Any, most: int = 80) -> str:
    """A wrong value for an error message: on one line, and not longer than `most` characters."""
    if isinstance(value, int) and abs(value) >= 10**most:
        return f"a number of {value.bit_length()} bits"  # Python refuses to print thousands of digits
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # such a number inside
        return f"a {type(value).__name__} with a number of thousands of digits"
    return text if len(text) <= most else f"{text[: most - 3]}..."


def said_by(error: BaseException, most: int = 300) -> str:
    """What an error says, for a message of ours: on one line, and not longer than `most` characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."
