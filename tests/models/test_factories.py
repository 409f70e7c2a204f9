"""A user's code: found where it is named, alone, and never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models.factories import call_factory, foreign_code, source_file, tell_whose_code
from fiftyone_ssa.presets import load_preset

ANSWER = "def build(): return {!r}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that is on no path."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py").replace("/init.py", "/__init__.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_module_is_the_presets_neighbour_then_installed_then_in_the_working_folder(here: Path) -> None:
    write(here, own=ANSWER.format("working folder"), json="def loads(): return 'working folder'\n")
    write(here, presets__own=ANSWER.format("beside"), presets__json="def loads(): return 'beside'\n")
    toml = here / "presets/mine.toml"

    def named(spec: str) -> str:
        toml.write_text(f"semantic.model = '{spec}'")
        return load_preset(toml).semantic.model

    assert call_factory(named("own:build")) == "beside"
    assert call_factory(named("json:loads")) == "beside"
    (here / "presets/own.py").unlink()
    (here / "presets/json.py").unlink()
    assert call_factory(named("own:build")) == "working folder"
    with pytest.raises(InputError, match="json:loads failed: TypeError"):  # Python's own
        call_factory(named("json:loads"))
    override = load_preset("mini-ssa", {"semantic.model": "json:loads"})
    assert call_factory(override.semantic.model) == "working folder"


@pytest.mark.parametrize("name", ["pkg:build", "pkg.part:build", "pkg/part.py:build", "pkg/deep/part.py:build"])
def test_packages(here: Path, name: str) -> None:
    write(
        here,
        pkg__init="from .part import build\n",
        pkg__part="from . import word\ndef build(): return word.WORD\n",
        pkg__word="WORD = 'said'\n",
        pkg__deep__init="",
        pkg__deep__part="from ..word import WORD\ndef build(): return WORD\n",
    )
    assert call_factory(name) == "said"
    assert call_factory(load_preset("mini-ssa", {"semantic.model": name}).semantic.model) == "said"


def test_a_file_without_relative_imports_runs_no_package(here: Path) -> None:
    write(here, init="raise SystemExit(3)\n", own=ANSWER.format(1))
    (here / "init.py").rename(here / "__init__.py")
    assert call_factory("own.py:build") == 1


def test_what_lies_beside_is_the_factorys_only(here: Path) -> None:
    write(
        here,
        own="import ours_a, ours_b.inner, colorsys\n"
        "def build():\n    import ours_late\n"
        "    return ours_a.A, ours_b.inner.B, ours_late.C, hasattr(colorsys, 'rgb_to_hsv')\n",
        ours_a="A = 1\n",
        ours_b__init="",
        ours_b__inner="import ours_a\nB = ours_a.A + 1\n",
        ours_late="C = 3\n",
        colorsys="raise SystemExit(7)\n",
    )
    assert call_factory("own.py:build") == (1, 2, 3, True)
    with pytest.raises(ImportError):
        import ours_not_yet_imported
    write(here, ours_not_yet_imported="")
    with pytest.raises(ImportError):  # we are not that folder's code
        import ours_not_yet_imported  # noqa: F401
    assert str(here) not in sys.path


def test_an_environment_in_the_folder_is_no_neighbour(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = here / ".venv/lib/site-packages"
    write(installed, a_library="try:\n    import ours_optional\nexcept ImportError:\n    ours_optional = None\n")
    monkeypatch.syspath_prepend(str(installed))
    write(here, own="import a_library\ndef build(): return a_library.ours_optional\n", ours_optional="")
    assert call_factory("own.py:build") is None


def test_two_files_of_one_stem_and_their_neighbours_do_not_meet(here: Path) -> None:
    for name in "ab":
        write(here / name, own="import ours_word\ndef build(): return ours_word.WORD\n", ours_word=f"WORD = {name!r}\n")
    first, second = (call_factory(f"{here}/{name}/own.py:build") for name in "ab")
    assert (first, second) == ("a", "b")
    write(here / "a", ours_word="WORD = 'edited'\n")
    os.utime(here / "a/ours_word.py", (1, 1))
    assert call_factory(f"{here}/a/own.py:build") == "edited"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def build(:\n", "SyntaxError: invalid syntax"),
        ("import sys\nsys.exit('no')\n", "sys.exit: no"),
        ("def build():\n    raise SystemExit\n", "own.py:build failed: sys.exit; it must build a segmenter"),
        ("def build():\n    raise GeneratorExit('stop')\n", "GeneratorExit: stop"),
        ("class Own(BaseException): ...\ndef build():\n    raise Own('a\\nb')\n", "Own: a b"),
        ("class build:\n    def __init__(self, weights): ...\n", "missing 1 required positional argument: 'weights'"),
        ("import no_such_library\n", "No module named 'no_such_library'; mend or install it"),
        ("def built(): ...\n", r"has no function 'build' \(did you mean 'built'\?\)"),
        ("build = 3\n", "has no function 'build'"),
        ("\0", "null bytes"),
        ("1 / 0\n", "ZeroDivisionError: division by zero; mend or install it"),
        ("x = " + "(" * 2000 + ")" * 2000, "too many nested parentheses"),
    ],
)
def test_whatever_the_code_does_is_one_sentence(here: Path, source: str, sentence: str) -> None:
    (here / "own.py").write_text(source)
    with pytest.raises(InputError, match=sentence) as caught:
        call_factory("own.py:build")
    assert "own.py" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ctrl_c_stays_what_it_is(here: Path) -> None:
    (here / "own.py").write_text("def build():\n    raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        call_factory("own.py:build")


@pytest.mark.parametrize("spec", ["none.py:build", "~nouser/x.py:build", "x" * 300 + ".py:build", "a.b.c:d", "a..b:c"])
def test_a_file_that_is_not_there(here: Path, spec: str) -> None:
    assert source_file(spec) is None
    with pytest.raises(InputError):
        call_factory(load_preset("mini-ssa", {"semantic.model": spec}).semantic.model)


def test_whose_code_a_run_calls(here: Path) -> None:
    write(here, own="raise SystemExit\n")
    ssa = load_preset("mini-ssa", {"semantic.model": "own:build"})
    assert foreign_code(ssa) == [str(here / "own.py")]
    engine = {
        "open_vocabulary.segmenters": ["own.py:a", "own.py:b", "json.tool:main", "nobody.knows:this", "org/model"]
    }
    tool = next(path for path in [Path(os.__file__).parent / "json/tool.py"])
    assert foreign_code(load_preset("mini-engine", engine)) == [str(here / "own.py"), str(tool), "nobody.knows"]
    assert foreign_code(load_preset("mini-ssa")) == foreign_code(load_preset("mini-engine")) == []


def test_a_run_tells_whose_code_it_calls(here: Path) -> None:
    write(here, own="")
    said: list[str] = []
    tell_whose_code(load_preset("mini-ssa", {"semantic.model": "own:build"}), False, said.append)
    assert said == [f"this preset runs code of its own: {here / 'own.py'}"]
    tell_whose_code(load_preset("mini-ssa"), True, said.append)
    assert "trust_remote_code" in said.pop()
    assert len(said) == 1


def test_the_working_folder_shadows_no_library(tmp_path: Path) -> None:
    """In a process of its own: a factory there, beside files named as libraries are."""
    write(tmp_path, own="import numpy\n" + ANSWER.format(1))
    for name in ("tqdm", "colorsys", "natten", "apex", "horovod", "flash_attn"):
        write(tmp_path, **{name: "raise SystemExit(7)\n"})
    code = (
        "from fiftyone_ssa.models.factories import call_factory; print(call_factory('own.py:build'))\n"
        "import transformers, tqdm, open_clip, colorsys\n"
        "from importlib.util import find_spec; print(find_spec('natten'), find_spec('horovod'))"
    )
    ours = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=ours, capture_output=True, text=True, check=False
    )
    assert run.stdout.split() == ["1", "None", "None"], run.stderr
