"""`fiftyone-ssa annotate`: name every mask of a folder of images."""

from __future__ import annotations

import argparse
from typing import Any

from fiftyone_ssa.commands.terminal import FAILED, add_models, list_errors, number, say_line
from fiftyone_ssa.presets import load_preset, parse_override


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("annotate", parents=[shared], help="name every mask of a folder of images")
    add = parser.add_argument
    add("data_dir", metavar="DATA_DIR", help="a folder of images, sub-folders included, or one image")
    add("out_dir", metavar="OUT_DIR", help="where <stem>_semantic.json goes, sub-folders kept")
    add(
        "--preset",
        required=True,
        metavar="NAME|FILE.toml",
        help="`fiftyone-ssa presets` lists the names; one with module:factory runs that code",
    )
    add_models(parser)
    add("--dtype", default="auto", metavar="auto|float32|bfloat16|float16", help="of models (default: %(default)s)")
    add("--batch-size", type=number, default=4, metavar="N", help="images at a time (default: %(default)s)")
    add("--limit", type=number, metavar="N", help="only the first N images")
    add("--overwrite", action="store_true", help="do finished images again, of other settings, too")
    add("--save-images", action="store_true", help="add <stem>_overlay.jpg, a picture with masks and names")
    add(
        "--save-branch",
        metavar="DIR",
        help="write the segmenter's own class map to another folder, to be evaluated beside the refined one",
    )
    parser.set_defaults(command=_annotate)


def _annotate(arguments: argparse.Namespace) -> int:
    from tqdm.contrib.logging import logging_redirect_tqdm

    from fiftyone_ssa.folders.annotate import annotate_files

    with logging_redirect_tqdm():
        summary = annotate_files(
            arguments.data_dir,
            arguments.out_dir,
            load_preset(arguments.preset, dict(parse_override(text) for text in arguments.set)),
            device=arguments.device,
            dtype=arguments.dtype,
            batch_size=arguments.batch_size,
            limit=arguments.limit,
            overwrite=arguments.overwrite,
            save_images=arguments.save_images,
            branch_dir=arguments.save_branch,
            trust_remote_code=arguments.trust_remote_code,
            say=say_line,
        )
    say_line(summary)
    list_errors(summary.errors)
    return FAILED if summary.errors else 0
