"""`fiftyone-ssa stats`: what an output folder of Parquet labels holds."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fiftyone_ssa.commands.terminal import number, say, say_line
from fiftyone_ssa.naming.arguments import check_count


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("stats", parents=[shared], help="what a folder of Parquet labels holds")
    parser.add_argument("out", metavar="OUT", help="the folder that annotate --format parquet wrote")
    parser.add_argument("--most", type=number, default=20, metavar="N", help="rows of a table (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="all of it as one JSON object")
    parser.set_defaults(command=_stats)


def _stats(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.scale.counting import stats

    most = check_count("most", arguments.most)
    found = stats(arguments.out)
    if arguments.json:
        say(json.dumps(asdict(found), indent=2))
        return 0
    say_line(found)
    for title in ("classes", "sources", "sizes", "failures"):
        _table(title, getattr(found, title), most)
    return 0


def _table(title: str, counts: Mapping[str | None, int], most: int) -> None:
    if not counts:
        return
    say_line(f"{title}:")
    for name, count in list(counts.items())[:most]:
        say_line(f"{count:>14,}  {'(none)' if name is None else name}")
    if len(counts) > most:
        say_line(f"{sum(list(counts.values())[most:]):>14,}  in {len(counts) - most:,} more")
