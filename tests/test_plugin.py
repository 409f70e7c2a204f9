"""The plugin's folder: linked, unlinked, reported, and whole as a copy and in a wheel."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import fiftyone as fo
import fiftyone.plugins as fop
import pytest
import yaml

from fiftyone_ssa.cli import main
from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.plugin import (
    LINK_NAME,
    NAME,
    install_plugin,
    missing,
    plugin_registration,
    plugin_source,
    plugin_status,
    uninstall_plugin,
)

ROOT = Path(__file__).parents[1]
MANIFEST = yaml.safe_load((ROOT / "fiftyone.yml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LISTED = {*MANIFEST["operators"], *MANIFEST.get("panels", [])}


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """An empty plugins folder."""
    monkeypatch.setattr(fo.config, "plugins_dir", str(tmp_path / "plugins"))
    return tmp_path / "plugins"


@pytest.fixture
def copy(plugins):
    """What `fiftyone plugins download` leaves: the files of this checkout, in a folder of the plugin's name."""
    folder = plugins / NAME
    kept = ("fiftyone_ssa", "operators", "panels", "skills", "js")
    for name in kept:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    for name in ("__init__.py", "fiftyone.yml", "requirements.txt"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_status_tells_installed_disabled_and_absent(plugins):
    assert str(plugin_status()) == f"{NAME} is not installed"
    link = install_plugin()
    assert install_plugin() == link
    assert link.resolve() == plugin_source() == ROOT
    status = plugin_status()
    assert (status.installed, status.enabled, status.version) == (True, True, MANIFEST["version"])
    assert (status.folder / "fiftyone.yml").is_file()
    fop.disable_plugin(NAME)
    try:
        assert str(plugin_status()).endswith("disabled")
    finally:
        fop.enable_plugin(NAME)


def test_a_link_that_points_elsewhere_is_renewed_and_a_folder_is_left_alone(plugins):
    plugins.mkdir()
    (plugins / LINK_NAME).symlink_to(plugins / "gone")
    assert install_plugin().resolve() == ROOT
    (plugins / LINK_NAME).unlink()
    (plugins / LINK_NAME).mkdir()
    with pytest.raises(InputError, match="is not a link of ours"):
        install_plugin()


def test_uninstall_removes_our_link_only(plugins):
    link = install_plugin()
    assert uninstall_plugin() == link
    assert not link.is_symlink()
    assert (ROOT / "fiftyone.yml").is_file()
    with pytest.raises(InputError, match="is not installed; nothing was removed"):
        uninstall_plugin()


def test_a_copy_that_came_another_way_is_neither_doubled_nor_removed(copy):
    for change in (install_plugin, uninstall_plugin):
        with pytest.raises(InputError, match=f"{copy}.*fiftyone plugins delete {NAME}"):
            change()
    assert list(copy.parents[1].iterdir()) == [copy.parent]


def test_registration_is_all_that_the_manifest_lists(plugins):
    install_plugin()
    found = plugin_registration()
    assert (set(found.registered), found.missing, found.errors) == (LISTED, (), ())
    assert str(found).endswith("\nall that fiftyone.yml lists")


def test_commands_install_tell_and_uninstall(plugins, capsys):
    assert main(["plugin", "status"]) == 1
    assert capsys.readouterr().out == f"{NAME} is not installed\nmend: fiftyone-ssa plugin install\n"
    assert main(["plugin", "install"]) == 0
    assert main(["install-plugin"]) == 0
    assert str(plugins / LINK_NAME) in capsys.readouterr().out
    assert main(["plugin", "status"]) == 0
    out = capsys.readouterr().out
    assert str(plugins / LINK_NAME) in out
    assert out.endswith("all that fiftyone.yml lists\n")
    assert main(["plugin", "uninstall"]) == 0
    assert main(["plugin", "uninstall"]) == 2


WITHOUT_US = """
import sys
from pathlib import Path

sys.path[:] = [folder for folder in sys.path if not Path(folder, "fiftyone_ssa/__init__.py").is_file()]
sys.modules |= dict.fromkeys(sys.argv[1:])  # these are not installed
from fiftyone.operators import OperatorRegistry

OperatorRegistry()  # as the App does
import fiftyone_ssa
from fiftyone_ssa.plugin import plugin_registration

print(fiftyone_ssa.__file__)
print(plugin_registration())
"""


def loaded(copy: Path, *absent: str) -> str:
    """Where a process that knows nothing of this checkout finds the library, and what it registers of the copy."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env["FIFTYONE_PLUGINS_DIR"] = str(copy.parents[1])
    command = [sys.executable, "-c", WITHOUT_US, *absent]
    return subprocess.run(command, cwd=copy.parents[1], env=env, capture_output=True, text=True, check=True).stdout


def test_a_downloaded_checkout_works_by_itself(copy):
    library, registered, closing = loaded(copy).splitlines()[-3:]
    assert library == str(copy / "fiftyone_ssa/__init__.py")
    assert set(registered.removeprefix("registered: ").split(", ")) == LISTED
    assert closing == "all that fiftyone.yml lists"


def test_what_a_downloaded_checkout_lacks_is_told_with_the_command_that_mends_it(copy):
    lines = loaded(copy, "pycocotools").splitlines()
    assert "registered: nothing" in lines
    assert f"listed in fiftyone.yml, but not registered: {', '.join(sorted(LISTED))}" in lines
    assert "pycocotools" in lines[-1]
    assert lines[-1].endswith(f"; mend: pip install -r {copy}/requirements.txt")


def test_a_library_that_a_job_lacks_is_told_with_the_command_that_mends_it():
    sentence = str(missing(ModuleNotFoundError("No module named 'torch'", name="torch")))
    assert sentence == f"No module named 'torch'; mend: pip install -r {ROOT}/requirements.txt"
    told = MissingDependencyError("needs spaCy's model: ...")
    assert missing(told) is told


def test_requirements_are_the_projects_dependencies():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == PROJECT["project"]["dependencies"]


def test_a_wheel_carries_all_that_the_plugin_is_made_of():
    carried = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    needed = {"__init__.py", "fiftyone.yml", "manifest.json", "requirements.txt"} | {"operators", "panels", "skills"}
    needed = {name for name in needed if (ROOT / name).exists()}
    if "js_bundle" in MANIFEST:
        needed.add(MANIFEST["js_bundle"])
    assert {name: f"fiftyone_ssa/plugin_files/{name}" for name in needed} == carried
    assert all((ROOT / name).exists() for name in carried)
    sdist = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert needed <= {*sdist, *(name for folder in sdist for name in needed if name.startswith(f"{folder}/"))}


def test_the_skill_is_listed(plugins):
    install_plugin()
    skills = pytest.importorskip("fiftyone.plugins.skills", reason="this FiftyOne has no skills")
    (found,) = skills.list_skills(plugin=NAME)
    assert found.name in MANIFEST["skills"]
    assert len(found.description) > 40


def test_the_skill_names_operators_that_there_are():
    text = (ROOT / "skills" / MANIFEST["skills"][0] / "SKILL.md").read_text()
    names = re.findall(r"`(\w+)`", text.partition("## Operators")[2].partition(":")[0])
    assert len(names) > 8
    assert set(names) <= LISTED
