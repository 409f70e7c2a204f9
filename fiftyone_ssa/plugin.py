"""Where the App's plugin lies, and how it gets into FiftyOne's plugins folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fiftyone_ssa.errors import InputError, MissingDependencyError

NAME = "@fiftyone-ssa/ssa"
LINK_NAME = "fiftyone-ssa"


@dataclass(frozen=True)
class PluginStatus:
    """Whether FiftyOne finds the plugin; `str()` says it in one line."""

    installed: bool
    enabled: bool
    folder: Path | None
    """Where FiftyOne found it."""

    def __str__(self) -> str:
        if not self.installed:
            return f"{NAME} is not installed"
        return f"{NAME} in {self.folder}{'' if self.enabled else ', disabled'}"


def plugin_source() -> Path:
    """The folder with `fiftyone.yml` that came with this package: the checkout's root, or `plugin_files` of a wheel."""
    package = Path(__file__).resolve().parent
    for folder in (package.parent, package / "plugin_files"):
        if (folder / "fiftyone.yml").is_file():
            return folder
    raise MissingDependencyError(f"the plugin's files are not beside {package}; install fiftyone-ssa again")


def plugin_status() -> PluginStatus:
    """What FiftyOne says of the plugin; asks no database."""
    import fiftyone.plugins as fop

    found = {plugin.name: plugin for plugin in fop.list_plugins(enabled="all")}.get(NAME)
    if found is None:
        return PluginStatus(installed=False, enabled=False, folder=None)
    enabled = NAME in {plugin.name for plugin in fop.list_plugins(enabled=True)}
    return PluginStatus(installed=True, enabled=enabled, folder=Path(found.directory))


def install_plugin() -> Path:
    """Link `plugin_source()` into FiftyOne's plugins folder, so that it follows updates; returns the link.

    Does nothing where the link is already right. Raises InputError if something else lies there.
    """
    import fiftyone as fo

    link = Path(fo.config.plugins_dir) / LINK_NAME
    source = plugin_source()
    if link.is_symlink() and link.resolve() == source:
        return link
    if link.exists() and not link.is_symlink():
        raise InputError(f"{link} exists and is not a link of ours; remove it and install the plugin again")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(source, target_is_directory=True)
    return link
