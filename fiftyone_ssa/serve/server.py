"""From a preset to a service that runs until it is told to end."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

import uvicorn

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.naming.pipeline import build_pipeline
from fiftyone_ssa.presets import Preset
from fiftyone_ssa.serve.app import create_app
from fiftyone_ssa.serve.pipelines import Pipelines
from fiftyone_ssa.serve.settings import ServeSettings

logger = logging.getLogger(__name__)
IDLE_SECONDS = 30
"""After which a connection that asks nothing is closed."""
MOST_CONNECTIONS = 1_000


def serve(
    preset: Preset,
    settings: ServeSettings,
    *,
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    say: Callable[[str], object] = logger.info,
) -> None:
    """Answer requests until SIGTERM or Ctrl-C; what was taken until then is finished first.

    Args:
        preset: from `load_preset`
        settings: where to listen, and the limits
        device ("auto"): as `build_pipeline` takes it
        dtype ("auto"): likewise
        trust_remote_code (False): whether to run code that comes with a Hugging Face model
        say (a log message): told the address once requests are answered

    Raises InputError if the address cannot be had, or a model cannot be loaded; MissingDependencyError if a package is
    missing.
    """
    if preset.pipeline == "ssa" and preset.semantic.source == "field":
        raise InputError('semantic.source = "field" needs a FiftyOne dataset; set it to "model"')
    with bound(settings.host, settings.port) as listener:  # before models are loaded, which takes a minute
        pipeline = build_pipeline(preset, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
        server = uvicorn.Server(configuration(Pipelines(pipeline, preset), settings))
        host, port = listener.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        say(f"{preset.name} at http://{name}:{port}  (its page; /docs says what else; Ctrl-C ends it)")
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            if server.force_exit:
                raise
    if not server.started:
        raise InputError("the service could not start; --verbose says why")


def configuration(pipelines: Pipelines, settings: ServeSettings) -> uvicorn.Config:
    """How uvicorn runs the service: no header is trusted to say who asks, and nothing is told of what runs here."""
    logging.getLogger("python_multipart").setLevel(logging.WARNING)  # it tells of every byte
    return uvicorn.Config(
        create_app(pipelines, settings),
        log_config=None,
        access_log=settings.verbose,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        limit_concurrency=MOST_CONNECTIONS,
        lifespan="on",
    )


def bound(host: str, port: int) -> socket.socket:
    """A socket that has the address. Raises InputError if it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InputError(
            f"cannot listen to {host}:{port}: {error.strerror or error}; name another --port, or 0 for any that is free"
        ) from error
    return listener
