"""JSON files in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError


def read_json(path: str | Path) -> dict[str, Any]:
    """A JSON file that holds an object. Raises InputError if it is missing, damaged or holds something else."""
    path = Path(path)
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a JSON file: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a JSON object, got a {type(content).__name__}")
    return content
