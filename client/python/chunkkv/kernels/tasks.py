"""Tasks of a batch. `keep` holds what must live until the batch has run."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InvalidArgument
from ..layers import Rope
from . import _memory, _structs
from . import rows as _rows
from .planning import Plan

Keep = list[Any]
_FP8 = (_memory.DTYPES["f8_e4m3"], _memory.DTYPES["f8_e5m2"])


def score(plan: Plan, layer: int, inputs: Any, token_scores: Any, place: _memory.Place, keep: Keep,
          dtype: str | None, chunk_means: bool) -> _structs.ScoreTask:
    """inputs: has k, k_scale, queries, lse, attention and token_scores, of which one source is read."""
    task = _structs.ScoreTask(layer=layer, token_scores=_memory.address(token_scores),
                              token_score_count=len(token_scores), allows_chunk_means=chunk_means)
    window = min(plan.window_length, plan.token_count)
    if inputs.queries is not None:
        task.keys = ctypes.pointer(_rows.view(inputs.k, place, dtype, "k", keep))
        task.queries = _dense(_last(inputs.queries, 0, window, 3, "queries"), place, keep, dtype, "queries")
        if task.keys.contents.dtype in _FP8 and inputs.k_scale is not None:
            task.key_scales = ctypes.pointer(_rows.view(inputs.k_scale, place, None, "k_scale", keep))
        if inputs.lse is not None:
            lse = place.of(_last(inputs.lse, 0, window, 2, "lse"), "float32")
            if tuple(lse.shape) != (window, inputs.queries.shape[1]):
                raise InvalidArgument("BAD_SHAPE", f"lse has shape {tuple(lse.shape)}, not [window, query heads]")
            keep.append(lse)
            task.lse = _memory.address(lse)
    elif inputs.attention is not None:
        attention = _last(inputs.attention, 1, window, 3, "attention")
        task.attention = _dense(attention, place, keep, dtype, "attention")
    elif inputs.token_scores is not None:
        task.token_scores_in = _dense(place.of(inputs.token_scores, "float32"), place, keep, None, "token_scores")
    else:
        raise InvalidArgument("SCORES_MISSING", f"layer {layer} is scored: give its queries, attention or token_scores")
    keep.append(token_scores)
    return task


def select(group: int, budget: int, token_scores: Sequence[Any], positions: Any, masses: Any,
           keep: Keep) -> _structs.SelectTask:
    """positions: out, int32 [budget]. masses: out, float64, one of each list of token_scores."""
    lists = (ctypes.c_void_p * max(1, len(token_scores)))(*map(_memory.address, token_scores))
    keep += [*token_scores, positions, masses, lists]
    return _structs.SelectTask(group=group, budget=budget, token_score_count=len(token_scores),
                               token_scores=ctypes.cast(lists, ctypes.POINTER(ctypes.c_void_p)),
                               positions=_memory.address(positions),
                               retained_mass=_memory.address(masses) if len(token_scores) else None)


def gather(source: _rows.Rows, positions: Any, destination: Any, place: _memory.Place, keep: Keep, dtype: str | None,
           field: str = "rows") -> _structs.GatherTask:
    """destination: dense [positions, heads, size]."""
    keep += [positions, destination]
    return _structs.GatherTask(source=ctypes.pointer(_rows.view(source, place, dtype, field, keep)),
                               positions=_memory.address(positions), position_count=len(positions),
                               destination=_memory.address(destination),
                               destination_bytes=_memory.size_bytes(destination))


def rotate(source: Any, positions: Any, rope: Rope, destination: Any, place: _memory.Place, keep: Keep,
           dtype: str | None) -> _structs.RotateTask:
    inv_freq = np.ascontiguousarray(rope.inv_freq, np.float64)
    if rope.pairing not in ("half", "interleaved"):
        raise InvalidArgument("UNKNOWN_NAME", f"rope.pairing {rope.pairing!r} is neither half nor interleaved")
    native = _structs.Rope(inv_freq=inv_freq.ctypes.data, first_dim=rope.first_dim, rotary_dims=2 * inv_freq.size,
                           interleaved=rope.pairing == "interleaved")
    keep += [inv_freq, positions, destination]
    return _structs.RotateTask(source=ctypes.pointer(_rows.view(source, place, dtype, "k", keep)),
                               positions=_memory.address(positions), position_count=len(positions),
                               rope=ctypes.pointer(native), destination=_memory.address(destination),
                               destination_bytes=_memory.size_bytes(destination))


def scatter(source: Any, positions: Any, into: _rows.Rows, place: _memory.Place, keep: Keep,
            dtype: str | None) -> _structs.ScatterTask:
    keep += [source, positions]
    return _structs.ScatterTask(source=_memory.address(source), source_bytes=_memory.size_bytes(source),
                                positions=_memory.address(positions), position_count=len(positions),
                                destination=ctypes.pointer(_rows.view(into, place, dtype, "into", keep)))


def digest(tensor: Any, block_digests: Any, place: _memory.Place, keep: Keep) -> _structs.DigestTask:
    """tensor: dense. block_digests: out, one 64-bit word of each block."""
    keep += [tensor, block_digests]
    return _structs.DigestTask(data=_memory.address(tensor), size_bytes=_memory.size_bytes(tensor),
                               block_digests=_memory.address(block_digests), block_digest_count=len(block_digests),
                               **place.fields())


def _last(value: Any, axis: int, count: int, rank: int, field: str) -> Any:
    """The last `count` along `axis`. Errors: InvalidArgument (BAD_SHAPE, WINDOW_TOO_SHORT)."""
    shape = tuple(value.shape)
    if len(shape) != rank:
        raise InvalidArgument("BAD_SHAPE", f"{field} has shape {shape}; it needs {rank} dimensions")
    if shape[axis] < count:
        raise InvalidArgument("WINDOW_TOO_SHORT", f"{field} are of {shape[axis]} tokens; the window has {count}")
    return value[(slice(None),) * axis + (slice(shape[axis] - count, None),)]


def _dense(value: Any, place: _memory.Place, keep: Keep, dtype: str | None, field: str) -> Any:
    if not _memory.is_dense(value):
        value = value.contiguous() if _memory.is_tensor(value) else np.ascontiguousarray(value)
    keep.append(value)
    count = int(np.prod(tuple(value.shape), dtype=np.int64))
    dense = _structs.Dense(data=_memory.address(value), element_count=count,
                           dtype=_memory.DTYPES[_memory.element_dtype(value, dtype, field)], **place.fields())
    return ctypes.pointer(dense)
