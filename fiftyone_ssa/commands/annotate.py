"""`fiftyone-ssa annotate`: name every mask of a folder of images, or of tars of millions."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from fiftyone_ssa.commands.terminal import FAILED, add_models, list_errors, number, say_line
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.presets import load_preset, parse_override

if TYPE_CHECKING:
    from fiftyone_ssa.naming.run import Summary
    from fiftyone_ssa.scale.running import ShardSummary

_BOTH = ("device", "dtype", "batch_size", "overwrite", "trust_remote_code")
_JSON_ONLY = ("limit", "save_images", "save_branch")
_PARQUET_ONLY = ("retry_failed", "embeddings", "ray", "workers", "gpus_per_worker", "decoders", "price")
"""Arguments by the format that has them, as both functions call them."""


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("annotate", parents=[shared], help="name every mask of a folder of images")
    add = parser.add_argument
    add(
        "data",
        nargs="+",
        metavar="DATA",
        help="a folder of images, sub-folders included, or one image; with --format parquet one or several of folders, "
        "tars and Parquet files, by path or URL",
    )
    add("out_dir", metavar="OUT_DIR", help="where <stem>_semantic.json goes, sub-folders kept, or Parquet")
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
    scale = parser.add_argument_group("with --format parquet (docs/scale.md)")
    add = scale.add_argument
    add("--format", choices=("json", "parquet"), default="json", help="of results: a file an image, or a row a mask")
    add("--retry-failed", action="store_true", help="do the images again that failed before")
    add("--embeddings", action="store_true", help="keep what CLIP saw of each mask (engine only)")
    add("--ray", metavar="local|ADDRESS", help="work on Ray: started on this machine, or the cluster at that address")
    add("--workers", type=number, default=1, metavar="N", help="with --ray, how many at a time (default: %(default)s)")
    add(
        "--gpus-per-worker", type=float, default=0.0, metavar="X", help="with --ray; .5 lets two share one (default: 0)"
    )
    add(
        "--decoders",
        type=number,
        metavar="N",
        help="with --ray, tasks of each worker that decode pictures and make rows, a core each, on any node; 0: the "
        "worker's own threads (default: up to 4, as cores are left, where workers have GPUs)",
    )
    add("--price", type=float, default=0.0, metavar="X", help="of a worker an hour, for the cost in progress.jsonl")
    parser.set_defaults(command=_annotate)


def _annotate(arguments: argparse.Namespace) -> int:
    from tqdm.contrib.logging import logging_redirect_tqdm

    with logging_redirect_tqdm():
        summary = _shards(arguments) if arguments.format == "parquet" else _files(arguments)
    say_line(summary)
    list_errors(summary.errors)
    return FAILED if summary.errors else 0


def _files(arguments: argparse.Namespace) -> Summary:
    from fiftyone_ssa.folders.annotate import annotate_files

    given = [f"--{name.replace('_', '-')}" for name in _PARQUET_ONLY if getattr(arguments, name) not in (None, 0, 1)]
    if given or len(arguments.data) > 1:
        raise InputError(f"{given[0] if given else 'several inputs'} can only be had with --format parquet; add it")
    return annotate_files(
        arguments.data[0],
        arguments.out_dir,
        limit=arguments.limit,
        save_images=arguments.save_images,
        branch_dir=arguments.save_branch,
        **_shared(arguments),
    )


def _shards(arguments: argparse.Namespace) -> ShardSummary:
    from fiftyone_ssa.scale.running import annotate_shards

    given = [f"--{name.replace('_', '-')}" for name in _JSON_ONLY if getattr(arguments, name)]
    if given:
        raise InputError(f"{given[0]} can only be had with --format json; leave it out")
    return annotate_shards(
        arguments.data,
        arguments.out_dir,
        **{name: getattr(arguments, name) for name in _PARQUET_ONLY},
        **_shared(arguments),
    )


def _shared(arguments: argparse.Namespace) -> dict[str, Any]:
    preset = load_preset(arguments.preset, dict(parse_override(text) for text in arguments.set))
    same = {name: getattr(arguments, name) for name in _BOTH}
    return {"preset": preset, "say": say_line, **same}
