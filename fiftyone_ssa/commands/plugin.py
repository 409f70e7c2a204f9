"""`fiftyone-ssa plugin`: the plugin of FiftyOne's App."""

from __future__ import annotations

import argparse
from typing import Any

from fiftyone_ssa.commands.terminal import FAILED, say


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser's."""
    commands.add_parser("install-plugin", parents=[shared]).set_defaults(command=_install_plugin)  # its name once
    parser = commands.add_parser("plugin", help="the plugin of FiftyOne's App: install, uninstall, status")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("install", _install_plugin, "link it into FiftyOne's plugins folder"),
        ("uninstall", _uninstall_plugin, "remove that link, and nothing else"),
        ("status", _plugin_status, "where it is, its version, what the App has of it, and what failed"),
    ):
        verbs.add_parser(name, parents=[shared], help=text).set_defaults(command=command)


def _install_plugin(_: argparse.Namespace) -> int:
    from fiftyone_ssa.plugin import install_plugin

    say(f"the App's plugin is installed: {install_plugin()}")
    return 0


def _uninstall_plugin(_: argparse.Namespace) -> int:
    from fiftyone_ssa.plugin import uninstall_plugin

    say(f"the App's plugin is removed: {uninstall_plugin()}")
    return 0


def _plugin_status(_: argparse.Namespace) -> int:
    from fiftyone_ssa.plugin import NAME, plugin_registration, plugin_status

    status = plugin_status()
    say(status)
    if not status.enabled:
        mend = f"fiftyone plugins enable {NAME}" if status.installed else "fiftyone-ssa plugin install"
        say(f"mend: {mend}")
        return FAILED
    registration = plugin_registration()
    say(registration)
    return FAILED if registration.missing or registration.errors else 0
