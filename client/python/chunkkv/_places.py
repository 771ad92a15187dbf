"""Where in regions a get's tensors are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from ._arrays import byte_view
from ._arrivals import FIELDS, TensorName
from ._device_rows import as_rows
from ._lending import LentMemory
from .errors import DataLoss, InvalidArgument
from .paged import PagedRows, Rows
from .regions import ALIGNMENT, Arena
from .v1 import get_pb2, payload_pb2

_KINDS = {name: kind for kind, name in FIELDS.items()}


class Places(Protocol):
    """target: what to ask for."""

    target: get_pb2.GetCacheRequest.Target

    def lay_out(self, places: Iterable[Any]) -> None:
        """Takes what the header says of them. Errors: DataLoss."""

    def rows(self, name: TensorName, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Rows:
        """Where a tensor of the entry comes to lie. Errors: DataLoss, InvalidArgument."""


class GivenPlaces:
    """The caller's own arrays."""

    def __init__(self, into: Mapping[tuple[int, str], Any], lent: LentMemory):
        """into: an array in a region, or PagedRows, for each (layer, name): k, v, k_scale, v_scale as an EntryLayer has
        them, else the name of a verbatim tensor. Errors: InvalidArgument (BAD_TARGET, NOT_IN_REGION)."""
        self._rows: dict[TensorName, Rows] = {}
        self.target = get_pb2.GetCacheRequest.Target()
        for (layer, name), value in into.items():
            place: Rows = value if isinstance(value, PagedRows) else as_rows(value)
            kind = _KINDS.get(name, payload_pb2.TENSOR_KIND_NAMED)
            tensor = "" if name in _KINDS else name
            if place.ndim != (3 if name in _KINDS else 1):
                raise InvalidArgument("BAD_TARGET", f"into[{layer}, {name!r}] has shape {place.shape}")
            found = lent.slice_of_rows(place) if place.ndim == 3 else lent.slice_of_bytes(byte_view(place))
            if found is None:
                raise InvalidArgument("NOT_IN_REGION", f"into[{layer}, {name!r}] is in no open region of the client")
            self._rows[layer, kind, tensor] = place
            self.target.layers.add(layer=layer, tensor=kind, name=tensor, slice=found)

    def lay_out(self, places: Iterable[Any]) -> None:
        pass

    def rows(self, name: TensorName, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Rows:
        """Errors: InvalidArgument (BAD_TARGET) where the entry's tensor is of another kind."""
        place = self._rows.get(name)
        if place is None or len(place) < shape[0] or place.shape[1:] != shape[1:] or place.dtype != dtype:
            raise InvalidArgument("BAD_TARGET", f"layer {name[0]} has {dtype} {shape}, not what `into` has for it")
        return place[:shape[0]] if isinstance(place, np.ndarray) else place.first(shape[0])


class RestOfRegion:
    """New arrays, where the server lays them out in what is left of a region."""

    def __init__(self, region: Arena, offset: int, size_bytes: int):
        self._region, self._begin, self._end = region, offset, offset + size_bytes
        self._places: dict[TensorName, tuple[int, int]] = {}
        self.is_laid_out = False
        self.target = get_pb2.GetCacheRequest.Target(whole=payload_pb2.RegionSlice(
            region_id=region.region_id, offset_bytes=offset, length_bytes=size_bytes))

    def lay_out(self, places: Iterable[Any]) -> None:
        end = self._begin
        for place in places:
            begin, size_bytes = place.offset_bytes, place.size_bytes
            if begin < end or begin % ALIGNMENT or not 0 <= size_bytes <= self._end - begin:
                raise DataLoss("MALFORMED_REPLY", f"layer {place.layer} is placed outside of what was free")
            self._places[place.layer, place.tensor, place.name] = begin, size_bytes
            end = begin + size_bytes
        self._region.take_until(end)
        self.is_laid_out = True

    def rows(self, name: TensorName, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Rows:
        offset, size_bytes = self._places.get(name, (0, -1))
        if math.prod(shape) * dtype.itemsize != size_bytes:
            raise DataLoss("MALFORMED_REPLY", f"layer {name[0]} has no place for {dtype} {shape}")
        return self._region.view(offset, shape, dtype)


@contextmanager
def rest_of(region: Arena) -> Iterator[RestOfRegion]:
    """All that is left of a region; given back where the context ends before the layout is known.
    Errors: ResourceExhausted (REGION_FULL)."""
    offset, size_bytes = region.take_rest()
    places = RestOfRegion(region, offset, size_bytes)
    try:
        yield places
    finally:
        if not places.is_laid_out:
            region.take_until(offset)
