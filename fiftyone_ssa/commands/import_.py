"""`fiftyone-ssa import`: masks of other tools into FiftyOne, and what people corrected there back into a dataset."""

from __future__ import annotations

import argparse
from typing import Any

from fiftyone_ssa.commands.terminal import FAILED, list_errors, say_line
from fiftyone_ssa.errors import InputError


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "import", parents=[shared], help="masks of other tools into a FiftyOne dataset, or back with who changed what"
    )
    add = parser.add_argument
    add("dataset_dir", metavar="DIR|FILE", help="the data set, or what the annotation tool exported")
    add("dataset", metavar="DATASET", help="a FiftyOne dataset by name; a new one where there is none")
    add("--format", default="coco", metavar="FORMAT", help="see docs/export.md (default: %(default)s)")
    add("--label-field", metavar="F", help="the field (default: imported, with --corrections ssa)")
    add("--data-dir", metavar="DIR", help="the images of the data set (default: where its format has them)")
    add("--overwrite", action="store_true", help="fill a field that exists; with --corrections: what people decided")
    back = parser.add_argument_group("masks that were exported, and corrected by people (docs/annotation-tools.md)")
    back.add_argument("--corrections", action="store_true", help="compare with what was exported from --label-field")
    back.add_argument("--by", metavar="NAME", help="who corrected, where the file does not say it")
    back.add_argument("--accept", action="store_true", help="masks that came back unchanged count as accepted")
    back.add_argument("--dry-run", action="store_true", help="say what would change")
    parser.set_defaults(command=_import)


def _import(arguments: argparse.Namespace) -> int:
    return _corrections(arguments) if arguments.corrections else _labels(arguments)


def _labels(arguments: argparse.Namespace) -> int:
    import fiftyone as fo

    from fiftyone_ssa.exports.importing import import_labels
    from fiftyone_ssa.labels.database import needs_database

    for name in ("by", "accept", "dry_run"):
        if getattr(arguments, name):
            raise InputError(f"--{name.replace('_', '-')} goes with --corrections")
    with needs_database():
        is_new = not fo.dataset_exists(arguments.dataset)
    done = import_labels(
        arguments.dataset_dir,
        format=arguments.format,
        dataset=arguments.dataset,
        label_field=arguments.label_field or "imported",
        data_dir=arguments.data_dir,
        overwrite=arguments.overwrite,
    )
    if is_new:
        done.dataset.persistent = True
    say_line(done)
    list_errors(done.errors)
    return FAILED if done.errors else 0


def _corrections(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.exports.bringing_back import import_corrections
    from fiftyone_ssa.labels.database import needs_database
    from fiftyone_ssa.labels.repaint import collection

    with needs_database():
        dataset = collection(arguments.dataset, "bring corrections back to")
    done = import_corrections(
        dataset,
        arguments.dataset_dir,
        arguments.label_field or "ssa",
        format=arguments.format,
        data_dir=arguments.data_dir,
        by=arguments.by,
        accept=arguments.accept,
        overwrite=arguments.overwrite,
        dry_run=arguments.dry_run,
    )
    say_line(done)
    list_errors(done.problems)
    return FAILED if done.problems else 0
