"""`fiftyone-ssa ontology`: classes suggested from the names of a dataset's masks, applied to them, and taken back."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fiftyone_ssa.commands.terminal import FAILED, list_errors, number, say_line
from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.layouts.ontology import Ontology


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("ontology", help="your classes from the names of a FiftyOne dataset's masks")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    suggest = verbs.add_parser("suggest", parents=[shared], help="write a file of classes, to be edited")
    apply = verbs.add_parser("apply", parents=[shared], help="give the masks their classes, by what was proposed")
    undo = verbs.add_parser("undo", parents=[shared], help="take the last one back that was applied")
    for verb in (suggest, apply, undo):
        verb.add_argument("dataset", metavar="DATASET", help="the name of a FiftyOne dataset")
    for verb in (suggest, apply):
        verb.add_argument("file", type=Path, metavar="FILE.toml", help="the ontology")
        verb.add_argument("--label-field", default="ssa", metavar="F", help="the masks (default: %(default)s)")
        verb.add_argument("--others", metavar="NAME", help="the name of what means no class (default: its own)")
    for verb in (apply, undo):
        verb.add_argument(
            "--to", required=True, metavar="FIELD", help="a new field, or F.detections.NAME, an attribute of the masks"
        )
    suggest.add_argument("--min-masks", type=number, default=1, metavar="N", help="of a class (default: %(default)s)")
    suggest.add_argument("--class-filter", metavar="PRESET", help="an engine preset whose class filter compares names")
    suggest.add_argument("--join", action="store_true", help="put together what may be the same, too")
    suggest.add_argument("--overwrite", action="store_true", help="replace the file")
    apply.add_argument("--min-share", type=float, metavar="X", help="what a class needs of the best name's score")
    apply.add_argument("--overwrite", action="store_true", help="replace what the field holds; people's work stays")
    apply.add_argument("--dry-run", action="store_true", help="only count, write nothing")
    undo.add_argument("--token", metavar="T", help="of the one to take back (default: the last)")
    suggest.set_defaults(command=_suggest)
    apply.set_defaults(command=_apply)
    undo.set_defaults(command=_undo)


def _suggest(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.labels.repaint import collection
    from fiftyone_ssa.layouts.ontology_suggested import with_joined

    if arguments.file.exists() and not arguments.overwrite:
        raise InputError(f"{arguments.file} is there already; name another file, or add --overwrite")
    found = Ontology.suggest(
        collection(arguments.dataset, "suggest classes for"),
        arguments.label_field,
        others=arguments.others,
        min_masks=arguments.min_masks,
        class_filter=arguments.class_filter,
    )
    if arguments.join:
        found = with_joined(found)
    found.save(arguments.file)
    names = sum(len(entry.counts) for entry in found.classes)
    unsure = sum(len(entry.maybe) for entry in found.classes)
    told = f"; {unsure} may be the same as others: see maybe" if unsure else ""
    say_line(f"{arguments.file}: {counted(names, 'name')} in {counted(len(found.classes), 'class')}{told}")
    return 0


def _apply(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.labels.repaint import collection

    ontology = Ontology.load(arguments.file)
    done = (ontology.with_others(arguments.others) if arguments.others else ontology).apply(
        collection(arguments.dataset, "apply classes to"),
        arguments.label_field,
        to=arguments.to,
        overwrite=arguments.overwrite,
        dry_run=arguments.dry_run,
        **({} if arguments.min_share is None else {"min_share": arguments.min_share}),
    )
    say_line(done)
    list_errors(done.errors)
    return FAILED if done.errors else 0


def _undo(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.curation.ontology_journal import undo_ontology
    from fiftyone_ssa.labels.repaint import collection

    say_line(undo_ontology(collection(arguments.dataset, "take classes back of"), arguments.to, arguments.token))
    return 0
