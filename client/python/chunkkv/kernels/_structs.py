"""The structs of chunkkv/kernels.h, field for field."""

from __future__ import annotations

import ctypes as c
from typing import Any

OK = 0
HOST, DEVICE = 0, 2

SPEC_FIELDS = ("keep_ratio", "max_tokens", "chunk_length", "window_length", "reuse_group", "sink_tokens", "pool",
               "recent_ratio", "budget_multiple", "min_retained_mass", "max_raised_tokens")
"""The optional fields of Spec; the n-th has bit n of set_fields."""

BUDGET_CHANGES = ("raised_to_window", "rounded_to_multiple", "everything_kept")
"""The n-th has bit n of PlanInfo.budget_change."""

RUN_BODY = c.CFUNCTYPE(None, c.c_void_p, c.c_uint64)
RUN_PARALLEL = c.CFUNCTYPE(None, c.c_void_p, c.c_uint64, RUN_BODY, c.c_void_p)
IS_CANCELLED = c.CFUNCTYPE(c.c_int32, c.c_void_p)


class Struct(c.Structure):
    """Says its size; fields that are not given are zero."""

    def __init__(self, **values: Any):
        super().__init__(struct_size=c.sizeof(type(self)), **values)


class Group(Struct):
    _fields_ = [("struct_size", c.c_uint64), ("first_layer", c.c_int32), ("layer_count", c.c_int32),
                ("leader", c.c_int32), ("reserved", c.c_int32)]


class Spec(Struct):
    _fields_ = [("struct_size", c.c_uint64), ("set_fields", c.c_uint64), ("policy", c.c_char_p),
                ("group_score", c.c_char_p), ("chunk_reduce", c.c_char_p), ("on_low_mass", c.c_char_p),
                ("keep_ratio", c.c_double), ("recent_ratio", c.c_double), ("min_retained_mass", c.c_double),
                ("max_tokens", c.c_int64), ("max_raised_tokens", c.c_int64), ("chunk_length", c.c_int32),
                ("window_length", c.c_int32), ("reuse_group", c.c_int32), ("sink_tokens", c.c_int32),
                ("pool", c.c_int32), ("budget_multiple", c.c_int32), ("chunk_starts", c.c_void_p),
                ("chunk_start_count", c.c_uint64), ("groups", c.POINTER(Group)), ("group_count", c.c_uint64)]


class AttentionShape(Struct):
    _fields_ = [("struct_size", c.c_uint64), ("query_head_count", c.c_int32), ("kv_head_count", c.c_int32),
                ("key_head_size", c.c_int32), ("value_head_size", c.c_int32), ("dtype", c.c_int32),
                ("sink_logit_count", c.c_int32), ("has_key_scales", c.c_int32),
                ("reserved", c.c_int32), ("scale", c.c_double), ("softcap", c.c_double),
                ("sink_logits", c.c_void_p)]


class Shape(Struct):
    _fields_ = [("struct_size", c.c_uint64), ("token_count", c.c_int64), ("layers", c.POINTER(AttentionShape)),
                ("layer_count", c.c_uint64), ("score_source", c.c_char_p), ("has_lse", c.c_int32),
                ("is_sharded", c.c_int32)]


class PlanInfo(Struct):
    _fields_ = [("struct_size", c.c_uint64), ("token_count", c.c_int64), ("window_length", c.c_int64),
                ("past_length", c.c_int64), ("sink_tokens", c.c_int64), ("budget", c.c_int64),
                ("layer_count", c.c_int32), ("group_count", c.c_int32), ("needs_scores", c.c_int32),
                ("budget_change", c.c_int32), ("allows_chunk_means", c.c_int32), ("reserved", c.c_int32)]


class Rows(Struct):
    _fields_ = [("struct_size", c.c_uint64), ("data", c.c_void_p), ("token_count", c.c_int64),
                ("token_stride_bytes", c.c_int64), ("head_stride_bytes", c.c_int64), ("block_stride_bytes", c.c_int64),
                ("block_ids", c.c_void_p), ("block_id_count", c.c_int32), ("block_token_count", c.c_int32),
                ("block_count", c.c_int32), ("head_count", c.c_int32), ("head_size", c.c_int32), ("dtype", c.c_int32),
                ("memory_kind", c.c_int32), ("device", c.c_int32)]


class Dense(Struct):
    _fields_ = [("struct_size", c.c_uint64), ("data", c.c_void_p), ("element_count", c.c_int64), ("dtype", c.c_int32),
                ("memory_kind", c.c_int32), ("device", c.c_int32), ("reserved", c.c_int32)]


class ScoreTask(Struct):
    _fields_ = [("struct_size", c.c_uint64), ("keys", c.POINTER(Rows)), ("queries", c.POINTER(Dense)),
                ("lse", c.c_void_p), ("attention", c.POINTER(Dense)), ("token_scores_in", c.POINTER(Dense)),
                ("key_scales", c.POINTER(Rows)), ("token_scores", c.c_void_p), ("token_score_count", c.c_int64),
                ("layer", c.c_int32), ("allows_chunk_means", c.c_int32)]


class SelectTask(Struct):
    _fields_ = [("struct_size", c.c_uint64), ("token_scores", c.POINTER(c.c_void_p)),
                ("token_score_count", c.c_uint64), ("positions", c.c_void_p), ("budget", c.c_int64),
                ("retained_mass", c.c_void_p), ("group", c.c_int32), ("reserved", c.c_int32)]


class GatherTask(Struct):
    _fields_ = [("struct_size", c.c_uint64), ("source", c.POINTER(Rows)), ("positions", c.c_void_p),
                ("position_count", c.c_uint64), ("destination", c.c_void_p), ("destination_bytes", c.c_uint64)]


class Rope(Struct):
    _fields_ = [("struct_size", c.c_uint64), ("inv_freq", c.c_void_p), ("first_dim", c.c_int32),
                ("rotary_dims", c.c_int32), ("interleaved", c.c_int32), ("reserved", c.c_int32)]


class RotateTask(Struct):
    _fields_ = [("struct_size", c.c_uint64), ("source", c.POINTER(Rows)), ("positions", c.c_void_p),
                ("position_count", c.c_uint64), ("rope", c.POINTER(Rope)), ("destination", c.c_void_p),
                ("destination_bytes", c.c_uint64)]


class ScatterTask(Struct):
    _fields_ = [("struct_size", c.c_uint64), ("source", c.c_void_p), ("source_bytes", c.c_uint64),
                ("positions", c.c_void_p), ("position_count", c.c_uint64), ("destination", c.POINTER(Rows))]


class DigestTask(Struct):
    _fields_ = [("struct_size", c.c_uint64), ("data", c.c_void_p), ("size_bytes", c.c_uint64),
                ("block_digests", c.c_void_p), ("block_digest_count", c.c_uint64), ("memory_kind", c.c_int32),
                ("device", c.c_int32)]


class Batch(Struct):
    _fields_ = [("struct_size", c.c_uint64), ("score", c.POINTER(ScoreTask)), ("score_count", c.c_uint64),
                ("select", c.POINTER(SelectTask)), ("select_count", c.c_uint64), ("gather", c.POINTER(GatherTask)),
                ("gather_count", c.c_uint64), ("rotate", c.POINTER(RotateTask)), ("rotate_count", c.c_uint64),
                ("scatter", c.POINTER(ScatterTask)), ("scatter_count", c.c_uint64), ("digest", c.POINTER(DigestTask)),
                ("digest_count", c.c_uint64)]


class ContextOptions(Struct):
    _fields_ = [("struct_size", c.c_uint64), ("stream", c.c_void_p), ("failure", c.c_void_p),
                ("run_parallel", RUN_PARALLEL), ("is_cancelled", IS_CANCELLED), ("user", c.c_void_p),
                ("max_sm_count", c.c_int32), ("reserved", c.c_int32)]
