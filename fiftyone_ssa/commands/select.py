"""`fiftyone-ssa select` and `corrections`: masks of Parquet labels into FiftyOne, and people's changes back."""

from __future__ import annotations

import argparse
from typing import Any

from fiftyone_ssa.commands.terminal import FAILED, list_errors, number, say_line


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add both commands to the parser's."""
    _add_select(commands.add_parser("select", parents=[shared], help="masks of Parquet labels by an SQL condition"))
    _add_corrections(
        commands.add_parser("corrections", parents=[shared], help="what people changed of them, back as a layer")
    )


def _add_select(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("out", metavar="OUT", help="the folder that annotate --format parquet wrote")
    add("--where", default="true", metavar="SQL", help="as \"label = 'car' and confidence > .6\" (default: all masks)")
    add("--limit", type=number, metavar="N", help="at most so many masks")
    add("--sample", default="uniform", metavar="uniform|first|margin", help="which of them (default: %(default)s)")
    add("--per-class", type=number, metavar="N", help="at most so many masks of each label")
    add("--near", metavar="IMAGE_ID:MASK_ID", help="those that look most like this mask, by their embeddings")
    add("--seed", type=number, default=51, metavar="N", help="of uniform (default: %(default)s)")
    add("--to-dataset", metavar="NAME", help="put them into a new FiftyOne dataset (default: count and show some)")
    add("--label-field", default="ssa", metavar="F", help="its field (default: %(default)s)")
    add("--media-dir", metavar="DIR", help="where images from tars go (default: below FiftyOne's dataset folder)")
    parser.set_defaults(command=_select)


def _add_corrections(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("dataset", metavar="DATASET", help="a FiftyOne dataset that select made")
    add("--label-field", default="ssa", metavar="F", help="its masks (default: %(default)s)")
    add("--overwrite", action="store_true", help="also masks about which another dataset returned something since")
    add("--dry-run", action="store_true", help="say what would be returned")
    parser.set_defaults(command=_corrections)


def _select(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.scale.query import Output
    from fiftyone_ssa.scale.sampling import Sample
    from fiftyone_ssa.scale.selecting import choose

    sample = Sample(arguments.sample, arguments.limit, arguments.per_class, arguments.near, arguments.seed)
    with Output(arguments.out) as output:
        selection = choose(output, arguments.where, sample)
        say_line(selection)
        if arguments.to_dataset is None:
            for row in selection.first(10):
                say_line("  ".join("-" if value is None else f"{value}" for value in row.values()))
            return 0
        from fiftyone_ssa.scale.loading import load

        done = load(selection, arguments.to_dataset, arguments.label_field, arguments.media_dir, persistent=True)
    say_line(done)
    list_errors(done.errors)
    return FAILED if done.errors else 0


def _corrections(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.labels.repaint import collection
    from fiftyone_ssa.scale.returning import return_corrections

    done = return_corrections(
        collection(arguments.dataset, "return corrections of"),
        arguments.label_field,
        overwrite=arguments.overwrite,
        dry_run=arguments.dry_run,
    )
    say_line(done)
    list_errors(done.errors)
    return FAILED if done.errors else 0
