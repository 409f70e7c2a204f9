"""OneFormer and Mask2Former as transformers has them, without the lines that wait for a GPU."""

from __future__ import annotations

import importlib
from functools import partial
from types import FunctionType
from typing import Any

import torch

CHECK = "torch_compilable_check"
"""transformers' own check of its shapes, which reads a sum from the device in every layer."""

SINES = "build_sine_position_embedding"
"""What transformers keeps the last answer of."""
PIXEL_DECODERS = ("OneFormerPixelDecoder", "Mask2FormerPixelDecoder")


def let_run_ahead(network: torch.nn.Module) -> None:
    """Take the host's waits out of a OneFormer or Mask2Former; its answers stay the same."""
    module: Any = importlib.import_module(type(network).__module__)
    if hasattr(module, CHECK):
        setattr(module, CHECK, lambda *_, **__: None)
    for layer in network.modules():
        kind = type(layer)
        if kind.__name__ == "OneFormerTransformerDecoderLayer":
            layer.forward = partial(_decode, layer)
        if hasattr(kind, SINES):  # no graph may read what a cache gives up
            setattr(layer, SINES, getattr(getattr(kind, SINES), "__wrapped__", getattr(kind, SINES)))
        if kind.__name__ in PIXEL_DECODERS:
            plain = kind.forward
            names = {**plain.__globals__, "torch": _UploadsOnce()}
            layer.forward = partial(
                FunctionType(plain.__code__, names, None, plain.__defaults__, plain.__closure__), layer
            )


class _UploadsOnce:
    """What `torch` offers, but that a small table is brought to the device once: no graph can hold an upload."""

    def __init__(self) -> None:
        self._tables: dict[tuple[Any, ...], torch.Tensor] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def as_tensor(self, data: Any, dtype: torch.dtype | None = None, device: Any = None) -> torch.Tensor:
        """`torch.as_tensor`, of a list of shapes the one that was made before."""
        if not isinstance(data, list):
            return torch.as_tensor(data, dtype=dtype, device=device)
        key = (str(data), dtype, device)
        if key not in self._tables:
            self._tables[key] = torch.as_tensor(data, dtype=dtype, device=device)
        return self._tables[key]


def _decode(
    layer: Any,
    index: int,
    output: torch.Tensor,
    multi_stage_features: list[torch.Tensor],
    multi_stage_positional_embeddings: list[torch.Tensor],
    attention_mask: torch.Tensor,
    query_embeddings: torch.Tensor | None = None,
    output_attentions: bool | None = False,
) -> tuple[torch.Tensor, ...]:
    """`OneFormerTransformerDecoderLayer.forward`, whose rows of masks that hide everything are found by arithmetic."""
    level = index % layer.num_feature_levels
    output, across = layer.cross_attn(
        output,
        multi_stage_features[level],
        memory_mask=attention_mask & ~attention_mask.all(-1, keepdim=True),
        memory_key_padding_mask=None,
        pos=multi_stage_positional_embeddings[level],
        query_pos=query_embeddings,
    )
    output, among = layer.self_attn(output, output_mask=None, output_key_padding_mask=None, query_pos=query_embeddings)
    output = layer.ffn(output)
    return (output, among, across) if output_attentions else (output,)
