"""Which of a caller's arrays lie in regions, and how the wire names their places."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from ._arrays import Array
from ._device_rows import DeviceRows, outline_of
from .paged import PagedRows, Rows
from .regions import Lent, address_of
from .v1 import payload_pb2

_MAX_BLOCKS = 2**31


class LentMemory:
    """The open regions of one client. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._regions: tuple[Any, ...] = ()

    @property
    def regions(self) -> tuple[Any, ...]:
        return self._regions

    def add(self, region: Lent) -> None:
        with self._lock:
            self._regions += (region,)

    def discard(self, region: Lent) -> None:
        with self._lock:
            self._regions = tuple(other for other in self._regions if other is not region)

    def slice_of_bytes(self, data: memoryview) -> payload_pb2.RegionSlice | None:
        """The place of contiguous bytes; None where they lie in no region."""
        found = self._find(np.frombuffer(data, np.uint8)) if len(data) else None
        if found is None:
            return None
        return payload_pb2.RegionSlice(region_id=found[0], offset_bytes=found[1], length_bytes=len(data))

    def slice_of_rows(self, rows: Rows, chosen: Array | None = None) -> payload_pb2.RegionSlice | None:
        """The place of the rows, or of the chosen ones; None where they lie in no region, or as no slice can say.
        On a GPU they are complete when this returns."""
        pages = rows if isinstance(rows, PagedRows) else PagedRows(outline_of(rows)[np.newaxis], [0])
        blocks = outline_of(pages.blocks)
        found = self._find(blocks)
        if found is None or blocks.strides[3] != pages.itemsize and pages.shape[2] > 1:
            return None
        for memory in (rows, pages.blocks):
            if isinstance(memory, DeviceRows):
                memory.wait()
        region_id, offset = found
        if chosen is None and not isinstance(rows, PagedRows) and blocks.flags.c_contiguous:
            return payload_pb2.RegionSlice(region_id=region_id, offset_bytes=offset, length_bytes=rows.nbytes)
        block_stride, slot_stride, head_stride, _ = blocks.strides
        block_size, ids, first_slot = blocks.shape[1], pages.block_ids, pages.first_slot
        if len(ids) == 1:
            offset, ids, block_stride = offset + int(ids[0]) * block_stride, np.zeros(1, np.int64), 0
        if chosen is not None:  # each row is a block of its own
            if len(ids) > 1 and block_stride != block_size * slot_stride:
                return None
            slots = first_slot + chosen
            ids = ids[slots // block_size] * block_size + slots % block_size
            block_stride, block_size, first_slot = slot_stride, 1, 0
        row_bytes = pages.shape[2] * pages.itemsize
        if _overlap(((block_stride, len(ids)), (slot_stride, block_size), (head_stride, pages.shape[1])), row_bytes):
            return None
        if len(ids) and ids.max() >= _MAX_BLOCKS:
            return None
        return payload_pb2.RegionSlice(region_id=region_id, pages=payload_pb2.RegionSlice.PagedSlice(
            offset_bytes=offset, block_stride_bytes=block_stride, slot_stride_bytes=slot_stride,
            head_stride_bytes=head_stride, row_bytes=row_bytes, block_size=block_size, block_ids=ids.tolist(),
            first_slot=first_slot))

    def _find(self, array: Array) -> tuple[bytes, int] | None:
        """The region that holds all of the array, and the array's offset in it."""
        if not self._regions or not array.size or min(array.strides) < 0:
            return None
        begin = address_of(array)
        end = begin + sum((count - 1) * stride for count, stride in zip(array.shape, array.strides)) + array.itemsize
        for region in self._regions:
            if region.address <= begin and end <= region.address + region.size_bytes:
                return region.region_id, begin - region.address
        return None


def _overlap(dimensions: tuple[tuple[int, int], ...], row_bytes: int) -> bool:
    """Whether rows of (stride, count) dimensions share bytes, as far as the server allows strides."""
    span = row_bytes
    for stride, count in sorted(dimension for dimension in dimensions if dimension[1] > 1):
        if stride < span:
            return True
        span += stride * (count - 1)
    return False
