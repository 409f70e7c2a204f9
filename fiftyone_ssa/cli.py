"""The command line: one file a command in `commands`; here what holds for all of them."""

from __future__ import annotations

import os
import sys


def _leave_working_folder_out() -> None:
    """Take no library from the working folder: not with `python -m`, nor for an empty entry of PYTHONPATH (`:/x`)."""
    if __name__ == "__main__" and not sys.flags.safe_path:
        del sys.path[0]
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    try:
        here = os.getcwd()  # noqa: PTH109 - pathlib is not loaded yet, and may be shadowed
    except OSError:
        return
    if len(named) > 1 and "" in named and here not in named and here in sys.path:
        sys.path.remove(here)


_leave_working_folder_out()  # before anything is imported from there

import argparse
import logging
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fiftyone_ssa.commands import (
    annotate,
    calibrate,
    clean,
    doctor,
    evaluate,
    export,
    import_,
    levels,
    ontology,
    plugin,
    presets,
    quickstart,
    repaint,
    select,
    serve,
    stats,
)
from fiftyone_ssa.commands.terminal import FAILED, INTERRUPTED, WRONG_INPUT, Parser, say, say_line
from fiftyone_ssa.errors import DeviceLostError, InputError, MissingDependencyError
from fiftyone_ssa.files.printable import printable


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 if all went well, 1 if an image or the GPU failed, 2 for wrong input, 130 if interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        _set_up(arguments.verbose)
        with _stoppable():
            code: int = arguments.command(arguments)
    except (InputError, MissingDependencyError) as error:
        say_line(f"fiftyone-ssa: {error}", sys.stderr)
        return WRONG_INPUT
    except DeviceLostError as error:
        say_line(f"fiftyone-ssa: {error}", sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        say("fiftyone-ssa: interrupted; what is finished is kept, the same command goes on from there", sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our lines has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "fiftyone":
            say("fiftyone-ssa: this command needs FiftyOne, which is not installed: pip install fiftyone", sys.stderr)
            return WRONG_INPUT
        if arguments.verbose:
            raise
        say_line(f"fiftyone-ssa: unexpected {type(error).__name__}: {error} (--verbose shows where)", sys.stderr)
        return FAILED
    return code


def _set_up(verbose: bool) -> None:
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_PrintableFormatter("%(levelname)s %(message)s"))
    for name in ("PIL", "matplotlib", "urllib3", "httpx", "httpcore", "filelock"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("fiftyone", "eta"):
        logging.getLogger(name).propagate = False  # they print for themselves, and the root would repeat it
    try:
        Path.cwd()
    except OSError as error:
        raise InputError("the working folder is gone; change to another one") from error
    if not verbose:
        # FiftyOne tells everyone which MongoDB it will need some day, the one that it brings along included
        logging.getLogger("fiftyone.core.odm.database").setLevel(logging.ERROR)
        warnings.simplefilter("ignore")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


class _PrintableFormatter(logging.Formatter):
    """Messages on one line each, with what steers a terminal escaped."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return printable(super().formatMessage(record))


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and a terminal that closes end a run as Ctrl-C does; the second of these signals ends it at once."""
    numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    if threading.current_thread() is not threading.main_thread():
        numbers = []  # Python lets only the main thread handle signals
    before = {number: handler for number in numbers if (handler := signal.getsignal(number)) is not signal.SIG_IGN}

    def stop(*_: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is stop:
                signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    from fiftyone_ssa import __version__

    parser = Parser(prog="fiftyone-ssa", description="Names for masks: Semantic Segment Anything.")
    parser.add_argument("--version", action="version", version=f"fiftyone-ssa {__version__}")
    shared = Parser(add_help=False)
    shared.add_argument("--verbose", action="store_true", help="log more, and show where an unexpected error came from")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    ours = (
        annotate,
        evaluate,
        repaint,
        levels,
        ontology,
        calibrate,
        export,
        import_,
        stats,
        select,
        quickstart,
        clean,
        serve,
        plugin,
        presets,
        doctor,
    )
    for command in ours:
        command.add(commands, shared)
    return parser


if __name__ == "__main__":
    sys.exit(main())
