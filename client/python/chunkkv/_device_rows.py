"""Tensors of a GPU, where the rest of the client knows arrays."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import Array, as_array, numpy_dtype
from .errors import InvalidArgument


class DeviceRows:
    """A torch tensor on a GPU in an array's place: its shape, its dtype and its address, without its bytes. What is
    taken out of it is copied to the host."""

    def __init__(self, tensor: Any):
        self.tensor = tensor.detach()
        self.dtype = numpy_dtype(tensor.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Array:
        import torch

        parts = index if isinstance(index, tuple) else (index,)
        on_device = tuple(torch.as_tensor(part, device=self.tensor.device) if isinstance(part, np.ndarray) else part
                          for part in parts)
        return as_array(self.tensor[on_device])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        rows = as_array(self.tensor)
        return rows if dtype is None else rows.astype(dtype, copy=False)

    def transpose(self, *axes: int) -> DeviceRows:
        return DeviceRows(self.tensor.permute(*axes))

    def first(self, row_count: int) -> DeviceRows:
        """The first rows alone."""
        return DeviceRows(self.tensor[:row_count])

    def outline(self) -> Array:
        """An array of the same shape, strides and address: for what is computed from these. Its bytes are the GPU's,
        and end the process that touches them."""
        strides = tuple(stride * self.itemsize for stride in self.tensor.stride())
        return np.asarray(_Outline(self.tensor.data_ptr(), self.shape, strides, self.itemsize)).view(self.dtype)

    def wait(self) -> None:
        """Returns when what was to write the tensor, or read it, on the current stream has done so."""
        import torch

        if self.tensor.is_cuda:
            torch.cuda.current_stream(self.tensor.device).synchronize()


@dataclass(frozen=True)
class DeviceSpan:
    """The bytes that a tensor lies in, from its first one to its last one."""

    address: int
    size_bytes: int


@contextmanager
def span_of(tensor: Any) -> Iterator[DeviceSpan]:
    """Where a tensor of a GPU lies; the context of that GPU is current. Errors: InvalidArgument (NOT_ON_DEVICE)."""
    import torch

    if not is_on_device(tensor):
        raise InvalidArgument("NOT_ON_DEVICE", "only tensors on a GPU are lent; see allocate_region for the host's")
    last = sum((count - 1) * stride for count, stride in zip(tensor.shape, tensor.stride()))
    span = DeviceSpan(tensor.data_ptr(), (last + 1) * tensor.element_size() if tensor.numel() else 0)
    with torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext():
        yield span


class _Outline:
    def __init__(self, address: int, shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int):
        self.__array_interface__ = {"version": 3, "data": (address, False), "shape": shape, "strides": strides,
                                    "typestr": f"|V{itemsize}"}


def is_on_device(value: Any) -> bool:
    """Whether this is a torch tensor on a GPU."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor) and value.is_cuda


def as_rows(value: Any) -> Any:
    """`value` as a NumPy array, or, where it is on a GPU, as DeviceRows."""
    if isinstance(value, DeviceRows):
        return value
    return DeviceRows(value) if is_on_device(value) else as_array(value)


def outline_of(rows: Any) -> Any:
    """Arrays as they are."""
    return rows.outline() if isinstance(rows, DeviceRows) else rows
