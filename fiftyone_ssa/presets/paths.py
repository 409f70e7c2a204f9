"""What a setting's text names on this machine's disk: a model's folder or file, a factory's file, or nothing."""

from __future__ import annotations

import re
from pathlib import Path

FACTORY = re.compile(r"^(?!local-dir:)(?P<module>[\w.]+|.+\.py):(?P<name>[A-Za-z_]\w*)$")
"""`"module:factory"`, or `"file.py:factory"`: a part of the user's own."""


def existing(text: str | Path) -> Path | None:
    """The file or folder that `text` names, `~` spelled out; None where there is none or it can be no path at all."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # a name too long, no such user's home, a zero byte
        return None


def module_file(folder: Path, module: str) -> Path | None:
    """The file of a dotted module below a folder: `a/b.py` or `a/b/__init__.py`."""
    path = "/".join(module.split("."))
    return existing(folder / f"{path}.py") or existing(folder / path / "__init__.py")


def resolved(text: str, folder: Path) -> str:
    """`text` with the path in it made absolute, where it names something below `folder`; ids stay as they are."""
    if factory := FACTORY.match(text):
        module = factory["module"]
        source = existing(folder / module) if module.endswith(".py") else module_file(folder, module)
        source = source or (existing(module) if module.startswith("~") else None)
        if source is not None and source.is_file():
            return f"{source.resolve()}:{factory['name']}"  # so that any process can build it
    prefix, weights = _with_weights(text, folder)
    if weights is not None:
        return f"{prefix}{weights.resolve()}"
    prefix = "local-dir:" if text.startswith("local-dir:") else ""
    try:
        path = folder / Path(text.removeprefix(prefix)).expanduser()
        explicit = bool(prefix) or text.startswith(("./", "../", "~"))
        return f"{prefix}{path.resolve()}" if explicit or path.exists() else text
    except (OSError, RuntimeError, ValueError):
        return text  # whoever loads it says that it is not there


def _with_weights(text: str, folder: Path) -> tuple[str, Path | None]:
    """`architecture:` and the weights file below `folder` that follows it, if there is one."""
    architecture, colon, file = text.partition(":")
    if not colon or "/" in architecture or architecture in ("local-dir", "hf-hub"):
        return text, None
    path = existing(file) if file.startswith("~") else existing(folder / file)
    return f"{architecture}:", path if path is not None and path.is_file() else None
