"""Processes that a module of ours runs in, asked on stdin and answering on stdout; it imports little, as they do."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from subprocess import PIPE, Popen


def imported_from() -> list[str]:
    """The folders that this process imports from; "" stands for the one that it began in."""
    return [folder or str(Path.cwd()) for folder in sys.path]


def begin(module: str, *arguments: str, folders: Iterable[str], variables: Mapping[str, str]) -> Popen[bytes]:
    """Begin `python -m module` in the environment `variables`; it imports from `folders` and what is installed.

    -P: else the folder that the user is in would stand in for libraries.
    """
    return Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=PIPE,
        stdout=PIPE,
        env={**variables, "PYTHONPATH": os.pathsep.join(folders), "PYTHONUTF8": "1"},
    )


def end(process: Popen[bytes]) -> None:
    """End it, whatever it does: it holds nothing that it would have to put away."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # what was still to be written to a process that is gone
                continue
    process.kill()
    process.wait()
