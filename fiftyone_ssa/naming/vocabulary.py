"""A user's own names, from a text file or as they stand."""

from __future__ import annotations

from pathlib import Path

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.files.regular import regular_size
from fiftyone_ssa.layouts.class_names import is_one_line

MAX_BYTES = 10_000_000
"""A million names; CLIP reads each of them before the first image."""
EXPECTED = "give a UTF-8 text file, one name a line, or the names themselves, a comma or a line break after each"


def read_vocabulary(given: str | Path) -> tuple[str, ...]:
    """The distinct names of a UTF-8 text file, one a line, or of a text with a line break, which is the names itself.

    Raises InputError if the file cannot be read, or where there is no name.
    """
    if isinstance(given, str) and "\n" in given:
        return _names(given, "")
    path = Path(given)
    try:
        size = regular_size(path)
    except InputError as error:
        raise InputError(f"the vocabulary {error}; {EXPECTED}") from error
    if size > MAX_BYTES:
        raise InputError(f"the vocabulary {path} is larger than {MAX_BYTES:,} bytes; {EXPECTED}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the vocabulary {path}: {error}; {EXPECTED}") from error
    return _names(text, f" {path}")


def _names(text: str, where: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name for line in text.splitlines() if (name := line.strip())))
    if not names:
        raise InputError(f"the vocabulary{where} holds no name; {EXPECTED}")
    if len(names) == 1 and "," in names[0]:
        raise InputError(f"the vocabulary{where} is one name, {shown(names[0])}; {EXPECTED}")
    if wrong := [name for name in names if not is_one_line(name)]:
        raise InputError(f"the vocabulary{where} holds {shown(wrong[0])}, which has control characters; {EXPECTED}")
    return names
