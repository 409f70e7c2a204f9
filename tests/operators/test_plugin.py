"""The plugin is found, whole, and by the name that its manifest has."""

import ast
import importlib
from pathlib import Path

import fiftyone.operators as foo
import pytest
import yaml

from fiftyone_ssa.plugin import NAME
from operators import OPERATORS
from operators.job import Job
from panels import PANELS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("folder", "kinds"), [("operators", OPERATORS), ("panels", PANELS)])
def test_every_one_is_in_the_tuple_the_manifest_and_the_registry(registry, folder, kinds):
    """FiftyOne leaves out silently what the manifest forgets, so all lists are held against the classes themselves."""
    modules = [importlib.import_module(f"{folder}.{path.stem}") for path in (ROOT / folder).glob("[!_]*.py")]
    found = {kind for module in modules for kind in vars(module).values() if _is_operator_of(module, kind)}
    assert set(kinds) == found - {Job}
    names = sorted(kind().name for kind in kinds)
    assert names == sorted(yaml.safe_load((ROOT / "fiftyone.yml").read_text())[folder])
    assert registry.list_errors() == []
    registered = registry.list_operators(type=folder.removesuffix("s"))
    assert names == sorted(operator.name for operator in registered if operator.plugin_name == NAME)


def _is_operator_of(module, kind):
    here = isinstance(kind, type) and issubclass(kind, foo.Operator) and kind.__module__ == module.__name__
    return here and not kind.__name__.startswith("_")


def test_root_module_imports_nothing_before_it_is_registered():
    tree = ast.parse((ROOT / "__init__.py").read_text())
    assert not [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
