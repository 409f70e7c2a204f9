"""The reference pages hold all that the code has; `make docs` builds the whole, strictly and without a network."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from pathlib import Path

import yaml

import fiftyone_ssa
from fiftyone_ssa import cli
from fiftyone_ssa.presets import preset_names
from fiftyone_ssa.presets.settings import SECTIONS
from tools.doc_blocks import ROOT
from tools.notebooks import paths_in
from tools.site.api_page import GROUPS, REST, api_page, grouped
from tools.site.command_page import command_page, commands
from tools.site.defaults import ARGUMENT
from tools.site.hooks import FROM_ROOT, REMOTE, STEERING
from tools.site.notebook_page import notebook_pages
from tools.site.presets_page import presets_page

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_every_name_of_the_package_is_in_the_reference_once():
    page = api_page()
    for name, home in fiftyone_ssa._HOMES.items():
        assert page.count(f"::: fiftyone_ssa.{home}.{name}\n") == 1
    assert list(grouped({"load_x": "", "what": ""})) == ["Load", REST]
    assert REST not in {*GROUPS, *grouped(fiftyone_ssa._HOMES)}
    assert all(
        any(name.startswith(start) for name in fiftyone_ssa._HOMES) for starts in GROUPS.values() for start in starts
    )


def test_type_checkers_know_every_name_of_the_package():
    (block,) = [
        node for node in ast.parse((ROOT / "fiftyone_ssa/__init__.py").read_text()).body if isinstance(node, ast.If)
    ]
    told = {node.names[0].name: node.module for node in block.body if isinstance(node, ast.ImportFrom)}
    assert told == {name: f"fiftyone_ssa.{home}" for name, home in fiftyone_ssa._HOMES.items()}


def test_every_command_and_argument_is_in_the_reference():
    page = command_page()
    found = list(commands(cli._parser()))
    assert {"annotate", "evaluate", "plugin install", "doctor"} <= {name for name, _, _ in found}
    for name, parser, text in found:
        section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert text in section
        for action in parser._actions:
            assert all(option in section for option in action.option_strings if option not in ("-h", "--help"))


def test_every_setting_and_preset_is_in_the_reference():
    page = presets_page()
    for section, kind in SECTIONS.items():
        table = page.split(f"### [{section}]")[1].split("\n### ")[0]
        for field in dataclasses.fields(kind):
            row = next(line for line in table.splitlines() if line.startswith(f"| `{field.name}` |"))
            assert len(row.rpartition("` |")[2]) > 20, f"{section}.{field.name} is not told"
    assert all(f"### {name}\n" in page for name in preset_names())


def test_files_that_readme_and_contributing_link_to_exist():
    for name in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / name).read_text()):
            assert (ROOT / target).exists(), f"{name} links to {target}"


def test_every_page_is_in_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text()
    made = {"reference/api.md", "reference/command.md", "reference/presets.md", "reference/examples.md", *FROM_ROOT}
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")} | made
    pages |= {f"notebooks/{path.stem}.md" for path in NOTEBOOKS}
    assert set(re.findall(r"[\w/-]+\.md", nav.partition("\nnav:")[2])) == pages


def test_notebooks_are_stored_as_they_ran_without_machine_paths():
    assert len(NOTEBOOKS) == 2
    for path in NOTEBOOKS:
        notebook = json.loads(path.read_text())
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
        assert any(cell["outputs"] for cell in cells)
        assert not any(output["output_type"] == "error" for cell in cells for output in cell["outputs"])
        assert not paths_in(notebook)
        assert path.stat().st_size < 300_000


def test_a_path_of_a_machine_is_seen():
    output = {"output_type": "stream", "text": "12 masks in /home/me/fiftyone/labels.json"}
    assert paths_in({"cells": [{"outputs": [output]}]}) == ["/home/me/fiftyone/labels.json"]


def test_pages_of_notebooks_hold_their_pictures():
    pages = notebook_pages(ROOT / "notebooks")
    for name, content in pages.items():
        if isinstance(content, str):
            for picture in re.findall(r"!\[.*?\]\((.*?)\)", content):
                assert pages[str(Path(name).with_name(picture))][:3] in (b"\x89PN", b"\xff\xd8\xff")


def test_what_a_page_would_fetch_is_found():
    for fetched in (
        '<script src="https://a.b/c.js">',
        "<link rel=stylesheet href=//a.b/c.css>",
        '<img alt="" src="http://a">',
    ):
        assert REMOTE.search(fetched)
    for fine in ('<a href="https://a.b">', '<script src="assets/a.js">', '<link rel="canonical" href="https://a.b">'):
        assert not REMOTE.search(fine)


def test_comments_that_steer_tests_and_defaults_in_docstrings_are_not_shown():
    assert STEERING.sub("", "a\n<!-- run with: x=y -->\nb\n<!-- not run: since so -->\n") == "a\nb\n"
    assert ARGUMENT.sub(r"\1: ", '    name ("a"): text (b): c\n') == "    name: text (b): c\n"


def test_citation_and_workflows_are_whole():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == fiftyone_ssa.__version__
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    verbs = set()
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text())["jobs"]
        lines = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
        verbs |= {word for line in lines for word in re.findall(r"make ([\w-]+)", line)}
    assert {"lint", "test", "docs", "notebooks", "test-dist"} <= verbs <= targets
