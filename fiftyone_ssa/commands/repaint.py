"""`fiftyone-ssa repaint`: class maps of a FiftyOne dataset from corrected labels."""

from __future__ import annotations

import argparse
from typing import Any

from fiftyone_ssa.commands.terminal import FAILED, add_models, list_errors, say_line
from fiftyone_ssa.presets import parse_override


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "repaint", parents=[shared], help="class maps of a FiftyOne dataset from corrected labels"
    )
    add = parser.add_argument
    add("dataset", metavar="DATASET", help="the name of a FiftyOne dataset")
    add("--label-field", default="ssa", metavar="F", help="its labels (default: %(default)s); F_semantic is painted")
    add(
        "--preset",
        metavar="NAME|FILE.toml",
        help="an SSA preset whose segmenter makes every map to begin with (default: F_branch, or the maps as they are)",
    )
    add_models(parser)
    parser.set_defaults(command=_repaint)


def _repaint(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.labels.repaint import repaint

    done = repaint(
        arguments.dataset,
        arguments.label_field,
        preset=arguments.preset,
        overrides=dict(parse_override(text) for text in arguments.set),
        device=arguments.device,
        trust_remote_code=arguments.trust_remote_code,
    )
    say_line(done)
    list_errors(done.errors)
    return FAILED if done.errors else 0
