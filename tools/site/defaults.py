"""What griffe makes of our docstrings: `name (default): ...` is a default, which the signature tells already."""

from __future__ import annotations

import re
from typing import Any

import griffe

ARGUMENT = re.compile(r"^(\s+\*{0,2}\w+) \([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\): ", re.MULTILINE)


class Defaults(griffe.Extension):
    """Takes them out, so that each argument is shown with the type that its signature gives it."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Called by griffe for every function and method."""
        if func.docstring and "Args:" in func.docstring.value:
            func.docstring.value = ARGUMENT.sub(r"\1: ", func.docstring.value)
