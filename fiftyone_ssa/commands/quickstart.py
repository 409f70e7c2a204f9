"""`fiftyone-ssa quickstart`: both pipelines on drawn scenes, then the App."""

from __future__ import annotations

import argparse
from typing import Any

from fiftyone_ssa.commands.terminal import FAILED, list_errors, number, say


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("quickstart", parents=[shared], help="both pipelines on drawn scenes, then the App")
    add = parser.add_argument
    add("--no-app", dest="app", action="store_false", help="print the scores and end, without opening the App")
    add("--samples", type=number, default=50, metavar="N", help="scenes to draw (default: %(default)s)")
    add("--device", default="auto", metavar="auto|cpu|cuda:N|mps", help="where models run (default: %(default)s)")
    parser.set_defaults(command=_quickstart)


def _quickstart(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.quickstart.run import open_app, quickstart

    report = quickstart(arguments.samples, device=arguments.device, say=say)
    say(f"\n{report}")
    list_errors(report.errors)
    if arguments.app:
        open_app(say)
    return FAILED if report.errors else 0
