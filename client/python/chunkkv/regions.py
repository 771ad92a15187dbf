"""Memory that a client and its server share, on one host."""

from __future__ import annotations

import asyncio
import math
import mmap
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import numpy as np

from . import errors
from ._arrays import Array, as_tensor, numpy_dtype
from ._device_rows import DeviceSpan

ALIGNMENT = 64


class Lent(Protocol):
    """Memory that the server reaches: size_bytes from an address of this process."""

    region_id: bytes
    address: int
    size_bytes: int


class Arena:
    """Arrays one after another in a region's memory, each aligned to 64 bytes. Thread-safe."""

    def __init__(self, memory: mmap.mmap, region_id: bytes):
        self._lock = threading.Lock()
        self._bytes: Array | None = np.frombuffer(memory, np.uint8)
        self._used = 0
        self.region_id = region_id
        self.size_bytes = self._bytes.nbytes
        self.address = address_of(self._bytes)

    @property
    def is_closed(self) -> bool:
        return self._bytes is None

    @property
    def used_bytes(self) -> int:
        return self._used

    def array(self, shape: int | Sequence[int], dtype: Any) -> Array:
        """A NumPy array in the region: zeros at first, after reset() whatever was there.
        Errors: ResourceExhausted (REGION_FULL), FailedPrecondition (REGION_CLOSED)."""
        shape, dtype = (shape,) if isinstance(shape, int) else tuple(shape), np.dtype(dtype)
        with self._lock:
            begin = _aligned(self._used)
            end = begin + math.prod(shape) * dtype.itemsize
            if min(shape, default=0) < 0 or end > self.size_bytes:
                raise errors.ResourceExhausted(
                    "REGION_FULL", f"{shape} of {dtype} at {begin} does not fit into {self.size_bytes} bytes")
            array = self.view(begin, shape, dtype)
            self._used = end
        return array

    def view(self, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """The array that lies at an offset. Errors: FailedPrecondition (REGION_CLOSED)."""
        memory = self._bytes
        if memory is None:
            raise errors.FailedPrecondition("REGION_CLOSED", "the region was closed")
        return memory[offset:offset + math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)

    def take_rest(self) -> tuple[int, int]:
        """(offset, bytes) of all that is free, which is taken until take_until says how much of it."""
        with self._lock:
            if self._bytes is None:
                raise errors.FailedPrecondition("REGION_CLOSED", "the region was closed")
            begin = _aligned(self._used)
            if begin >= self.size_bytes:
                raise errors.ResourceExhausted("REGION_FULL", f"all of {self.size_bytes} bytes are taken")
            self._used = self.size_bytes
            return begin, self.size_bytes - begin

    def take_until(self, end: int) -> None:
        with self._lock:
            self._used = end

    def tensor(self, shape: int | Sequence[int], dtype: Any) -> Any:
        """A torch CPU tensor in the region; dtype is torch's. Errors: as array."""
        return as_tensor(self.array(shape, numpy_dtype(dtype)))

    def reset(self) -> None:
        """All of the region is free again: arrays made before share their memory with those made from now on."""
        with self._lock:
            self._used = 0

    def _let_go(self) -> None:
        with self._lock:
            self._bytes = None


class Region(Arena):
    """Of Client.allocate_region: layers whose arrays lie in it are put without being sent, and get(into=...) has them
    written there. Use it in a with statement, or close it; Client.close closes it too. Thread-safe."""

    def __init__(self, memory: mmap.mmap, region_id: bytes, unregister: Callable[[Region], None]):
        super().__init__(memory, region_id)
        self._unregister = unregister
        self.layout_lock = threading.Lock()  # one get at a time has the rest of the region

    def close(self) -> None:
        """Returns when the server touches the region no more; what still needed it there fails. The memory is given back
        when no array of it is left. Errors: Unavailable (NOT_QUIET)."""
        if not self.is_closed:
            self._let_go()
            self._unregister(self)

    def __enter__(self) -> Region:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncRegion(Arena):
    """Of AsyncClient.allocate_region; as Region, closed by await or by an async with statement."""

    def __init__(self, memory: mmap.mmap, region_id: bytes, unregister: Callable[[AsyncRegion], Awaitable[None]]):
        super().__init__(memory, region_id)
        self._unregister = unregister
        self.layout_lock = asyncio.Lock()  # as Region's

    async def close(self) -> None:
        """As Region.close."""
        if not self.is_closed:
            self._let_go()
            await self._unregister(self)

    async def __aenter__(self) -> AsyncRegion:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class DeviceRegion:
    """Of Client.lend: a tensor of a GPU that the server reads and writes in place. Layers and PagedRows whose tensors
    lie in its memory are put without being copied to the host, and get(into={...}) writes to them. Use it in a with
    statement, or close it; Client.close closes it too. It keeps the tensor."""

    def __init__(self, tensor: Any, memory: DeviceSpan, region_id: bytes, unregister: Callable[[DeviceRegion], None]):
        self.region_id, self.address, self.size_bytes = region_id, memory.address, memory.size_bytes
        self._tensor, self._unregister = tensor, unregister

    def close(self) -> None:
        """Returns when the server touches the memory no more. Errors: Unavailable (NOT_QUIET)."""
        if self._tensor is not None:
            self._tensor = None
            self._unregister(self)

    def __enter__(self) -> DeviceRegion:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncDeviceRegion:
    """Of AsyncClient.lend; as DeviceRegion, closed by await or by an async with statement."""

    def __init__(self, tensor: Any, memory: DeviceSpan, region_id: bytes,
                 unregister: Callable[[AsyncDeviceRegion], Awaitable[None]]):
        self.region_id, self.address, self.size_bytes = region_id, memory.address, memory.size_bytes
        self._tensor, self._unregister = tensor, unregister

    async def close(self) -> None:
        """As DeviceRegion.close."""
        if self._tensor is not None:
            self._tensor = None
            await self._unregister(self)

    async def __aenter__(self) -> AsyncDeviceRegion:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def address_of(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
