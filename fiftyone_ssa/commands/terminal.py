"""What commands share: how they print, and the arguments that several of them take."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any, NoReturn, TextIO

from fiftyone_ssa.files.printable import printable

FAILED, WRONG_INPUT, INTERRUPTED = 1, 2, 130
"""What a command answers if an image or the GPU failed, for wrong input, and if it was interrupted."""


def say(text: object, stream: TextIO | None = None, *, keep: str = "\n") -> None:
    """Print, with what steers a terminal and what its encoding lacks escaped: names may hold anything."""
    out = stream or sys.stdout
    encoding = out.encoding or "utf-8"
    print(printable(text, keep=keep).encode(encoding, "backslashreplace").decode(encoding), file=out)


def say_line(text: object, stream: TextIO | None = None) -> None:
    """Print what is one line, whatever the names in it hold."""
    say(text, stream, keep="")


def list_errors(errors: Mapping[str, str], most: int = 20) -> None:
    """Say which images failed, and why; the first `most` of them."""
    for image, reason in list(errors.items())[:most]:
        say_line(f"FAILED {image}: {reason}", sys.stderr)
    if len(errors) > most:
        say(f"... and {len(errors) - most} more", sys.stderr)


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a command that runs models."""
    add = parser.add_argument
    add(
        *("--set", "-s"),
        action="append",
        default=[],
        metavar="section.key=value",
        help="change a setting, e.g. semantic.vote=soft; may be repeated",
    )
    add("--device", default="auto", metavar="auto|cpu|cuda:N|mps", help="where models run (default: %(default)s)")
    add("--trust-remote-code", action="store_true", help="run code that comes with a Hugging Face model")


def number(text: str) -> int | str:
    """A whole number; what is none is left to the library, which refuses it in the words that Python's users get."""
    try:
        return int(text)
    except ValueError:
        return text


class Parser(argparse.ArgumentParser):
    """A parser whose complaints repeat no escape sequence of what was typed, and which says what commands there are."""

    def error(self, message: str) -> NoReturn:
        """End with 2, and what is wrong."""
        if message.endswith("required: COMMAND"):
            self.print_help(sys.stderr)
            self.exit(WRONG_INPUT, "\nname a command\n")
        super().error(message)

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(printable(message, keep="\n"), file)
