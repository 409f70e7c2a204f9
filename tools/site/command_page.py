"""The reference of the command line, from the parser itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from fiftyone_ssa import cli

INTRODUCTION = """# Command line

Made from `fiftyone-ssa --help` and that of each command. A command ends with 0 if all went well, 1 if an image or the
GPU failed, 2 for wrong input, 130 if it was stopped (Ctrl-C or SIGTERM); what is finished is kept, and the same command
goes on from there.
"""


def command_page() -> str:
    """The page as Markdown: a heading, the usage and a table of arguments for each command."""
    return "\n".join([INTRODUCTION, *(_section(name, parser, text) for name, parser, text in commands(cli._parser()))])


def commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Each command that runs something: its whole name, its parser, and what it is for."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            told = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, child in action.choices.items():
                if name not in told:
                    continue  # a former name, which still works
                if any(isinstance(inner, argparse._SubParsersAction) for inner in child._actions):
                    yield from commands(child)
                else:
                    yield child.prog.removeprefix("fiftyone-ssa ").strip(), child, told[name]


def _section(name: str, parser: argparse.ArgumentParser, text: str) -> str:
    formatter = argparse.HelpFormatter(prog=parser.prog, width=84)
    formatter.add_usage(None, _shown(parser), parser._mutually_exclusive_groups, prefix="")
    lines = [f"## {name}", "", f"{text}.", "", "```text", formatter.format_help().strip(), "```"]
    if rows := [_row(action) for action in _shown(parser)]:
        lines += ["", "| argument | |", "|---|---|", *rows]
    return "\n".join([*lines, ""])


def _shown(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """All but `--help`, and what is kept secret."""
    hidden = (argparse._HelpAction, argparse._VersionAction)
    return [a for a in parser._actions if not isinstance(a, hidden) and a.help != argparse.SUPPRESS]


def _row(action: argparse.Action) -> str:
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    value = " ".join(value) if isinstance(value, tuple) else str(value)
    takes = f" {value}" if action.option_strings and action.nargs != 0 else ""
    called = ", ".join(action.option_strings) + takes if action.option_strings else value
    values = {**vars(action), "prog": "fiftyone-ssa"}
    said = ((action.help or "") % values).replace("<", "&lt;").replace("|", "&#124;")
    return f"| `{called}`{' (required)' if action.option_strings and action.required else ''} | {said} |"
