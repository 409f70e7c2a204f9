"""A user's own code, named in a preset as `"module:factory"` or `"file.py:factory"`.

What is named runs, and nothing else of its folder does: only code that lies there may import what lies beside it, so a
`tqdm.py` in the working folder stands in for no library.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from fiftyone_ssa.errors import InputError, said_by
from fiftyone_ssa.presets import Preset
from fiftyone_ssa.presets.paths import FACTORY, existing, module_file


def is_factory(model: str) -> bool:
    """Whether a setting names code: it has a colon, as no Hugging Face id has, and no such file or folder is there."""
    return ":" in model and not model.startswith("local-dir:") and existing(model) is None


def is_filter_factory(model: str) -> bool:
    """`is_factory` of a class filter: `"RN50:openai"` is an open_clip model unless there is a module of that name."""
    return is_factory(model) and (".py:" in model or source_file(model) is not None)


def foreign_code(preset: Preset) -> list[str]:
    """Whose code a run of `preset` calls: the file of each factory it names, or its module where no file is known.

    Nothing is imported for it.
    """
    chosen = [preset.masks.model] if preset.masks.source == "sam" else []
    if preset.pipeline == "ssa":
        chosen += [preset.semantic.model] if preset.semantic.source == "model" else []
    else:
        engine = preset.open_vocabulary
        chosen += [*engine.segmenters, engine.captioner, engine.decider]
        chosen += [engine.class_filter] if is_filter_factory(engine.class_filter) else []
    found = [str(source_file(model) or model.rpartition(":")[0]) for model in chosen if is_factory(model)]
    return list(dict.fromkeys(found))


def tell_whose_code(preset: Preset, trust_remote_code: bool, say: Callable[[str], object]) -> None:
    """Tell, before a run begins, whose code it calls besides ours."""
    for source in foreign_code(preset):
        say(f"this preset runs code of its own: {source}")
    if trust_remote_code:
        say("code that comes with a Hugging Face model may run, for it is trusted (trust_remote_code)")


def source_file(spec: str) -> Path | None:
    """The file that `"module:factory"` names, without importing anything; None where there is none."""
    match = FACTORY.match(spec)
    return _find(match["module"])[0] if match else None


def call_factory(spec: str, what: str = "segmenter") -> Any:
    """Import what `"module:factory"` or `"file.py:factory"` names and call it, for it to build a `what`.

    Whatever the code does instead of answering (a syntax error, an exception, `sys.exit()`) is an InputError that
    says so in one sentence; only Ctrl-C stays what it is.
    """
    match = FACTORY.match(spec)
    if match is None and "://" in spec:
        raise InputError(f"a model of the hub is named by its id alone, owner/name, got {spec!r}")
    if match is None:
        raise InputError(f"a factory must read module:function or file.py:function, got {spec!r}")
    module = _import(match["module"], spec)
    factory = getattr(module, match["name"], None)
    if not callable(factory):
        legal = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        near = difflib.get_close_matches(match["name"], legal, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise InputError(
            f"{match['module']} has no function {match['name']!r}{hint}; {spec!r} must name one that builds the {what}"
        )
    with told(f"{spec} failed", f"it must build a {what} when called without arguments"):
        return factory()


@contextmanager
def told(what: str, remedy: str) -> Iterator[None]:
    """Turn whatever a user's code raises into an InputError of one sentence; Ctrl-C stays what it is."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        reason = said_by(error)
        kind = "sys.exit" if isinstance(error, SystemExit) else type(error).__name__
        raise InputError(f"{what}: {kind}{f': {reason}' if reason else ''}; {remedy}") from error


def _find(module: str) -> tuple[Path | None, bool]:
    """A module's file, if one is known, and whether the module is installed.

    A module is looked for among the installed ones, then in the working folder: nothing there shadows what is
    installed. (A preset's loader has looked beside the preset before, or in the working folder for a setting of the
    command line, and made a file's path of it: what was named so is what is meant.)
    """
    if module.endswith(".py"):
        return existing(module), False
    top, _, rest = module.partition(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return module_file(Path.cwd(), module), False
    if not rest:
        return (Path(spec.origin) if spec.has_location and spec.origin else None), True
    folders = spec.submodule_search_locations or ()
    return next(filter(None, (module_file(Path(folder), rest) for folder in folders)), None), True


def _import(module: str, spec: str) -> ModuleType:
    file, installed = _find(module)
    if module.endswith(".py") and file is None:
        raise InputError(f"{module} does not exist; {spec!r} must name a Python file and a function in it")
    with told(f"cannot import {module} for {spec!r}", "mend or install it, or name a file: folder/file.py:function"):
        return importlib.import_module(module) if installed or file is None else _load(file.resolve())


def _load(file: Path) -> ModuleType:
    """Run a file under a name of its own, so that two files of one stem do not meet.

    A file with relative imports is run as a part of its package, under such a name too.
    """
    _Neighbours.forget()
    relative = any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(ast.parse(file.read_bytes())))
    inner = [] if file.stem == "__init__" else [file.stem]
    folder = file.parent
    while relative and (folder / "__init__.py").is_file() and folder.parent != folder:
        inner.insert(0, folder.name)
        folder = folder.parent
    _Neighbours.serve(file.parent if folder == file.parent else folder)
    alias = f"_factory_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    if len(inner) < 2:
        search = [str(file.parent)] if relative or file.stem == "__init__" else None
        return _run(alias, file, search)
    _run(alias, folder / inner[0] / "__init__.py", [str(folder / inner[0])])
    return importlib.import_module(".".join([alias, *inner[1:]]))


def _run(name: str, file: Path, search: list[str] | None) -> ModuleType:
    for known in [known for known in sys.modules if known == name or known.startswith(f"{name}.")]:
        del sys.modules[known]  # an edited file is read again
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=search)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class _Neighbours:
    """Finds, for code of a factory's folder only and after everything installed, what lies beside it.

    `sys.path` would serve every library's optional imports as well.
    """

    folders: tuple[Path, ...] = ()
    served: frozenset[str] = frozenset()

    @classmethod
    def serve(cls, folder: Path) -> None:
        """Answer imports that code of `folder` makes."""
        cls.folders = tuple(dict.fromkeys((folder, *cls.folders)))
        if cls not in sys.meta_path:
            sys.meta_path.append(cls)

    @classmethod
    def forget(cls) -> None:
        """Drop what was served, so that another folder's module of that name, or an edited one, is read."""
        for name in [name for name in sys.modules if name.partition(".")[0] in cls.served]:
            del sys.modules[name]
        cls.served = frozenset()

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """A finder's one question; packages found here find their own modules."""
        folder = cls._asking_folder() if path is None and cls.folders else None
        found = PathFinder.find_spec(name, [str(folder)]) if folder else None
        if found is not None:
            cls.served |= {name}
        return found

    @classmethod
    def _asking_folder(cls) -> Path | None:
        """The folder that the code which imports lies in, if it is one of those served."""
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename.startswith((__file__, *_IMPORTERS)):
            frame = frame.f_back
        asking = Path(frame.f_code.co_filename)
        folder = next((folder for folder in cls.folders if asking.is_relative_to(folder)), None)
        # an environment may lie in the folder: what is installed there is none of the user's code
        installed = [Path(entry) for entry in sys.path if asking.is_relative_to(entry or Path.cwd())]
        return None if folder and any(folder in entry.parents for entry in installed) else folder


_IMPORTERS = ("<frozen importlib", str(Path(importlib.__file__).parent))
"""Where Python's own part of an import lies."""
