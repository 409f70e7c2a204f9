"""A device "mps" where there is none: tensors that say they lie there, compute on the CPU, and refuse what MPS refuses.

What MPS lacks is float64, and each operation for which torch's own table of kernels (`native_functions.yaml`, which
comes with torch) names no kernel of MPS; the errors are those of torch. Tensors of two devices do not mix. Speed,
memory and faults of real kernels are not stood in for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torchgen
import yaml
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

MPS = torch.device("mps", 0)
FLOAT64 = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
MISSING = (
    "The operator 'aten::{}' is not currently implemented for the MPS device. As a temporary fix, you can set the "
    "environment variable `PYTORCH_ENABLE_MPS_FALLBACK=1` to use the CPU as a fallback for this op."
)
MAY_MIX = (
    "_has_compatible_shallow_copy_type",
    "copy_",
    "_to_copy",
    "index",
    "index_put_",
    "_index_put_impl_",
    "index_put",
)
"""Operations that take tensors of the CPU beside those of a device."""


@lru_cache(maxsize=1)
def implemented() -> frozenset[str]:
    """The operations that MPS has, by `name.overload`."""
    table = yaml.load(
        (Path(torchgen.__file__).parent / "packaged/ATen/native/native_functions.yaml").read_text(),
        Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader),
    )
    entries = {entry["func"].partition("(")[0]: entry for entry in table}

    def has(name: str) -> bool:
        entry = entries[name]
        if delegate := entry.get("structured_delegate"):
            return has(delegate)
        kernels = entry.get("dispatch")
        if not kernels:
            return True  # made of others
        keys = {key.strip() for group in kernels for key in group.split(",")}
        return "MPS" in keys or any(key.startswith("Composite") for key in keys)

    return frozenset(name for name in entries if has(name))


class _OnMps(torch.Tensor):
    """A tensor of the CPU that says it lies on MPS. torch's own code, which looks past Python, finds one of the CPU."""

    elem: torch.Tensor

    @staticmethod
    def __new__(cls, elem: torch.Tensor) -> _OnMps:
        if elem.dtype in (torch.float64, torch.complex128):
            raise TypeError(FLOAT64)
        made: _OnMps = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, elem.size(), elem.stride(), elem.storage_offset(), dtype=elem.dtype, device="cpu", requires_grad=False
        )
        made.elem = elem
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda _: MPS)  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Moving(TorchFunctionMode):
    """What makes tensors on the device, or brings them there and back."""

    def __torch_function__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.to:
            return _to(*args, **kwargs)
        if func in (torch.Tensor.__format__, torch.Tensor.__repr__):
            return func(_bare(args[0]), *args[1:])
        if func is torch.Tensor.untyped_storage:
            return _bare(args[0]).untyped_storage()
        if func is torch.Tensor.cpu:
            return _bare(args[0])
        if func is torch.Tensor.tolist:
            return _bare(args[0]).tolist()
        if func in (torch.Tensor.numpy, torch.Tensor.__array__) and isinstance(args[0], _OnMps):
            raise TypeError("can't convert mps:0 device type tensor to numpy. Use Tensor.cpu() first.")
        device = kwargs.get("device")
        if device is not None and torch.device(device).type == "mps":
            return tree_map(_placed, func(*tree_map(_bare, args), **{**kwargs, "device": "cpu"}))
        return func(*args, **kwargs)


def _to(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """`tensor.to(...)`, of a device, a type, both, or another tensor."""
    if args and isinstance(args[0], torch.Tensor):
        args, kwargs = (), {"device": args[0].device, "dtype": args[0].dtype, **kwargs}
    device = next((value for value in args if isinstance(value, str | torch.device)), kwargs.pop("device", None))
    dtype = next((value for value in args if isinstance(value, torch.dtype)), kwargs.pop("dtype", None))
    on_mps = torch.device(device if device is not None else tensor.device).type == "mps"
    bare: torch.Tensor = _bare(tensor)
    if on_mps and isinstance(tensor, _OnMps) and dtype in (None, tensor.dtype) and not kwargs.get("memory_format"):
        return tensor
    moved = bare.to(dtype=dtype or bare.dtype, **kwargs)
    return _OnMps(moved.clone() if moved is bare else moved) if on_mps else moved


class _Computing(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Event:
    """A mark in a device's queue, which is always over here."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def record(self, *_: Any) -> None:
        """Nothing waits."""

    def synchronize(self) -> None:
        """Likewise."""

    def query(self) -> bool:
        """It is over."""
        return True


@contextmanager
def stand_in() -> Iterator[None]:
    """While it is entered, `.to("mps")`, `device="mps"` and all that follows work as described above."""
    kept = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # a parameter becomes another, not another's data
    try:
        with _Moving(), _Computing(), mock.patch.object(torch, "Event", _Event):
            yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(kept)


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    found: list[torch.Tensor] = []
    tree_map(lambda value: found.append(value) if isinstance(value, torch.Tensor) else None, (args, kwargs))
    here = [tensor for tensor in found if not isinstance(tensor, _OnMps)]
    on_mps = len(here) < len(found)
    name = str(func).removeprefix("aten.").removesuffix(".default")
    if on_mps and func.namespace == "aten":
        if name not in implemented() and not name.startswith("_scaled_dot_product"):  # MPS has one of its own
            raise NotImplementedError(MISSING.format(name))
        if any(tensor.ndim for tensor in here) and name.partition(".")[0] not in MAY_MIX:
            raise RuntimeError(f"Expected all tensors to be on the same device, but aten::{name} got mps:0 and cpu")
    answer = func(*tree_map(_bare, args), **tree_map(_bare, kwargs))
    if func is torch.ops.aten.copy_.default:
        on_mps = isinstance(args[0], _OnMps)
    if written := _written(func, args, kwargs):
        return written[0] if len(written) == 1 else tuple(written)
    return tree_map(_placed, answer) if on_mps else answer


def _bare(value: Any) -> Any:
    return value.elem if isinstance(value, _OnMps) else value


def _placed(value: Any) -> Any:
    return _OnMps(value) if isinstance(value, torch.Tensor) and not isinstance(value, _OnMps) else value


def _written(func: Any, args: Any, kwargs: dict[str, Any]) -> list[Any]:
    """The arguments that an operation writes to and answers, if it does."""
    if not any(result.alias_info is not None and result.alias_info.is_write for result in func._schema.returns):
        return []
    named = list(zip(func._schema.arguments, args, strict=False))
    chosen = [value for argument, value in named if argument.alias_info is not None and argument.alias_info.is_write]
    rest = [argument.name for argument in func._schema.arguments[len(args) :]]
    return chosen + [
        kwargs[argument.name]
        for argument in func._schema.arguments
        if argument.name in rest and argument.name in kwargs and argument.alias_info and argument.alias_info.is_write
    ]
