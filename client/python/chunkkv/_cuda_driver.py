"""How device memory of this process is named to another one: by the CUDA driver, which is loaded when it is needed."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from . import errors

LIBRARY = "libcuda.so.1"
_POSIX_FILE_DESCRIPTOR = 1  # CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
_IPC_HANDLE_BYTES = 64


@dataclass(frozen=True)
class ExportedMemory:
    """ipc_handle: of the allocation that the memory lies in; or segments: (descriptor, bytes) of allocations that follow
    each other. offset_bytes: from the beginning of the allocation, or of the first segment."""

    ipc_handle: bytes
    segments: tuple[tuple[int, int], ...]
    offset_bytes: int

    @property
    def descriptors(self) -> tuple[int | None, ...]:
        """What to offer: of a handle, once without a descriptor."""
        return tuple(descriptor for descriptor, _ in self.segments) or (None,)


@contextmanager
def exported(address: int, size_bytes: int) -> Iterator[ExportedMemory]:
    """[address, address + size_bytes) of the device; descriptors live for as long as the context. The current CUDA
    context must be that of the memory.

    Errors: Unimplemented (NO_CUDA_DRIVER); InvalidArgument (BAD_REGION_SIZE, NOT_DEVICE_MEMORY); FailedPrecondition
    (NOT_EXPORTABLE): neither in one allocation of cudaMalloc, nor in allocations of cuMemCreate that may be shared by
    descriptor, but of a pool (cudaMallocAsync), or managed.
    """
    if size_bytes < 1:
        raise errors.InvalidArgument("BAD_REGION_SIZE", f"{size_bytes} bytes")
    driver, end = _driver(LIBRARY), address + size_bytes
    base, length = _allocation_of(driver, address)
    if end <= base + length:
        handle = ctypes.create_string_buffer(_IPC_HANDLE_BYTES)
        if driver.cuIpcGetMemHandle(handle, ctypes.c_uint64(base)) == 0:
            yield ExportedMemory(handle.raw, (), address - base)
            return
    descriptors: list[int] = []
    try:
        segments, offset = [], address - base
        while True:
            descriptors.append(_descriptor_of(driver, base))
            segments.append((descriptors[-1], length))
            if base + length >= end:
                break
            base, length = _allocation_of(driver, base + length)
        yield ExportedMemory(b"", tuple(segments), offset)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@functools.cache
def _driver(library: str) -> Any:
    try:
        return ctypes.CDLL(library)
    except OSError as error:
        raise errors.Unimplemented("NO_CUDA_DRIVER", str(error)) from error


def _allocation_of(driver: Any, address: int) -> tuple[int, int]:
    base, length = ctypes.c_uint64(), ctypes.c_size_t()
    result = driver.cuMemGetAddressRange_v2(ctypes.byref(base), ctypes.byref(length), ctypes.c_uint64(address))
    if result != 0:
        raise errors.InvalidArgument("NOT_DEVICE_MEMORY", f"cuMemGetAddressRange: CUresult {result}")
    return base.value, length.value


def _descriptor_of(driver: Any, base: int) -> int:
    handle, descriptor = ctypes.c_uint64(), ctypes.c_int(-1)
    result = driver.cuMemRetainAllocationHandle(ctypes.byref(handle), ctypes.c_void_p(base))
    if result != 0:
        raise errors.FailedPrecondition("NOT_EXPORTABLE", f"cuMemRetainAllocationHandle: CUresult {result}")
    result = driver.cuMemExportToShareableHandle(ctypes.byref(descriptor), handle, _POSIX_FILE_DESCRIPTOR,
                                                 ctypes.c_ulonglong(0))
    driver.cuMemRelease(handle)
    if result != 0:
        raise errors.FailedPrecondition("NOT_EXPORTABLE", f"cuMemExportToShareableHandle: CUresult {result}")
    return descriptor.value
