"""`fiftyone-ssa levels` and `fiftyone-ssa panoptic`: which masks are parts of which, and one segment a pixel."""

from __future__ import annotations

import argparse
from typing import Any

from fiftyone_ssa.commands.terminal import FAILED, list_errors, say_line
from fiftyone_ssa.masks.containment import LEVELS, WHOLE


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add both commands to the parser's."""
    levels = commands.add_parser(
        "levels", parents=[shared], help="whole, part or subpart, of a FiftyOne dataset's masks"
    )
    panoptic = commands.add_parser("panoptic", parents=[shared], help="overlapping masks resolved, one segment a pixel")
    for parser in (levels, panoptic):
        parser.add_argument("dataset", metavar="DATASET", help="the name of a FiftyOne dataset")
        parser.add_argument("--label-field", default="ssa", metavar="F", help="its masks (default: %(default)s)")
    panoptic.add_argument("--ontology", metavar="FILE.toml", help="the classes, and which are stuff")
    panoptic.add_argument(
        "--level", default=WHOLE, choices=LEVELS, help="the finest masks that are segments (default: %(default)s)"
    )
    panoptic.add_argument("--overwrite", action="store_true", help="also segments that people changed")
    levels.set_defaults(command=_levels)
    panoptic.set_defaults(command=_panoptic)


def _levels(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.labels.levels import levels
    from fiftyone_ssa.labels.repaint import collection

    done = levels(collection(arguments.dataset, "sort masks of"), arguments.label_field)
    say_line(done)
    list_errors(done.errors)
    return FAILED if done.errors else 0


def _panoptic(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.labels.panoptic import panoptic
    from fiftyone_ssa.labels.repaint import collection

    samples = collection(arguments.dataset, "resolve masks of")
    rules = {"ontology": arguments.ontology, "level": arguments.level, "overwrite": arguments.overwrite}
    done = panoptic(samples, arguments.label_field, **rules)
    say_line(done)
    list_errors(done.errors)
    return FAILED if done.errors else 0
