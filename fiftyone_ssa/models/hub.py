"""Loading a model by id or folder, whole and of the right kind or not at all, with one clear sentence."""

from __future__ import annotations

import importlib
import pickle
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from logging import LogRecord, getLogger
from pathlib import Path
from typing import Any

import torch

from fiftyone_ssa.errors import InputError, said_by
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.models.faults import is_device_lost, is_out_of_memory
from fiftyone_ssa.models.hardware import FALLBACK
from fiftyone_ssa.presets.paths import existing

UNUSED = {
    "oneformer": re.compile(r"(^|\.)swin\.layernorm\.(weight|bias)$"),
    "dpt": re.compile(r"^neck\.fusion_stage\.layers\.0\.residual_layer1\."),
}
"""By `model_type`: weights that published checkpoints lack, and that no answer depends on."""

COMPUTED = re.compile(r"\.relative_position_index$")
"""Swin's tables, which earlier transformers look for in the files and make themselves where they are not there."""


OWN = "wrap it in a module:factory of your own"
FOLDERS = {
    "adapter_config.json": "is a LoRA adapter without its model; merge the two (peft's merge_and_unload), save that, "
    "and give its folder",
    "model_index.json": "is a diffusion pipeline, which draws images and names none; give a model that fits here",
    "modules.json": "is a model of sentence-transformers; give a model that fits here",
    "open_clip_config.json": "is a model of open_clip, which only the class filter takes; give a model that fits here",
    "saved_model.pb": f"is a TensorFlow model; {OWN}",
}
"""What a folder without a configuration of transformers is, by a file that tells."""
FILES = {
    (".gguf", ".ggml"): f"a file of llama.cpp; give the model's folder in the form of transformers, or {OWN}",
    (".onnx", ".ort"): f"an ONNX file; {OWN}",
    (".tflite", ".h5", ".keras", ".pb"): f"a TensorFlow file; {OWN}",
    (".engine", ".plan", ".trt"): f"a TensorRT engine; {OWN}",
    (".mlmodel", ".mlpackage"): f"a Core ML model; {OWN}",
    (".pkl", ".pickle", ".joblib"): f"a pickle, which may run any code when it is read; {OWN}",
    (".safetensors", ".bin", ".pt", ".pth", ".ckpt"): "weights alone; give the folder they came in, with its {}",
    (".zip", ".tar", ".gz", ".tgz"): "an archive; unpack it, and give the folder",
}
"""What a file is, or one in such a folder, by how its name ends."""
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""Either says how a model wants its images."""


@contextmanager
def loading(model: str, what: str, *, config: str = "config.json", get: str = "") -> Iterator[None]:
    """Turn a failure to load `model` (a Hugging Face id or a folder) into an InputError that says how to mend it.

    `what` is the place it is loaded for ("the decider"), `config` the file that makes a folder a model's, `get` how
    to get one that is not there, if not as usual. The libraries' own bars, notices and warnings stay quiet meanwhile;
    a download shows its bar.
    """
    if not model.strip():  # which would be the working directory
        raise InputError(f"cannot load {what}: its name is empty; give a model folder or a Hugging Face id")
    folder, name = existing(model), model if len(model) <= 200 else f"{model[:160]}... ({len(model)} characters)"
    local = folder is not None or model.startswith(("/", "./", "../", "~"))
    if local and folder is None:
        raise InputError(f"cannot load {what}: {name} does not exist; give a model folder or a Hugging Face id")
    if folder is not None and not (folder.is_dir() and (folder / config).is_file()):
        raise InputError(f"cannot load {what}: {model} {_what_it_is(folder, config)}")
    if folder is not None:
        _check_what_is_passed_over(folder, what)
    try:
        with quiet():
            yield
    except InputError:
        raise
    except Exception as error:  # damaged files raise anything: KeyError, SafetensorError, UnpicklingError ...
        if is_out_of_memory(error) or is_device_lost(error):
            raise
        if "does not recognize this architecture" in str(error) or "Unrecognized model in" in str(error):
            raise InputError(
                f"cannot load {what}: {name} is of a kind that transformers {version('transformers')} does not know; "
                f"give another model, install a later transformers, or {OWN}"
            ) from error
        if re.search("contains custom code|Unrecognized model type for subconfig", str(error)):
            raise InputError(
                f"cannot load {what}: {name} is in its authors' own form, which needs their code; name the repository "
                "that has it in the form of transformers (often with -hf or -community in its name), trust that code "
                f"(--trust-remote-code, of segmenters and captioners), or {OWN}"
            ) from error
        reason = said_by(error)
        if isinstance(error, pickle.UnpicklingError):
            reason = reason.partition(".")[0]  # torch goes on to advise reading it as code
        raise InputError(
            f"cannot load {what} {name}: {_remedy(name, local, get, error)} ({type(error).__name__}: {reason})"
        ) from error


def _check_what_is_passed_over(folder: Path, what: str) -> None:
    """Raise InputError for what transformers passes over in silence: damaged writing, and an emptied processor."""
    again = "get the whole model again"
    there = {name: folder / name for name in ("generation_config.json", *PROCESSORS) if (folder / name).is_file()}
    try:
        read = {name: read_json(path) for name, path in there.items()}
    except InputError as error:
        raise InputError(f"cannot load {what}: {error}; {again}") from error
    processors = [name for name in PROCESSORS if name in read]
    if processors and not any(read[name] for name in processors):  # images would be resized by a guess
        raise InputError(f"cannot load {what}: {there[processors[0]]} is emptied, it says nothing of images; {again}")


def _what_it_is(path: Path, config: str) -> str:
    """What a path is that is no model folder, and what to do."""
    if not path.is_dir():
        found = file_form(path.name, config)
        return f"is {found}" if found else f"is a file; give a model folder, with its {config}, or a Hugging Face id"
    names = sorted(entry.name for entry in path.iterdir())
    if not names:
        return "is an empty folder; give a model folder or a Hugging Face id"
    if told := next((told for file, told in FOLDERS.items() if file in names), None):
        return told
    found = next((form for name in names if (form := file_form(name, config))), "")
    return f"is not a model folder, it holds no {config}" + (
        f" but {found}" if found else "; give a model folder or a Hugging Face id"
    )


def file_form(name: str, config: str = "config.json") -> str:
    """What a file is that no slot reads, by its name, and what to do; empty if the name does not tell."""
    return next((told.format(config) for ends, told in FILES.items() if name.lower().endswith(ends)), "")


def _remedy(model: str, local: bool, get: str, error: Exception) -> str:
    if isinstance(error, ImportError):
        return "install what is missing"
    if "for the MPS device" in str(error):
        return f"MPS lacks an operation of it; set {FALLBACK} before the program begins, or take --device cpu"
    if local and re.search("Can't load (image processor|feature extractor)|Unrecognized processing class", str(error)):
        return "it comes without its preprocessor_config.json; get the whole model again"
    if local:
        return "check the folder, its files may be damaged, or give another one"
    if get:
        return get
    if "Repo id must" in str(error):
        return "there is no such folder, and no Hugging Face id reads so; give a model folder or an id (owner/name)"
    if isinstance(error, OSError | ValueError):  # what is not downloaded, or no id at all
        return (
            f"get it with `hf download {model}` where the Hugging Face hub can be reached, "
            "or give the path of a local folder"
        )
    return f"its files may be damaged, so get them again with `hf download --force-download {model}`"


@contextmanager
def quiet() -> Iterator[None]:
    """No bars, notices or warnings of the libraries that load models; a download keeps its bar."""
    hub: Any = importlib.import_module("huggingface_hub.utils")
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    downloads_show = not hub.are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()  # the hub's as well
    if downloads_show:
        hub.enable_progress_bars()
    root = getLogger()
    root.addFilter(_is_no_notice)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(_is_no_notice)
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _is_no_notice(record: LogRecord) -> bool:
    return "open_clip" not in record.pathname  # it logs as nobody, and what it means is told by its error


def check_kind(config: Any, model: str, what: str, legal: Mapping[str, Collection[str]], takes: str) -> None:
    """Raise InputError if a config is not of a `legal` kind, before any weights are read.

    `legal` gives, for each `model_type`, the architectures that will do; a config that names none is judged by its
    type alone. `takes` says what the place takes.
    """
    named = list(config.architectures or ())
    if config.model_type in legal and (not named or set(named) & set(legal[config.model_type])):
        return
    kind = named[0] if named else f"{config.model_type!r} model"
    raise InputError(f"cannot load {what}: {model} is a {kind}; give {takes}")


def load_whole(kind: Any, model: str, what: str, dtype: torch.dtype, **options: Any) -> Any:
    """`kind.from_pretrained(model)` in `dtype`, ready to answer; every weight of it must come from the files.

    Raises InputError if weights are missing or of another shape: transformers would fill them with random numbers.
    """
    network, report = kind.from_pretrained(
        model, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True, **options
    )
    unused = UNUSED.get(network.config.model_type)
    missing = sorted(
        name for name in report["missing_keys"] if not ((unused and unused.search(name)) or COMPUTED.search(name))
    )
    if missing:
        raise InputError(
            f"cannot load {what}: {model} lacks {len(missing)} weights of a {type(network).__name__}, "
            f"{missing[0]} among them; get the whole model again"
        )
    if mismatched := sorted(report["mismatched_keys"]):
        name, found, expected = mismatched[0]
        raise InputError(
            f"cannot load {what}: {len(mismatched)} weights of {model} have another shape than its config.json says, "
            f"{name} is {tuple(found)} instead of {tuple(expected)}; get the whole model again"
        )
    if report.get("error_msgs"):
        raise InputError(
            f"cannot load {what}: the weights of {model} do not fit a {type(network).__name__} "
            f"({' '.join(str(report['error_msgs'][0]).split())[:200]}); get the whole model again"
        )
    return network.requires_grad_(False).eval()


def check_vocabulary(tokenizer: Any, model: str, what: str, *, pads: bool = False) -> Any:
    """`tokenizer`, or InputError if it knows no words: transformers makes an empty one where the files are missing.

    It must read some, too, and fill short ones up where it `pads`, which it raises of, where files do not fit together.
    """
    if len(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)) < 2:
        raise InputError(
            f"cannot load {what}: {model} comes without its vocabulary (tokenizer.json, vocab.txt, or vocab.json and "
            "merges.txt); get the whole model again"
        )
    tokenizer(["tree", "traffic light"], padding=pads)
    return tokenizer
