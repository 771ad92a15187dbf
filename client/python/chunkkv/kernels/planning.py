"""Plans: a spec made definite for one prompt."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._arrays import as_array
from ..errors import InvalidArgument
from ..layers import AttentionRun
from ..spec import CompactionSpec, ReuseGroup
from . import _library, _memory, _structs


class Plan:
    """Immutable; may be shared by threads.

    token_count: L. window_length: w, as asked. past_length: P = max(0, L - w), the length of a list of token scores.
    budget: B, the kept tokens of each group. budget_changes: what made B differ from the request. groups: each has one
    list of B kept positions. needs_scores: the policy chooses by token scores. allows_chunk_means: it does so by sums
    over whole chunks alone (see score).
    """

    def __init__(self, handle: int):
        self.handle = handle
        self._destroy = weakref.finalize(self, _library.load().chunkkv_plan_destroy, handle)
        info = _structs.PlanInfo()
        _library.call("chunkkv_plan_get_info", handle, ctypes.byref(info))
        self.token_count: int = info.token_count
        self.window_length: int = info.window_length
        self.past_length: int = info.past_length
        self.sink_tokens: int = info.sink_tokens
        self.budget: int = info.budget
        self.layer_count: int = info.layer_count
        self.needs_scores = bool(info.needs_scores)
        self.allows_chunk_means = bool(info.allows_chunk_means)
        self.budget_changes = tuple(name for bit, name in enumerate(_structs.BUDGET_CHANGES)
                                    if info.budget_change >> bit & 1)
        self.groups = tuple(self._group(index) for index in range(info.group_count))

    def _group(self, index: int) -> ReuseGroup:
        group = _structs.Group()
        _library.call("chunkkv_plan_get_group", self.handle, index, ctypes.byref(group))
        return ReuseGroup(group.first_layer, group.layer_count, None if group.leader < 0 else group.leader)

    @property
    def keeps_everything(self) -> bool:
        return self.budget >= self.token_count

    def is_scored(self, layer: int) -> bool:
        """Whether `layer` takes part in a choice. Errors: InvalidArgument (BAD_LAYER)."""
        answer = ctypes.c_int32()
        _library.call("chunkkv_plan_is_scored", self.handle, layer, ctypes.byref(answer))
        return bool(answer.value)

    def raised_budget(self, budget: int) -> int:
        """What on_low_mass raise_budget tries after `budget`. Errors: InvalidArgument (BAD_BUDGET)."""
        raised = ctypes.c_int64()
        _library.call("chunkkv_plan_raised_budget", self.handle, budget, ctypes.byref(raised))
        return raised.value


def plan(spec: CompactionSpec, token_count: int, layers: Sequence[AttentionRun], *, score_source: str | None = None,
         lse: bool = False, sharded: bool = False) -> Plan:
    """Resolves `spec` for a prompt of token_count (L) tokens.

    layers: runs of attention layers, as a put declares them; without a query_head_count they have one for each KV head.
    score_source: query_window, attention or token_scores, for the policies that score. lse: the queries come with
    theirs. sharded: tensor or pipeline parallel.

    Errors: InvalidArgument with a reason that names the field; Unimplemented (SCORING_FP8).
    """
    if spec.profile:
        raise InvalidArgument("PROFILE_UNKNOWN", "spec.profile: profiles are the server's; state their groups")
    keep: list[Any] = []
    shapes = [shape for run in layers for shape in [_shape(run, keep)] * run.layer_count]
    array = (_structs.AttentionShape * len(shapes))(*shapes)
    shape = _structs.Shape(token_count=_whole(token_count, "token_count"), layers=array, layer_count=len(shapes),
                           score_source=_name(score_source), has_lse=lse, is_sharded=sharded)
    native = _spec(spec, keep)
    return Plan(_library.created("chunkkv_plan_create", ctypes.byref(native), ctypes.byref(shape)))


def scores_fp8(dtype: Any, scale_dtype: Any) -> bool:
    """Whether keys of `dtype` are fp8 that can be scored, by float32 scales."""
    is_fp8 = _memory.dtype_name(dtype, "layers.dtype").startswith("f8")
    return is_fp8 and scale_dtype is not None and _memory.dtype_name(scale_dtype, "layers.scale_dtype") == "f32"


def _shape(run: AttentionRun, keep: list[Any]) -> _structs.AttentionShape:
    shape = _structs.AttentionShape(
        query_head_count=run.query_head_count or run.kv_head_count, kv_head_count=run.kv_head_count,
        key_head_size=run.key_head_size, value_head_size=run.value_head_size,
        dtype=_memory.DTYPES[_memory.dtype_name(run.dtype, "layers.dtype")], scale=run.scale or 0,
        softcap=run.softcap or 0, has_key_scales=run.scales_per_head == 1 and scores_fp8(run.dtype, run.scale_dtype))
    if run.sink_logits is not None:
        logits = np.ascontiguousarray(as_array(run.sink_logits), np.float32).reshape(-1)
        keep.append(logits)
        shape.sink_logits, shape.sink_logit_count = logits.ctypes.data, logits.size
    return shape


def _spec(spec: CompactionSpec, keep: list[Any]) -> _structs.Spec:
    native = _structs.Spec(policy=_name(spec.policy), group_score=_name(spec.group_score),
                           chunk_reduce=_name(spec.chunk_reduce), on_low_mass=_name(spec.on_low_mass))
    for bit, field in enumerate(_structs.SPEC_FIELDS):
        value = getattr(spec, field)
        if value is None:
            continue
        of_float = field in ("keep_ratio", "recent_ratio", "min_retained_mass")
        setattr(native, field, float(value) if of_float else _whole(value, f"spec.{field}", _bits(native, field)))
        native.set_fields |= 1 << bit
    if spec.chunk_starts:
        starts = np.asarray(spec.chunk_starts)
        if starts.min() < 0 or starts.max() > np.iinfo(np.int32).max:
            raise InvalidArgument("BAD_CHUNK_STARTS", "spec.chunk_starts are not whole numbers of 32 bits from 0")
        starts = starts.astype(np.int32)
        keep.append(starts)
        native.chunk_starts, native.chunk_start_count = starts.ctypes.data, starts.size
    if spec.groups:
        groups = [_structs.Group(first_layer=group.first_layer, layer_count=group.layer_count,
                                 leader=-1 if group.leader is None else group.leader) for group in spec.groups]
        native.groups, native.group_count = (_structs.Group * len(groups))(*groups), len(groups)
    return native


def _bits(native: _structs.Spec, field: str) -> int:
    return 8 * int(getattr(type(native), field).size)


def _whole(value: int, field: str, bits: int = 64) -> int:
    if int(value) != value or not -2 ** (bits - 1) <= value < 2 ** (bits - 1):
        raise InvalidArgument("BAD_NUMBER", f"{field} is {value}")
    return int(value)


def _name(name: str | None) -> bytes | None:
    return None if name is None else str(name).encode()
