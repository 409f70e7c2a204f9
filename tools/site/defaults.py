"""What griffe makes of our docstrings: `name (default): ...` is a default, which the signature tells already."""

from __future__ import annotations

import re
from typing import Any

import griffe

ARGUMENT = re.compile(r"^(\s+\*{0,2}\w+) \([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\): ", re.MULTILINE)


class Defaults(griffe.Extension):
    """Takes them out, so that each argument is shown with the type that its signature gives it."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe for every module, class, function and attribute."""
        if obj.docstring and "Args:" in obj.docstring.value:
            obj.docstring.value = ARGUMENT.sub(r"\1: ", obj.docstring.value)
