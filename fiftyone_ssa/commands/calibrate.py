"""`fiftyone-ssa calibrate`: confidences of a FiftyOne dataset fitted to its truth."""

from __future__ import annotations

import argparse
from typing import Any

from fiftyone_ssa.commands.terminal import FAILED, list_errors, say_line


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "calibrate", parents=[shared], help="confidences of a FiftyOne dataset fitted to its truth"
    )
    add = parser.add_argument
    add("dataset", metavar="DATASET", help="the name of a FiftyOne dataset")
    add("--label-field", default="ssa", metavar="F", help="its labels, whose later runs use it (default: %(default)s)")
    add("--gt-field", default="ground_truth", metavar="F", help="the truth: class maps or masks (default: %(default)s)")
    add("--preset", metavar="P", help="fit the weights of this engine preset's fused decision, too; it looks again")
    add("--device", default="auto", metavar="D", help="of that preset's models (default: %(default)s)")
    parser.set_defaults(command=_calibrate)


def _calibrate(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.labels.calibration import calibrate
    from fiftyone_ssa.labels.repaint import collection

    done = calibrate(
        collection(arguments.dataset, "calibrate"),
        arguments.label_field,
        arguments.gt_field,
        preset=arguments.preset,
        device=arguments.device,
    )
    say_line(done)
    list_errors(done.errors)
    return FAILED if done.errors else 0
