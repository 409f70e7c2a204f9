"""Launches and waits counted on the CPU, where there is no GPU to measure: what a device would be given.

A launch is an operator that computes or copies; views, new memory and what the host keeps to itself are none. A wait
is what needs an answer of the device, or hands it memory that is not pinned: `item`, `cpu`, `tolist`, `nonzero`, an
index by booleans, a tensor made of Python's numbers.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import _probes
from benchmarks._architectures import PARITY, parity_models
from benchmarks._gpu_pipelines import chunks_of
from fiftyone_ssa.models import narrow_attention
from fiftyone_ssa.models.captioning import BlipCaptioner
from fiftyone_ssa.models.class_filter import ClassFilter
from fiftyone_ssa.models.decider import Decider
from fiftyone_ssa.models.resizing import squares_of
from fiftyone_ssa.models.scores import ClassScores

NO_LAUNCH = frozenset(
    re.split(
        r"\s+",
        """view _unsafe_view reshape as_strided expand permute transpose t select slice unsqueeze squeeze detach alias
        split split_with_sizes unbind empty empty_like new_empty empty_strided new_empty_strided lift_fresh set_ item
        _local_scalar_dense unfold resize_ unsafe_split _reshape_alias is_same_size flatten unflatten dropout is_nonzero
        detach_ chunk expand_as view_as contiguous size numel movedim narrow""",
    )
)
"""Where nothing has to be copied; dropout is none in a model that answers."""
WAITING = frozenset(("item", "is_nonzero", "_local_scalar_dense", "nonzero", "masked_select", "bincount", "equal"))
METHODS = ("cpu", "tolist")
"""Of a tensor: they bring it to the host."""
FACTORIES = ("tensor", "as_tensor")
"""Of torch: memory of Python's, which is not pinned."""
DEPTHS: dict[str, dict[str, Any]] = {
    "oneformer-coco": {"encoder_layers": 6, "decoder_layers": 10},
    "oneformer-ade20k": {"encoder_layers": 6, "decoder_layers": 10},
    "blip": {"vision_config": {"num_hidden_layers": 24}, "text_config": {"num_hidden_layers": 12}},
    "clipseg": {
        "extract_layers": [3, 6, 9],
        "use_complex_transposed_convolution": True,
        "vision_config": {"num_hidden_layers": 12, "patch_size": 16},
    },
}
"""Those of engine-base; Swin's and CLIP's are as the parity models have them."""


def deep_models(folder: Path) -> dict[str, Any]:
    """Settings of `open_vocabulary` for models as deep as engine-base's and as narrow as the tests', weights random."""
    import transformers

    torch.manual_seed(0)
    for name, changes in DEPTHS.items():
        small = PARITY / "models" / name
        shutil.copytree(small, folder / name, ignore=shutil.ignore_patterns("*.safetensors"))
        config = transformers.AutoConfig.from_pretrained(small)
        for key, value in changes.items():
            if isinstance(value, dict):
                for inner, number in value.items():
                    setattr(getattr(config, key), inner, number)
            else:
                setattr(config, key, value)
        getattr(transformers, config.architectures[0])(config).save_pretrained(folder / name)
    return {
        **parity_models(),
        "segmenters": (str(folder / "oneformer-coco"), str(folder / "oneformer-ade20k")),
        "captioner": str(folder / "blip"),
        "decider": str(folder / "clipseg"),
    }


class Watch(TorchDispatchMode):
    """Counts operators while it is open, by name, and those that wait, by our own line."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name not in NO_LAUNCH:
            self.launches[name] += 1
        indices = args[1] if name in ("index", "index_put", "index_put_") else ()
        if (
            name in WAITING
            or (name == "where" and len(args) == 1)
            or any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in indices)
        ):
            self.note(name)
        return func(*args, **(kwargs or {}))

    def note(self, name: str) -> None:
        """A wait of that name, where it is."""
        self.waits[f"{name}: {_probes._place(sys._getframe(2))}"] += 1


@contextmanager
def counting() -> Iterator[Watch]:
    """Counts launches and waits of this thread."""
    counter = Watch()

    def noting(name: str, original: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if name in METHODS or not (isinstance(arguments[0], torch.Tensor) or arguments[0] == []):
                counter.note(name)
            return original(*arguments, **options)

        return call

    with ExitStack() as stack:
        for name in METHODS:
            stack.enter_context(mock.patch.object(torch.Tensor, name, noting(name, getattr(torch.Tensor, name))))
        for name in FACTORIES:
            stack.enter_context(mock.patch.object(torch, name, noting(name, getattr(torch, name))))
        stack.enter_context(counter)
        yield counter


@contextmanager
def as_on_a_gpu(engine: Any) -> Iterator[None]:
    """Let an engine on the CPU go the ways, and in the batches, that it goes on a GPU."""
    before = [(chunks, dict(vars(chunks))) for chunks in chunks_of(engine)]
    for chunks, _ in before:
        chunks.size, chunks.pad, chunks.parallel = (1 if chunks.size == 1 else max(chunks.size, 32)), True, False
    cpu = torch.device("cpu")
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(ClassScores, "dense", True))
        stack.enter_context(mock.patch.object(narrow_attention, "WIDTH", 0))
        if isinstance(engine.decider, Decider):
            ends = engine.decider._pick_ends(crop_by_crop=False)
            stack.enter_context(mock.patch.object(engine.decider, "_ends", ends))
        if isinstance(engine.captioner, BlipCaptioner):
            squares = squares_of(engine.captioner._processor.image_processor, cpu)
            stack.enter_context(mock.patch.object(engine.captioner, "_squares", squares))
        if isinstance(engine.class_filter, ClassFilter):
            squares = engine.class_filter._all_at_once(cpu)
            stack.enter_context(mock.patch.object(engine.class_filter, "_squares", squares))
        try:
            yield
        finally:
            for chunks, kept in before:
                vars(chunks).update(kept)
