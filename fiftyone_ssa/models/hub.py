"""Loading models by id or folder, with one clear sentence when that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fiftyone_ssa.errors import InputError


@contextmanager
def loading(model: str, what: str) -> Iterator[None]:
    """Turn a failure to load `model` (a Hugging Face id or a folder) into an InputError that says how to mend it."""
    folder = Path(model).expanduser()
    local = folder.exists() or model.startswith(("/", "./", "../", "~"))
    if local and not folder.exists():
        raise InputError(f"cannot load {what}: {model} does not exist; give a model folder or a Hugging Face id")
    if local and folder.is_dir() and not (folder / "config.json").is_file():
        raise InputError(f"cannot load {what}: {model} is not a model folder, it holds no config.json")
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        if local:
            remedy = "check the folder, or give another one"
        elif isinstance(error, ImportError):
            remedy = "install what is missing"
        else:
            remedy = (
                f"get it with `hf download {model}` where the Hugging Face hub can be reached, "
                "or give the path of a local folder"
            )
        raise InputError(f"cannot load {what} {model}: {remedy} ({type(error).__name__}: {reason})") from error
