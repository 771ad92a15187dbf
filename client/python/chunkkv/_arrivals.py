"""The tensors of a layer that is being served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import byte_view, torch_dtype
from ._device_rows import DeviceRows
from .errors import DataLoss
from .paged import Rows
from .v1 import payload_pb2

TensorName = tuple[int, int, str]  # layer, TensorKind, name of a NAMED one
FIELDS = {payload_pb2.TENSOR_KIND_KEYS: "k", payload_pb2.TENSOR_KIND_VALUES: "v",
          payload_pb2.TENSOR_KIND_KEY_SCALES: "k_scale", payload_pb2.TENSOR_KIND_VALUE_SCALES: "v_scale"}
"""Of an EntryLayer, by TensorKind."""


@dataclass
class InlineTensor:
    """One that comes in parts. next: begin of what comes next, within [first, end)."""

    kind: int
    name: str
    buffer: Any  # uint8
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    row_bytes: int
    first: int
    next: int
    end: int

    def take(self, part: Any, data: Any) -> None:
        if part.begin != self.next or not part.begin < part.end <= self.end:
            raise DataLoss("MALFORMED_REPLY", f"layer {part.layer}: [{part.begin}, {part.end}) follows {self.next}")
        if len(data) != (part.end - part.begin) * self.row_bytes:
            raise DataLoss("MALFORMED_REPLY", f"layer {part.layer}: {len(data)} bytes for [{part.begin}, {part.end})")
        at = (part.begin - self.first) * self.row_bytes
        self._write(slice(at, at + len(data)), data)
        self.next = part.end

    def _write(self, place: slice, data: Any) -> None:
        self.buffer[place] = np.frombuffer(data, np.uint8)

    @property
    def is_complete(self) -> bool:
        return self.next == self.end

    def data(self) -> memoryview:
        return self.buffer.data

    def rows(self) -> Any:
        return self.buffer.view(self.dtype).reshape(self.shape)


class ChannelTensor(InlineTensor):
    """One that comes over a channel: parts and buffer are uint8 tensors of a GPU."""

    def _write(self, place: slice, data: Any) -> None:
        self.buffer[place].copy_(data)

    def data(self) -> memoryview:
        return byte_view(DeviceRows(self.buffer))

    def rows(self) -> Any:
        return self.buffer.view(torch_dtype(self.dtype)).reshape(self.shape)


@dataclass
class PlacedTensor:
    """One that the server writes to its place in a region, or that lies in the entry's mapping."""

    kind: int
    name: str
    place: Rows
    is_complete: bool

    def data(self) -> memoryview:
        return byte_view(self.place)

    def rows(self) -> Any:
        """The place; of a GPU, the tensor."""
        return self.place.tensor if isinstance(self.place, DeviceRows) else self.place


Arrival = InlineTensor | PlacedTensor
