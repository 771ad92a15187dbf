"""Where rows lie on their way to and from the service: memory that is lent to it, where it is on this host, or the
worker's own."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .. import errors
from .._arrays import as_tensor
from ..client import Client
from .connection import Health, is_absence, reason_of

_ALIGNMENT = 64


class FreeRanges:
    """The free ranges of a number of bytes, the first that is large enough being taken. Not thread-safe."""

    def __init__(self, size: int):
        self._free = [(0, size)]  # (begin, end), ascending, none next to another

    def take(self, size: int) -> int | None:
        """Where so many bytes are free; None: nowhere."""
        size = -(-size // _ALIGNMENT) * _ALIGNMENT
        for index, (begin, end) in enumerate(self._free):
            if end - begin >= size:
                self._free[index:index + 1] = [(begin + size, end)] if end - begin > size else []
                return begin
        return None

    def give_back(self, begin: int, size: int) -> None:
        end = begin + -(-size // _ALIGNMENT) * _ALIGNMENT
        index = next((index for index, free in enumerate(self._free) if free[0] >= end), len(self._free))
        self._free.insert(index, (begin, end))
        for left in (index, index - 1):
            if 0 <= left < len(self._free) - 1 and self._free[left][1] == self._free[left + 1][0]:
                self._free[left:left + 2] = [(self._free[left][0], self._free[left + 1][1])]


@dataclass(frozen=True)
class Place:
    """Where rows lie. region: of the client, that it is part of; None: the worker's own memory. release: nothing uses it
    any more."""

    tensor: torch.Tensor
    region: Any
    release: Callable[[], None]


class RowMemory:
    """At most `budget` bytes of rows. What is lent to the service is used first, the worker's own memory beside it.
    gpu_buffer: a tensor of bytes on a GPU to be lent; shared: without one, whether to ask for a region of the budget."""

    def __init__(self, client: Any, budget: int, shared: bool, gpu_buffer: torch.Tensor | None = None):
        self._client, self._budget, self._is_shared = client, budget, shared
        self._gpu_buffer, self._was_asked = gpu_buffer, not isinstance(client, Client)
        self._lock = threading.Lock()
        self._health = Health()
        self._ranges = FreeRanges(max(budget, 0 if gpu_buffer is None else gpu_buffer.nbytes))
        self._region: Any = None
        self._bytes: torch.Tensor | None = None  # of the region
        self._lost: list[torch.Tensor | None] = []

    def share(self) -> None:
        """Lends memory to the service, where it takes it. It is asked once, or until it is there."""
        with self._lock:
            if self._was_asked or not self._health.is_well:
                return
            self._was_asked = True
        try:
            transports = self._client.capabilities(timeout=1.0).transports
            if self._gpu_buffer is not None and "device_memory" in transports:
                self._lend(self._client.lend(self._gpu_buffer, name="vllm"), self._gpu_buffer)
            elif self._is_shared and "shared_memory" in transports:
                region = self._client.allocate_region(self._budget, name="vllm")
                self._lend(region, as_tensor(region.array(self._budget, np.uint8)))
            self._health.note(None)
        except errors.Error as error:  # rows are sent
            self._health.note(error)
            self._was_asked = not is_absence(error)

    def note(self, failure: BaseException, region: Any) -> None:
        """A transfer of rows in a region has failed: where the service may have lost the memory, or may still write to it,
        the memory is given up, and other is lent when it is asked for."""
        if not isinstance(failure, errors.Unavailable) and not str(reason_of(failure)).startswith("REGION"):
            return
        with self._lock:
            if region is None or region is not self._region:
                return
            memory, self._region, self._bytes = self._bytes, None, None
        try:
            region.close()
        except errors.Error:
            self._lost.append(memory)  # never used again: the service, when it goes on, may write to it
            self._gpu_buffer = None
        self._was_asked = False

    def copy_all(self, tensors: Sequence[torch.Tensor]) -> list[RowCopy] | None:
        """None where there is no room for all of them."""
        copies: list[RowCopy] = []
        for rows in tensors:
            place = self._place(tuple(rows.shape), rows.dtype, rows.device.type == "cuda")
            if place is None:
                for made in copies:
                    made.release()
                return None
            copies.append(RowCopy(rows, place))
        return copies

    @contextmanager
    def lent(self, shapes: Sequence[tuple[int, ...]], dtype: torch.dtype) -> Iterator[list[torch.Tensor] | None]:
        """Tensors that the service writes to; None where that much is not lent to it."""
        self.share()
        region, places = self._region, list[Place]()
        try:
            for shape in shapes if region is not None else ():
                place = self._place(shape, dtype)
                places += [place] if place is not None else []
                if place is None or place.region is not region:
                    break
            is_whole = len(places) == len(shapes) and all(place.region is region for place in places)
            yield [place.tensor for place in places] if is_whole else None
        except errors.Error as failure:
            self.note(failure, region)
            raise
        finally:
            for place in places:
                place.release()

    def _lend(self, region: Any, memory: torch.Tensor) -> None:
        with self._lock:
            self._region, self._bytes = region, memory

    def _place(self, shape: tuple[int, ...], dtype: torch.dtype, is_pinned: bool = False) -> Place | None:
        size = math.prod(shape) * dtype.itemsize
        with self._lock:
            begin, region, lent = self._ranges.take(size), self._region, self._bytes
        if begin is None:
            return None
        if lent is None or begin + size > lent.nbytes:
            region, tensor = None, torch.empty(shape, dtype=dtype, pin_memory=is_pinned)
        else:
            tensor = lent[begin:begin + size].view(dtype).view(shape)
        return Place(tensor, region, lambda: self._give_back(begin, size))

    def _give_back(self, begin: int, size: int) -> None:
        with self._lock:
            self._ranges.give_back(begin, size)


class RowCopy:
    """A copy of rows, complete once `tensor` is asked for."""

    def __init__(self, rows: torch.Tensor, place: Place):
        self._place, self._event = place, None
        place.tensor.copy_(rows, non_blocking=True)
        if rows.device.type == "cuda":
            self._event = torch.cuda.Event()
            self._event.record()

    @property
    def region(self) -> Any:
        """Where the service reads it, until the put is over; None: it is sent."""
        return self._place.region

    @property
    def row_count(self) -> int:
        return int(self._place.tensor.shape[0])

    @property
    def tensor(self) -> torch.Tensor:
        if self._event is not None:
            self._event.synchronize()
            self._event = None
        return self._place.tensor

    def release(self) -> None:
        """Nothing reads the copy any more."""
        self._place.release()
