"""What the layout of a put may say, from layout.proto, and the bytes of what it declares."""

import math
import re

import numpy as np
from chunkkv.v1 import layout_pb2 as wire

SIZES = {wire.DTYPE_F32: 4, wire.DTYPE_F16: 2, wire.DTYPE_BF16: 2, wire.DTYPE_F8_E4M3: 1, wire.DTYPE_F8_E5M2: 1}
FP8 = (wire.DTYPE_F8_E4M3, wire.DTYPE_F8_E5M2)
FLOATS = (wire.DTYPE_F32, wire.DTYPE_F16, wire.DTYPE_BF16)
TAKEN_NAMES = {"k", "v", "k_scale", "v_scale"}


def _is_default_or_factor(value: float) -> bool:
    """Of logits, which are made in float32."""
    with np.errstate(over="ignore"):
        return value == 0 or 0 < np.float32(value) < np.inf


def _is_rope(rope: wire.Rope, head_size: int) -> bool:
    return (rope.pairing in (wire.Rope.HALF, wire.Rope.INTERLEAVED) and rope.first_dim >= 0 and rope.rotary_dims >= 2
            and rope.rotary_dims % 2 == 0 and rope.first_dim + rope.rotary_dims <= head_size
            and len(rope.inv_freq) == rope.rotary_dims // 2 and all(map(math.isfinite, rope.inv_freq)))


def _has_its_scales(run: wire.AttentionRun, limits) -> bool:
    if not run.HasField("scales"):
        return run.dtype not in FP8 and (run.value_head_size == 0 or value_dtype(run) not in FP8)
    return run.scales.dtype in FLOATS and 1 <= run.scales.scales_per_head <= limits.max_head_size


def _is_attention(run: wire.AttentionRun, limits) -> bool:
    heads = run.query_head_count or run.kv_head_count
    return (1 <= run.kv_head_count <= limits.max_head_count and 0 <= run.query_head_count <= limits.max_head_count
            and run.query_head_count % run.kv_head_count == 0 and 1 <= run.key_head_size <= limits.max_head_size
            and 0 <= run.value_head_size <= limits.max_head_size and run.dtype in SIZES and value_dtype(run) in SIZES
            and _is_default_or_factor(run.scale) and _is_default_or_factor(run.softcap)
            and len(run.sink_logits) in (0, heads) and all(map(math.isfinite, run.sink_logits))
            and (not run.HasField("rope") or _is_rope(run.rope, run.key_head_size))
            and _has_its_scales(run, limits) and run.token_layout in wire.TokenLayout.values())


def _is_verbatim(run: wire.VerbatimRun) -> bool:
    names = [tensor.name for tensor in run.tensors]
    return (bool(names) and len(set(names)) == len(names) and not TAKEN_NAMES & set(names)
            and all(re.fullmatch("[a-z0-9_]{1,64}", name) for name in names)
            and all(tensor.size_bytes > 0 for tensor in run.tensors))


def is_layout(layout, limits) -> bool:
    next_layer = 0
    for run in layout:
        if run.first_layer != next_layer or run.layer_count < 1:
            return False
        next_layer += run.layer_count
        of_kind = run.WhichOneof("kind")
        if not (_is_attention(run.attention, limits) if of_kind == "attention" else
                of_kind == "verbatim" and _is_verbatim(run.verbatim)):
            return False
    return 1 <= next_layer <= limits.max_layer_count


def value_dtype(run: wire.AttentionRun) -> int:
    return run.value_dtype or run.dtype


def attention_layers(layout) -> int:
    return sum(run.layer_count for run in layout if run.HasField("attention"))


def row_bytes(run: wire.AttentionRun) -> dict[str, int]:
    """Bytes of a token's row in each of the tensors of a good run."""
    scales = run.scales.scales_per_head * SIZES.get(run.scales.dtype, 0) * run.kv_head_count
    rows = {"KEYS": run.kv_head_count * run.key_head_size * SIZES[run.dtype],
            "VALUES": run.kv_head_count * run.value_head_size * SIZES[value_dtype(run)],
            "KEY_SCALES": scales, "VALUE_SCALES": scales if run.value_head_size else 0}
    return {tensor: size for tensor, size in rows.items() if size}


def total_bytes(layout, token_count: int) -> int:
    """Of a good layout."""
    total = 0
    for run in layout:
        of_layer = (token_count * sum(row_bytes(run.attention).values()) if run.HasField("attention") else
                    sum(tensor.size_bytes for tensor in run.verbatim.tensors))
        total += run.layer_count * of_layer
    return total
