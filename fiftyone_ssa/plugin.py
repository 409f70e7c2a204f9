"""Where the App's plugin lies, how it gets into FiftyOne's plugins folder, and what FiftyOne makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    version: str = ""

    def __str__(self) -> str:
        if not self.installed:
            return f"{NAME} is not installed"
        return f"{NAME} {self.version} in {self.folder}{'' if self.enabled else ', disabled'}"


@dataclass(frozen=True)
class Registration:
    """What FiftyOne registers of the plugin, held against its manifest; `str()` is a report of a few lines."""

    registered: tuple[str, ...]
    """Operators and panels that the App has."""
    missing: tuple[str, ...]
    """Listed in `fiftyone.yml`, but not registered."""
    errors: tuple[str, ...]
    """Tracebacks of what failed while the plugin was loaded."""

    def __str__(self) -> str:
        lines = [f"registered: {', '.join(self.registered) or 'nothing'}"]
        if self.missing:
            lines.append(f"listed in fiftyone.yml, but not registered: {', '.join(self.missing)}")
        lines += [f"error: {error.strip()}" for error in self.errors]
        return "\n".join(lines if self.missing or self.errors else [*lines, "all that fiftyone.yml lists"])


def plugin_source() -> Path:
    """The folder with `fiftyone.yml` that came with this package: the checkout's root, or `plugin_files` of a wheel."""
    package = Path(__file__).resolve().parent
    for folder in (package.parent, package / "plugin_files"):
        if (folder / "fiftyone.yml").is_file():
            return folder
    raise MissingDependencyError(f"the plugin's files are not beside {package}; install fiftyone-ssa again")


def missing(error: ImportError) -> MissingDependencyError:
    """What to tell the App's user where a library of ours is not installed, or too old."""
    if isinstance(error, MissingDependencyError):
        return error
    return MissingDependencyError(f"{error}; mend: pip install -r {plugin_source() / 'requirements.txt'}")


def plugin_status() -> PluginStatus:
    """What FiftyOne says of the plugin; asks no database and loads no operator."""
    import fiftyone.plugins as fop

    found = _definition()
    if found is None:
        return PluginStatus(installed=False, enabled=False, folder=None)
    enabled = NAME in {plugin.name for plugin in fop.list_plugins(enabled=True)}
    return PluginStatus(True, enabled, Path(found.directory), str(found.version or ""))


def plugin_registration() -> Registration:
    """Load the installed, enabled plugin as the App does, and tell what came of it."""
    from fiftyone.plugins.context import build_plugin_contexts

    found = [context for context in build_plugin_contexts() if context.name == NAME]
    registered = {operator.name for context in found for operator in context.instances}
    listed = {name for context in found for name in context.plugin_definition.operators}
    errors = tuple(error for context in found for error in context.errors)
    return Registration(tuple(sorted(registered)), tuple(sorted(listed - registered)), errors)


def install_plugin() -> Path:
    """Link `plugin_source()` into FiftyOne's plugins folder, so that it follows updates; returns the link.

    Does nothing where the link is already right. Raises InputError if something else lies there, or if FiftyOne has
    another copy of the plugin.
    """
    link, source = _link(), plugin_source()
    if link.is_symlink() and link.resolve() == source:
        return link
    if link.exists() and not link.is_symlink():
        raise InputError(f"{link} exists and is not a link of ours; remove it and install the plugin again")
    if copies := _copies() - {link}:
        raise InputError(
            f"{NAME} is installed already, in {copies.pop()}; to use this one instead, remove that "
            f"(fiftyone plugins delete {NAME}) and install again"
        )
    link.unlink(missing_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(source, target_is_directory=True)
    return link


def uninstall_plugin() -> Path:
    """Remove the link that `install_plugin` made, and nothing else; returns where it was.

    Raises InputError where there is none: a copy that came another way is left alone.
    """
    link = _link()
    if link.is_symlink():
        link.unlink()
        return link
    if copies := _copies():
        raise InputError(
            f"{NAME} lies in {copies.pop()}, which is no link of ours; nothing was removed "
            f"(fiftyone plugins delete {NAME} would)"
        )
    raise InputError(f"{NAME} is not installed; nothing was removed")


def install_zoo_source() -> Path:
    """Let FiftyOne's zoo know this package's models without fetching the repository; returns where it finds them.

    What `foz.register_zoo_model_source` does, from the installed files. Raises InputError if they cannot be written.
    """
    import fiftyone as fo

    from fiftyone_ssa.files.atomic import write_whole

    folder = Path(fo.config.model_zoo_dir) / LINK_NAME / "ssa"
    for name in ("__init__.py", "manifest.json"):
        write_whole(folder / name, (plugin_source() / name).read_bytes())
    return folder


def _copies() -> set[Path]:
    """The folders in which FiftyOne finds the plugin; it uses one and ignores the others."""
    found = _definition()
    return {Path(folder) for folder in [found.directory, *(found.shadow_paths or ())]} if found else set()


def _link() -> Path:
    import fiftyone as fo

    return Path(fo.config.plugins_dir) / LINK_NAME


def _definition() -> Any:
    """FiftyOne's record of the plugin, or None."""
    import fiftyone.plugins as fop

    return {plugin.name: plugin for plugin in fop.list_plugins(enabled="all")}.get(NAME)
