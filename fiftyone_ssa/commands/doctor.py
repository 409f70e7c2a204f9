"""`fiftyone-ssa doctor`: check the installation, and say what mends it."""

from __future__ import annotations

import argparse
from typing import Any

from fiftyone_ssa.commands.terminal import FAILED, say


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("doctor", parents=[shared], help="check the installation, and say what mends it")
    parser.set_defaults(command=_doctor)


def _doctor(_: argparse.Namespace) -> int:
    from fiftyone_ssa.doctor import examine

    healthy = True
    for check in examine():
        say(check)
        healthy &= check.ok or not check.required
    return 0 if healthy else FAILED
