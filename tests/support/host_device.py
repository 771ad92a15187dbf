"""Memory in a GPU's place, of the driver that stands in for CUDA's (host_cuda_driver.cc): the host can touch it."""

import ctypes

import torch

MALLOC, CREATE, POOL = range(3)  # what an allocation is made by, and may be exported as
SEGMENT_BYTES = 2 << 20


class HostDevice:
    def __init__(self, library):
        self._driver = ctypes.CDLL(library)
        self._driver.HostCudaAllocate.restype = ctypes.c_void_p
        self._spans = []

    def allocate(self, kind=MALLOC, count=1, each_bytes=SEGMENT_BYTES):
        """uint8, of `count` allocations that follow each other."""
        size = count * each_bytes
        address = self._driver.HostCudaAllocate(kind, ctypes.c_size_t(each_bytes), count)
        self._spans.append((address, address + size))
        return torch.frombuffer((ctypes.c_uint8 * size).from_address(address), dtype=torch.uint8)

    def has(self, value):
        """Whether this is a tensor in one of them: counts as on a device."""
        return isinstance(value, torch.Tensor) and any(
            begin <= value.data_ptr() < end for begin, end in self._spans)
