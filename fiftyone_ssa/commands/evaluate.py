"""`fiftyone-ssa evaluate`: mIoU of results against ground truth."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from fiftyone_ssa.commands.terminal import FAILED, number, say


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("evaluate", parents=[shared], help="mIoU of results against ground truth")
    add = parser.add_argument
    add("results_dir", metavar="RESULTS_DIR", help="a folder that annotate wrote")
    add("gt_dir", metavar="GT_DIR", help="ground truth images under the same sub-folders")
    add("--dataset", choices=["ade20k", "cityscapes", "foggy-driving"], help="classes and file names")
    add(
        "--classes",
        type=Path,
        metavar="FILE",
        help="your own classes instead: a name a line in id order, or JSON {value or #rrggbb: name}; "
        "with --dataset, those of its classes that are scored",
    )
    add("--only-annotated", action="store_true", help="leave images without a result out, instead of as misses")
    add("--workers", type=number, default=1, metavar="N", help="processes that compare (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the scores there, as fractions")
    parser.set_defaults(command=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.files.atomic import write_whole
    from fiftyone_ssa.folders.evaluate import evaluate_files

    scores = evaluate_files(
        arguments.results_dir,
        arguments.gt_dir,
        arguments.dataset,
        classes=arguments.classes,
        only_annotated=arguments.only_annotated,
        workers=arguments.workers,
    )
    say(scores)
    if arguments.json:
        write_whole(arguments.json, (json.dumps(scores.to_json(), indent=1) + "\n").encode())
    return FAILED if scores.errors else 0
