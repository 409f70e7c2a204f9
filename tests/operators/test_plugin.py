"""The plugin is found, whole, and by the name that its manifest has."""

import ast
import importlib
from pathlib import Path

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.plugins as fop
import pytest
import yaml

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.plugin import LINK_NAME, NAME, install_plugin, plugin_source, plugin_status
from operators import OPERATORS
from operators.job import Job

ROOT = Path(__file__).parents[2]


def test_every_operator_is_in_the_tuple_the_manifest_and_the_registry(registry):
    """FiftyOne leaves out silently what the manifest forgets, so all lists are held against the classes themselves."""
    modules = [importlib.import_module(f"operators.{path.stem}") for path in (ROOT / "operators").glob("[!_]*.py")]
    kinds = {kind for module in modules for kind in vars(module).values() if _is_operator_of(module, kind)}
    assert set(OPERATORS) == kinds - {Job}
    names = sorted(kind().name for kind in OPERATORS)
    assert names == sorted(yaml.safe_load((ROOT / "fiftyone.yml").read_text())["operators"])
    assert registry.list_errors() == []
    assert names == sorted(operator.name for operator in registry.list_operators() if operator.plugin_name == NAME)


def _is_operator_of(module, kind):
    here = isinstance(kind, type) and issubclass(kind, foo.Operator) and kind.__module__ == module.__name__
    return here and not kind.__name__.startswith("_")


def test_root_module_imports_nothing_before_it_is_registered():
    tree = ast.parse((ROOT / "__init__.py").read_text())
    assert not [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]


def test_status_tells_installed_disabled_and_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(fo.config, "plugins_dir", str(tmp_path / "plugins"))
    assert str(plugin_status()) == f"{NAME} is not installed"
    link = install_plugin()
    assert install_plugin() == link
    assert link.resolve() == plugin_source() == ROOT
    status = plugin_status()
    assert (status.installed, status.enabled) == (True, True)
    assert (status.folder / "fiftyone.yml").is_file()
    fop.disable_plugin(NAME)
    try:
        assert str(plugin_status()).endswith("disabled")
    finally:
        fop.enable_plugin(NAME)


def test_a_link_that_points_elsewhere_is_renewed_and_a_folder_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(fo.config, "plugins_dir", str(tmp_path))
    (tmp_path / LINK_NAME).symlink_to(tmp_path / "gone")
    assert install_plugin().resolve() == ROOT
    (tmp_path / LINK_NAME).unlink()
    (tmp_path / LINK_NAME).mkdir()
    with pytest.raises(InputError, match="is not a link of ours"):
        install_plugin()
