"""`fiftyone-ssa export`: masks of a FiftyOne dataset or of a folder of results, for other tools."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from fiftyone_ssa.commands.terminal import FAILED, list_errors, number, say_line
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.formats import FORMATS


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("export", parents=[shared], help="masks with their names in formats that others read")
    add = parser.add_argument
    add(
        "source",
        metavar="DATASET|RESULTS_DIR",
        help="a FiftyOne dataset, or a folder that annotate wrote, JSON or Parquet",
    )
    add("export_dir", metavar="OUT_DIR", help="a new or empty folder, or one of an earlier export of the format")
    add("--format", default="coco", metavar="FORMAT", help=f"{', '.join(FORMATS)} (default: %(default)s)")
    add("--label-field", default="ssa", metavar="F", help="the dataset's masks (default: %(default)s)")
    add("--view", metavar="NAME", help="a saved view of the dataset (default: all of it)")
    add(
        "--data-dir",
        metavar="DIR",
        help="the images of RESULTS_DIR (default: beside it), or for those in tars",
    )
    add("--export-media", default="copy", metavar="copy|symlink|none", help="the images (default: %(default)s)")
    add("--classes", metavar="a,b,c", help="these names only, in the order of their ids")
    add("--categories", metavar="FILE.json", help="ids that stay; new names are added to the file")
    add("--ontology", metavar="FILE.toml", help="the classes, their ids and what means them; others are left out")
    add("--splits", metavar="train=0.8,val=0.2|FIELD", help="by share, or by a field of texts")
    add("--seed", type=number, default=51, metavar="N", help="of splits by share (default: %(default)s)")
    add("--min-confidence", type=_share, default=0.0, metavar="C", help="masks below are left out")
    add("--min-area", type=number, default=1, metavar="PX", help="masks of fewer pixels are left out")
    add("--reviewed-only", action="store_true", help="masks that nobody reviewed are left out")
    add(
        "--fail-on-loss",
        nargs="?",
        const=True,
        default=False,
        type=_share,
        metavar="IOU",
        help="write nothing, and end with 1, if a mask would be read back with other pixels (or an IoU below IOU)",
    )
    add("--overwrite", action="store_true", help="replace the export that stands in OUT_DIR")
    add("--option", "-o", action="append", default=[], metavar="KEY=VALUE", help="of the format, as encoding=ade20k")
    parser.set_defaults(command=_export)


def _export(arguments: argparse.Namespace) -> int:
    from fiftyone_ssa.exports.exporting import export
    from fiftyone_ssa.exports.loss import LossError
    from fiftyone_ssa.exports.splits import read_splits

    try:
        done = export(
            _source(arguments.source, arguments.view),
            arguments.export_dir,
            format=arguments.format,
            label_field=arguments.label_field,
            export_media=arguments.export_media,
            data_dir=arguments.data_dir,
            classes=arguments.classes.split(",") if arguments.classes else None,
            categories=arguments.categories,
            ontology=arguments.ontology,
            splits=read_splits(arguments.splits) if arguments.splits else None,
            seed=arguments.seed,
            min_confidence=arguments.min_confidence,
            min_area_px=arguments.min_area,
            unreviewed=not arguments.reviewed_only,
            fail_on_loss=arguments.fail_on_loss,
            overwrite=arguments.overwrite,
            **_options(arguments.option),
        )
    except LossError as error:
        say_line(f"fiftyone-ssa: {error}", sys.stderr)
        for worst in error.report.worst[:20]:
            say_line(f"IoU {worst.iou:.3f} {worst.name} (label {worst.label_id}, sample {worst.sample_id})", sys.stderr)
        return FAILED
    say_line(done)
    list_errors({**done.mask_errors, **done.errors})
    return FAILED if done.errors or done.mask_errors else 0


def _source(name: str, view: str | None) -> Any:
    """A folder that is there, or in a store, or else the dataset of a name."""
    is_url = "://" in name
    if is_url or Path(name).is_dir():
        if view is not None:
            raise InputError(f"{name} is a folder, which has no views; leave --view out")
        return name if is_url else Path(name)
    from fiftyone_ssa.labels.database import needs_database
    from fiftyone_ssa.labels.repaint import collection

    with needs_database():
        dataset = collection(name, "export")
        if view is not None and not dataset.has_saved_view(view):
            known = ", ".join(dataset.list_saved_views()) or "none"
            raise InputError(f"{name!r} has no saved view {view!r}; it has {known}")
        return dataset if view is None else dataset.load_saved_view(view)


def _options(pairs: list[str]) -> dict[str, Any]:
    """Options of a format, true, false and whole numbers as such."""
    known = {"true": True, "false": False}
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise InputError(f"--option must be KEY=VALUE, got {pair!r}")
        found[key] = known.get(value.lower(), int(value) if value.lstrip("-").isdigit() else value)
    return found


def _share(text: str) -> float | str:
    """A number; what is none is left to the library, which refuses it in the words that Python's users get."""
    try:
        return float(text)
    except ValueError:
        return text
