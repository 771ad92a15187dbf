"""One step at a time: score, select, gather, rotate, scatter, digest.

Tensors are NumPy arrays or torch tensors, all in one memory, and are worked on where they are; results are of the same
kind, in the same memory. Every call has done its work when it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..digests import BLOCK_BYTES
from ..errors import InvalidArgument
from ..layers import Rope
from . import _memory, device, tasks
from . import rows as _rows
from .device import Device
from .planning import Plan


@dataclass(frozen=True, eq=False)
class Selection:
    """positions: kept positions, int32 [budget], ascending. retained_mass: of each layer that chose."""

    positions: Any
    retained_mass: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class _ScoreInputs:
    k: Any
    queries: Any
    lse: Any
    attention: Any
    token_scores: Any
    k_scale: Any


def score(plan: Plan, layer: int, *, k: _rows.Rows = None, queries: Any = None, lse: Any = None, attention: Any = None,
          token_scores: Any = None, k_scale: _rows.Rows = None, dtype: str | None = None, chunk_means: bool = False,
          on: Device = Device()) -> Any:
    """Token scores of a scored layer: float32 [P].

    By the plan's score source: k [L, Hkv, D] and queries [>= w, H, D] of the last tokens, RoPE applied, with lse
    [>= w, H] where the plan has it, and k_scale float32 [L, Hkv, 1] where k is fp8; or attention [H, >= w, L]; or
    token_scores [P]. dtype: what raw bits (uint16, uint8) of k, queries and attention are. chunk_means, where
    plan.allows_chunk_means: a score may be the mean over tokens of its chunk around it; the same chunks are chosen, and
    without lse a GPU may read the keys once instead of twice.

    Errors: InvalidArgument (NON_FINITE_INPUT, NEGATIVE_SCORES, BAD_TASK, BAD_SHAPE, ...); Unimplemented (SCORING_FP8).
    """
    place = _memory.place_of(*(_rows.memory_of(value) for value in (k, queries, attention, token_scores, k_scale)))
    out = place.zeros((plan.past_length,), "float32")
    keep: list[Any] = []
    inputs = _ScoreInputs(k, queries, lse, attention, token_scores, k_scale)
    task = tasks.score(plan, layer, inputs, out, place, keep, dtype, chunk_means)
    device.run([task], plan.handle, place, on)
    return out


def select(plan: Plan, group: int, token_scores: Sequence[Any] = (), *, budget: int | None = None, like: Any = None,
           on: Device = Device()) -> Selection:
    """Kept positions of a reuse group.

    token_scores: [P] of the group's leader, or of each of its layers where all choose together; none for policies
    without scores. budget: the plan's, or a raised one. like: a tensor of the kind and memory that the result takes
    where there are no token scores.

    Errors: InvalidArgument (BAD_TASK, ...).
    """
    place = _memory.place_of(*token_scores, like)
    scores = [place.of(values, "float32") for values in token_scores]
    if any(tuple(values.shape) != (plan.past_length,) for values in scores):
        raise InvalidArgument("BAD_SHAPE", f"token_scores are not all of shape [{plan.past_length}]")
    budget = plan.budget if budget is None else budget
    positions = place.zeros((max(0, min(budget, plan.token_count)),), "int32")
    masses = place.zeros((len(scores),), "float64")
    keep: list[Any] = []
    device.run([tasks.select(group, budget, scores, positions, masses, keep)], plan.handle, place, on)
    return Selection(positions, tuple(masses.tolist()))


def gather(rows: _rows.Rows, positions: Any, *, out: Any = None, dtype: str | None = None,
           on: Device = Device()) -> Any:
    """Kept rows [positions, heads, size], dense, bit for bit. rows: [tokens, heads, size], or PagedRows. out: where
    they go.

    Errors: InvalidArgument (BAD_POSITIONS, BAD_SHAPE, BAD_STRIDES).
    """
    memory = _rows.memory_of(rows)
    place = _memory.place_of(memory, out)
    listed = place.positions(positions)
    _, heads, size = _rows.shape_of(rows, "rows")
    out = _result(out, (len(listed), heads, size), memory)
    keep: list[Any] = []
    device.run([tasks.gather(rows, listed, out, place, keep, dtype)], None, place, on)
    return out


def rotate(k: Any, positions: Any, rope: Rope, *, out: Any = None, dtype: str | None = None,
           on: Device = Device()) -> Any:
    """Kept keys [count, Hkv, D], dense, turned from `positions` [count] to 0 .. count - 1. out: where they go; may
    be k.

    Errors: InvalidArgument (BAD_ROPE, BAD_TASK, BAD_SHAPE); Unimplemented (ROTATING_FP8).
    """
    place = _memory.place_of(k, out)
    listed = place.positions(positions)
    out = _result(out, tuple(k.shape), k)
    keep: list[Any] = []
    device.run([tasks.rotate(k, listed, rope, out, place, keep, dtype)], None, place, on)
    return out


def scatter(rows: Any, positions: Any, into: _rows.Rows, *, dtype: str | None = None, on: Device = Device()) -> None:
    """Writes dense rows [positions, heads, size] into a cache: row n becomes row positions[n] of `into`, a writable
    array or tensor [tokens, heads, size], or PagedRows.

    Errors: InvalidArgument (BAD_POSITIONS, BAD_SHAPE, BAD_DTYPE, READ_ONLY).
    """
    memory = _rows.memory_of(into)
    place = _memory.place_of(rows, memory)
    listed = place.positions(positions)
    _, heads, size = _rows.shape_of(into, "into")
    if rows.dtype != memory.dtype:
        raise InvalidArgument("BAD_DTYPE", f"rows are {rows.dtype}, the cache is {memory.dtype}")
    _check_result(rows, (len(listed), heads, size), "rows")
    if not _memory.is_tensor(memory) and not memory.flags.writeable:
        raise InvalidArgument("READ_ONLY", "the cache cannot be written")
    keep: list[Any] = []
    device.run([tasks.scatter(rows, listed, into, place, keep, dtype)], None, place, on)


def digest(tensor: Any, *, on: Device = Device()) -> Any:
    """XXH3-64 (seed 0) of each 16 KiB block of a dense tensor's bytes, the last block possibly shorter: 64-bit words
    [ceil(bytes / 16384)], uint64 in NumPy, int64 of the same bits in torch. Of any dtype and shape. The digest that an
    entry records of a tensor is the XXH3-128 of these words, little-endian, in order.

    Errors: InvalidArgument (BAD_STRIDES).
    """
    if not _memory.is_dense(tensor):
        raise InvalidArgument("BAD_STRIDES", "the tensor to digest is not dense")
    place = _memory.place_of(tensor)
    blocks = -(-_memory.size_bytes(tensor) // BLOCK_BYTES)
    block_digests = place.zeros((blocks,), "int64" if _memory.is_tensor(tensor) else "uint64")
    keep: list[Any] = []
    device.run([tasks.digest(tensor, block_digests, place, keep)], None, place, on)
    return block_digests


def _result(out: Any, shape: tuple[int, ...], like: Any) -> Any:
    if out is None:
        return _memory.empty(shape, like)
    if out.dtype != like.dtype:
        raise InvalidArgument("BAD_DTYPE", f"out is {out.dtype}, not {like.dtype}")
    _check_result(out, shape, "out")
    return out


def _check_result(value: Any, shape: tuple[int, ...], field: str) -> None:
    if tuple(value.shape) != shape or not _memory.is_dense(value):
        raise InvalidArgument("BAD_SHAPE", f"{field} has shape {tuple(value.shape)}; it needs {list(shape)}, dense")
