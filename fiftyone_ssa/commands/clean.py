"""`fiftyone-ssa clean`: remove files that no label of a dataset uses."""

from __future__ import annotations

import argparse
from typing import Any

from fiftyone_ssa.commands.terminal import say


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("clean", parents=[shared], help="remove files that no label of a dataset uses")
    parser.add_argument("dataset", metavar="DATASET", help="the name of a FiftyOne dataset")
    parser.add_argument("--dry-run", action="store_true", help="only count, remove nothing")
    parser.set_defaults(command=_clean)


def _clean(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.labels.clean import clean

    say(clean(arguments.dataset, dry_run=arguments.dry_run))
    return 0
