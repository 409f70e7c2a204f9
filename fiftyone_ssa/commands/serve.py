"""`fiftyone-ssa serve`: the pipeline as a web service, with a page to drop a picture on."""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fiftyone_ssa.commands.terminal import add_models, number, say_line
from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.presets import load_preset, parse_override

NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
MB = 1_000_000


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("serve", parents=[shared], help="answer pictures over HTTP, with a page and an API")
    add = parser.add_argument
    add("--preset", required=True, metavar="NAME|FILE.toml", help="`fiftyone-ssa presets` lists the names")
    add("--host", default="127.0.0.1", help="the address to listen to; any other needs a token (default: %(default)s)")
    add("--port", type=number, default=8000, metavar="N", help="0: any that is free (default: %(default)s)")
    add("--token-file", metavar="FILE", help="its first line is what requests must show (or FIFTYONE_SSA_TOKEN)")
    add_models(parser)
    add("--dtype", default="auto", metavar="auto|float32|bfloat16|float16", help="of models (default: %(default)s)")
    add("--batch-size", type=number, default=4, metavar="N", help="pictures at a time (default: %(default)s)")
    add("--max-upload", type=number, default=20, metavar="MB", help="of one request (default: %(default)s)")
    add("--max-pixels", type=number, default=40, metavar="M", help="millions, of one picture (default: %(default)s)")
    add("--queue", type=number, default=64, metavar="N", help="requests that may wait (default: %(default)s)")
    add("--rate", type=number, default=1200, metavar="N", help="requests of one address a minute; 0: any number")
    add("--label-studio-url", default="", metavar="URL", help="where tasks' pictures may be fetched from")
    add("--label-studio-files", type=Path, metavar="DIR", help="the folder behind its /data/local-files/")
    parser.set_defaults(command=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise MissingDependencyError(f"serve needs {', '.join(missing)}: pip install 'fiftyone-ssa[serve]'")
    from fiftyone_ssa.serve.server import serve
    from fiftyone_ssa.serve.settings import LabelStudio, Limits, ServeSettings, read_token

    settings = ServeSettings(
        host=arguments.host,
        port=arguments.port,
        token=read_token(arguments.token_file, os.environ),
        batch_size=arguments.batch_size,
        limits=Limits(
            upload_bytes=_million("--max-upload", arguments.max_upload),
            pixels=_million("--max-pixels", arguments.max_pixels),
            waiting=arguments.queue,
            per_minute=arguments.rate,
        ),
        label_studio=LabelStudio(
            url=arguments.label_studio_url,
            api_key=os.environ.get("LABEL_STUDIO_API_KEY", ""),
            files=arguments.label_studio_files,
        ),
        verbose=arguments.verbose,
    )
    serve(
        load_preset(arguments.preset, dict(parse_override(text) for text in arguments.set)),
        settings,
        device=arguments.device,
        dtype=arguments.dtype,
        trust_remote_code=arguments.trust_remote_code,
        say=say_line,
    )
    return 0


def _million(option: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise InputError(f"{option} must be a whole number above 0, got {value!r}")
    return value * MB
