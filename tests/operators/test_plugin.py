"""The plugin is found, whole, and by the name that its manifest has."""

import ast
import importlib
from pathlib import Path

import fiftyone.operators as foo
import yaml

from fiftyone_ssa.plugin import NAME
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
