"""NumPy arrays and torch tensors as memory that the library reads and writes, where they are."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from ..errors import InvalidArgument
from . import _structs

DTYPES = {"f32": 1, "f16": 2, "bf16": 3, "f8_e4m3": 4, "f8_e5m2": 5}
_SIZES = {"f32": 4, "f16": 2, "bf16": 2, "f8_e4m3": 1, "f8_e5m2": 1}
_NUMPY = {np.dtype(np.float32): "f32", np.dtype(np.float16): "f16", np.dtype(ml_dtypes.bfloat16): "bf16",
          np.dtype(ml_dtypes.float8_e4m3fn): "f8_e4m3", np.dtype(ml_dtypes.float8_e5m2): "f8_e5m2"}
_TORCH = {"torch.float32": "f32", "torch.float16": "f16", "torch.bfloat16": "bf16", "torch.float8_e4m3fn": "f8_e4m3",
          "torch.float8_e5m2": "f8_e5m2"}


def is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def dtype_name(dtype: Any, field: str) -> str:
    """`dtype`: a name of DTYPES, or a dtype of NumPy or torch. Errors: InvalidArgument (BAD_DTYPE)."""
    if isinstance(dtype, str) and dtype in DTYPES:
        return dtype
    name = _TORCH.get(str(dtype))
    if name is None:
        try:
            name = _NUMPY.get(np.dtype(dtype))
        except TypeError:
            name = None
    if name is None:
        raise InvalidArgument("BAD_DTYPE", f"{field} is {dtype}, none of {', '.join(DTYPES)}; raw bits need a named "
                                           "dtype")
    return name


@dataclass(frozen=True)
class Place:
    """The machine's memory, or that of a CUDA device; like: an array or tensor there, of the kind that results take."""

    device: int | None
    like: Any

    @property
    def name(self) -> str:
        return "cpu" if self.device is None else f"cuda:{self.device}"

    def fields(self) -> dict[str, int]:
        if self.device is None:
            return {"memory_kind": _structs.HOST}
        return {"memory_kind": _structs.DEVICE, "device": self.device}

    def zeros(self, shape: tuple[int, ...], dtype: str) -> Any:
        """dtype: NumPy's name of it."""
        if is_tensor(self.like):
            import torch

            return torch.zeros(shape, dtype=getattr(torch, dtype), device=self.like.device)
        return np.zeros(shape, dtype)

    def of(self, value: Any, dtype: str) -> Any:
        """`value` dense, of NumPy's dtype of that name, in this place; itself where it is so already."""
        if is_tensor(self.like):
            import torch

            tensor = torch.as_tensor(value, device=self.like.device)
            return tensor.to(getattr(torch, dtype)).contiguous()
        if is_tensor(value):
            value = value.detach().cpu().numpy()
        return np.ascontiguousarray(value, dtype)

    def positions(self, value: Any) -> Any:
        """int32 [count]. Errors: InvalidArgument (BAD_POSITIONS, BAD_SHAPE)."""
        if not is_tensor(value):
            value = np.asarray(value)
        if value.ndim != 1:
            raise InvalidArgument("BAD_SHAPE", f"positions have shape {tuple(value.shape)}, not [count]")
        if len(value) and str(value.dtype).removeprefix("torch.") != "int32":  # int32 is for the library to check
            of_whole_numbers = "int" in str(value.dtype)
            if not of_whole_numbers or value.min() < 0 or value.max() > np.iinfo(np.int32).max:
                raise InvalidArgument("BAD_POSITIONS", "positions are not whole numbers of 32 bits from 0")
        return self.of(value, "int32")


def place_of(*values: Any) -> Place:
    """Where all of `values` are that are given. Errors: InvalidArgument (MIXED_DEVICES)."""
    places: dict[int | None, Any] = {}
    for value in values:
        if value is None:
            continue
        if is_tensor(value):
            if value.device.type not in ("cpu", "cuda"):
                raise InvalidArgument("BAD_DEVICE", f"a tensor is on {value.device}; known are cpu and cuda")
            device = value.device.index if value.device.type == "cuda" else None
        else:
            device = None
        places.setdefault(device, value)
    if len(places) > 1:
        raise InvalidArgument("MIXED_DEVICES", "tensors are in more than one memory")
    device, like = next(iter(places.items()), (None, None))
    return Place(device, like)


def empty(shape: tuple[int, ...], like: Any) -> Any:
    """With indeterminate contents; of the kind, dtype and memory of `like`."""
    if is_tensor(like):
        import torch

        return torch.empty(shape, dtype=like.dtype, device=like.device)
    return np.empty(shape, like.dtype)


def address(value: Any) -> int:
    return int(value.data_ptr() if is_tensor(value) else value.ctypes.data)


def size_bytes(value: Any) -> int:
    return int(value.numel() * value.element_size() if is_tensor(value) else value.nbytes)


def strides(value: Any) -> tuple[int, ...]:
    """In bytes."""
    if is_tensor(value):
        return tuple(stride * value.element_size() for stride in value.stride())
    return tuple(value.strides)


def is_dense(value: Any) -> bool:
    return bool(value.is_contiguous() if is_tensor(value) else value.flags.c_contiguous)


def item_size(value: Any) -> int:
    return int(value.element_size() if is_tensor(value) else value.itemsize)


def element_dtype(value: Any, named: str | None, field: str) -> str:
    """The dtype of `value`'s elements; `named` says what raw bits (uint16, uint8) are. Errors: InvalidArgument
    (BAD_DTYPE)."""
    raw = str(value.dtype).removeprefix("torch.") in ("uint16", "int16", "uint8", "int8")
    if not raw:
        return dtype_name(value.dtype, field)
    if named is None:
        raise InvalidArgument("BAD_DTYPE", f"{field} holds raw bits ({value.dtype}): name their dtype")
    name = dtype_name(named, field)
    if _SIZES[name] != item_size(value):
        raise InvalidArgument("BAD_DTYPE",
                              f"{field} has elements of {item_size(value)} bytes, not {_SIZES[name]}: {name}")
    return name


def typed(array: Any, named: str | None) -> Any:
    """A NumPy array of raw bits as one of the dtype that they are; others as they are."""
    if named is None or str(array.dtype) not in ("uint16", "int16", "uint8", "int8"):
        return array
    dtypes = {name: dtype for dtype, name in _NUMPY.items()}
    return array.view(dtypes[dtype_name(named, "dtype")])
