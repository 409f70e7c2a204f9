"""open_clip's models by tag, weights file, folder or hub id, with the activation that they were trained with."""

from __future__ import annotations

import json
import logging
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models.catalogue import OPEN_CLIP_CONFIG as CONFIG
from fiftyone_ssa.models.hub import loading
from fiftyone_ssa.presets.paths import existing

logger = logging.getLogger(__name__)

WHAT = "the class filter"
WEIGHTS = ("*.safetensors", "*.bin", "*.pth")
LOCAL = "local-dir:"


def load_clip(model: str) -> tuple[Any, Any, Any]:
    """The network, its preprocessing and its tokenizer.

    `model` is `"architecture:weights"`, where the weights are a tag or a file, a folder (also `"local-dir:FOLDER"`),
    or `"hf-hub:ID"`. Raises InputError if it cannot be loaded whole, with what to do.
    """
    folder = existing(model.removeprefix(LOCAL))
    if model.startswith((LOCAL, "./", "../", "~", "/")) or (folder is not None and folder.is_dir()):
        return _from_folder(model.removeprefix(LOCAL))
    if model.startswith("hf-hub:"):
        return _from_hub(model)
    return _by_name(model)


def _from_folder(name: str) -> tuple[Any, Any, Any]:
    path = name if name.startswith(("/", "./", "../", "~")) else f"./{name}"
    with loading(path, WHAT, config=CONFIG):
        folder = existing(name)
        if folder is not None and not any(any(folder.glob(pattern)) for pattern in WEIGHTS):
            raise InputError(f"cannot load {WHAT}: {folder} holds no weights; get the whole model again")
        return _create(f"{LOCAL}{folder}", None, quick_gelu=False)


def _from_hub(model: str) -> tuple[Any, Any, Any]:
    with loading(model, WHAT, get=_get(model)):
        return _create(model, None, quick_gelu=False)


def _by_name(model: str) -> tuple[Any, Any, Any]:
    """`"architecture:tag"` or `"architecture:file"`."""
    with loading(model, WHAT, get=_get(*model.split(":", 1))):
        import open_clip

        name, _, weights = model.partition(":")
        tags = open_clip.list_pretrained_tags_by_model(name)
        if name not in open_clip.list_models():
            raise InputError(f"open_clip knows no model {name!r}; name one of its models, a folder, or hf-hub:ID")
        if weights in tags:
            # OpenAI's weights were trained with another activation than the architecture's default
            quick_gelu = bool((open_clip.get_pretrained_cfg(name, weights) or {}).get("quick_gelu", False))
            return _create(name, weights, quick_gelu=quick_gelu)
    file = existing(weights) if weights else None
    if file is None or not file.is_file():
        raise InputError(
            f"{WHAT} {name!r} needs weights after a colon, got {weights!r}; "
            f"open_clip has {', '.join(tags)}, or give a file"
        )
    with loading(model, WHAT, get="check the file, it may be damaged or of another architecture"):
        return _from_file(name, file)


def _from_file(name: str, file: Path) -> tuple[Any, Any, Any]:
    import open_clip

    if _is_archive(file):
        network, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=None, force_quick_gelu=True)
        archive: Any = torch.jit.load(file, map_location="cpu")  # type: ignore[no-untyped-call]
        weights = archive.state_dict()
        numbers = ("input_resolution", "context_length", "vocab_size")
        network.load_state_dict({key: value for key, value in weights.items() if key not in numbers})
        return network, preprocess, open_clip.get_tokenizer(name)
    quick_gelu = _is_openais(name, file)
    if not quick_gelu and f"{name}-quickgelu" in open_clip.list_models():
        twin = f"{name}-quickgelu:{file}"
        logger.warning("%s is taken for weights trained with GELU; if they are OpenAI's, name them %s", file, twin)
    return _create(name, str(file), quick_gelu=quick_gelu)


def _is_archive(file: Path) -> bool:
    """Whether a file is a TorchScript archive, the form in which OpenAI publishes its weights."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(PurePosixPath(entry).name == "constants.pkl" for entry in archive.namelist())


def _is_openais(name: str, file: Path) -> bool:
    """Whether a file's own name, its folder's or the configuration beside it says that its weights are OpenAI's."""
    import open_clip

    config = file.parent / CONFIG
    if config.is_file():
        return bool(json.loads(config.read_text()).get("model_cfg", {}).get("quick_gelu", False))
    published = open_clip.get_pretrained_url(name, "openai").rpartition("/")[2]
    repository = [part for part in file.absolute().parts[-4:-2] if part.startswith("models--")]  # of the hub's cache
    names = [*file.absolute().parts[-2:], file.resolve().name, *repository]
    return file.name == published or any("openai" in name.lower() for name in names)


def _create(name: str, pretrained: str | None, *, quick_gelu: bool) -> tuple[Any, Any, Any]:
    import open_clip

    network, preprocess = open_clip.create_model_from_pretrained(
        name, pretrained=pretrained, force_quick_gelu=quick_gelu
    )
    tokenizer: Any = open_clip.get_tokenizer(name)
    tokenizer(["tree", "traffic light"])  # raises where its files do not fit together
    return network, preprocess, tokenizer


def _get(*arguments: str) -> str:
    called = ", ".join(map(repr, arguments))
    return (
        f'get it with `python -c "import open_clip; open_clip.create_model({called})"` '
        "where the Hugging Face hub can be reached, or give a folder"
    )
