"""NumPy arrays and torch tensors as the bytes that travel, and back."""

from __future__ import annotations

import sys
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from .errors import InvalidArgument
from .v1 import layout_pb2

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

NUMPY_DTYPES: dict[int, np.dtype[Any]] = {
    layout_pb2.DTYPE_F32: np.dtype(np.float32),
    layout_pb2.DTYPE_F16: np.dtype(np.float16),
    layout_pb2.DTYPE_BF16: np.dtype(ml_dtypes.bfloat16),
    layout_pb2.DTYPE_F8_E4M3: np.dtype(ml_dtypes.float8_e4m3fn),
    layout_pb2.DTYPE_F8_E5M2: np.dtype(ml_dtypes.float8_e5m2),
}
_WIRE_DTYPES = {dtype: number for number, dtype in NUMPY_DTYPES.items()}
# Torch's dtypes that NumPy lacks: the torch dtype to reinterpret as, and the NumPy dtype seen through it.
_TORCH_VIEWS = {
    "torch.bfloat16": ("int16", np.dtype(ml_dtypes.bfloat16)),
    "torch.float8_e4m3fn": ("uint8", np.dtype(ml_dtypes.float8_e4m3fn)),
    "torch.float8_e5m2": ("uint8", np.dtype(ml_dtypes.float8_e5m2)),
}
_TORCH_NAMES = {dtype: (name.removeprefix("torch."), view) for name, (view, dtype) in _TORCH_VIEWS.items()}


def wire_dtype(dtype: Any, field: str) -> int:
    """The wire's DType. Errors: InvalidArgument (BAD_DTYPE)."""
    number = _WIRE_DTYPES.get(np.dtype(dtype))
    if number is None:
        known = ", ".join(str(known) for known in _WIRE_DTYPES)
        raise InvalidArgument("BAD_DTYPE", f"{field} is {dtype}; known are {known}")
    return number


def as_array(value: Any) -> Array:
    """`value` as a NumPy array, without a copy for arrays and for torch tensors in CPU memory."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return np.asarray(value)
    tensor = value.detach().cpu()
    view = _TORCH_VIEWS.get(str(tensor.dtype))
    if view is None:
        return np.asarray(tensor.numpy())
    return np.asarray(tensor.view(getattr(torch, view[0])).numpy()).view(view[1])


def numpy_dtype(dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype of torch's `dtype`."""
    import torch

    view = _TORCH_VIEWS.get(str(dtype))
    found: np.dtype[Any] = view[1] if view else torch.empty(0, dtype=dtype).numpy().dtype
    return found


def torch_dtype(dtype: np.dtype[Any]) -> Any:
    """Torch's, of a NumPy dtype."""
    return as_tensor(np.empty(0, dtype)).dtype


def as_tensor(array: Any) -> Any:
    """`array` as a torch tensor over the same memory; rows of a paged cache are gathered."""
    import torch

    if isinstance(array, torch.Tensor):
        return array
    array = np.asarray(array)
    if not array.flags.writeable:  # of a mapped entry: torch knows no such tensors, and writes harm nobody
        array = array.view()
        array.flags.writeable = True
    view = _TORCH_NAMES.get(array.dtype)
    if view is None:
        return torch.from_numpy(array)
    name, carrier = view
    return torch.from_numpy(array.view(getattr(np, carrier))).view(getattr(torch, name))


def byte_view(array: Any) -> memoryview:
    """The array's bytes in C order; a copy only where it is not contiguous, as rows of a paged cache are not."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
