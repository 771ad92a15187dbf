"""Rows that lie in an engine's paged cache."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ._arrays import Array
from ._device_rows import DeviceRows, as_rows
from .errors import InvalidArgument


@dataclass(frozen=True, eq=False)
class PagedRows:
    """Row i is in slot s = first_slot + i, at blocks[block_ids[s // block_size], s % block_size]. Takes an array's
    place in a Layer, or in get(into=...); np.asarray gathers the rows.

    blocks: the cache, [blocks, block size, heads, size] of any strides, NumPy's or torch's: one that has heads before
    slots is given as its transpose(0, 2, 1, 3). block_ids: a block comes once. row_count: None for all slots.

    Errors: InvalidArgument (BAD_SHAPE, BAD_BLOCK_IDS).
    """

    blocks: Any
    block_ids: Any
    row_count: int | None = None
    first_slot: int = 0

    def __post_init__(self) -> None:
        blocks, ids = as_rows(self.blocks), np.asarray(self.block_ids, np.int64).reshape(-1)
        if blocks.ndim != 4:
            raise InvalidArgument("BAD_SHAPE", f"blocks have shape {blocks.shape}, not [blocks, slots, heads, size]")
        if len(ids) and not (0 <= ids.min() and ids.max() < len(blocks)) or len(np.unique(ids)) != len(ids):
            raise InvalidArgument("BAD_BLOCK_IDS", f"not all are different and below {len(blocks)}")
        room = len(ids) * blocks.shape[1] - self.first_slot
        count = room if self.row_count is None else self.row_count
        if not 0 <= self.first_slot < max(1, blocks.shape[1]) or not 0 <= count <= room:
            raise InvalidArgument("BAD_BLOCK_IDS",
                                  f"{len(ids)} blocks have no {count} rows from slot {self.first_slot}")
        for name, value in (("blocks", blocks), ("block_ids", ids), ("row_count", count)):
            object.__setattr__(self, name, value)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self), *self.blocks.shape[2:])

    @property
    def ndim(self) -> int:
        return 3

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.blocks.dtype
        return dtype

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    def __len__(self) -> int:
        assert self.row_count is not None  # since __post_init__
        return self.row_count

    def __getitem__(self, rows: Any) -> Array:
        """A copy of some rows: by a number, a slice, or an array of numbers."""
        slots = self.first_slot + np.arange(len(self))[rows]
        block_size = self.blocks.shape[1]
        gathered: Array = self.blocks[self.block_ids[slots // block_size], slots % block_size]
        return gathered

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        rows = self[:]
        return rows if dtype is None else rows.astype(dtype, copy=False)

    def first(self, row_count: int) -> PagedRows:
        """The first rows alone."""
        return replace(self, row_count=row_count)


Rows = Array | PagedRows | DeviceRows
"""Rows of one tensor, [rows, heads, size]."""
