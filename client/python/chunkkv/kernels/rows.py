"""Rows of one layer, dense or in an engine's pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import InvalidArgument
from . import _memory, _structs


@dataclass(frozen=True, eq=False)
class PagedRows:
    """Rows that an engine keeps in blocks of tokens.

    blocks: [block_count, block_token_count, Hkv, D], of any strides but the last (transpose a cache that is laid out
    otherwise; nothing is copied). block_ids: [>= ceil(token_count / block_token_count)], the block of each run of
    tokens, in the same memory. token_count: L.
    """

    blocks: Any
    block_ids: Any
    token_count: int


Rows = Any
"""[tokens, heads, size], a NumPy array or torch tensor of any strides but the last; or PagedRows."""


def memory_of(rows: Rows) -> Any:
    return rows.blocks if isinstance(rows, PagedRows) else rows


def shape_of(rows: Rows, field: str) -> tuple[int, int, int]:
    """Tokens, heads, size. Errors: InvalidArgument (BAD_SHAPE)."""
    shape = tuple(memory_of(rows).shape)
    if isinstance(rows, PagedRows):
        if len(shape) != 4:
            raise InvalidArgument("BAD_SHAPE", f"{field} has shape {shape}, not [blocks, block tokens, heads, size]")
        return rows.token_count, shape[2], shape[3]
    if len(shape) != 3:
        raise InvalidArgument("BAD_SHAPE", f"{field} has shape {shape}, not [tokens, heads, size]")
    return shape


def view(rows: Rows, place: _memory.Place, dtype: str | None, field: str, keep: list[Any]) -> _structs.Rows:
    """The library's view; `keep` holds what must live as long. Errors: InvalidArgument (BAD_SHAPE, BAD_STRIDES,
    BAD_DTYPE)."""
    memory = memory_of(rows)
    tokens, heads, size = shape_of(rows, field)
    strides = _memory.strides(memory)
    if size > 1 and strides[-1] != _memory.item_size(memory):
        raise InvalidArgument("BAD_STRIDES", f"{field}: the elements of a head are not next to each other")
    keep.append(memory)
    paging = _paging(rows, place, strides, keep) if isinstance(rows, PagedRows) else {}
    return _structs.Rows(data=_memory.address(memory), token_count=tokens, token_stride_bytes=strides[-3],
                         head_stride_bytes=strides[-2], head_count=heads, head_size=size,
                         dtype=_memory.DTYPES[_memory.element_dtype(memory, dtype, field)], **place.fields(), **paging)


def _paging(rows: PagedRows, place: _memory.Place, strides: tuple[int, ...], keep: list[Any]) -> dict[str, int]:
    block_count, block_token_count = rows.blocks.shape[:2]
    if block_token_count == 0:
        raise InvalidArgument("BAD_SHAPE", "blocks have no tokens")
    block_ids = place.positions(rows.block_ids)
    keep.append(block_ids)
    return {"block_ids": _memory.address(block_ids), "block_id_count": len(block_ids), "block_count": block_count,
            "block_token_count": block_token_count, "block_stride_bytes": strides[0]}
