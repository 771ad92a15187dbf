"""A layer as it is put, and the layout that its tensors declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import _enums
from ._arrays import as_array, byte_view, wire_dtype
from ._device_rows import as_rows
from .digests import combined_digest, tensor_digest
from .errors import InvalidArgument
from .paged import PagedRows, Rows
from .v1 import compaction_pb2, layout_pb2, payload_pb2

QUERY_WINDOW = compaction_pb2.SCORE_SOURCE_QUERY_WINDOW
ATTENTION = compaction_pb2.SCORE_SOURCE_ATTENTION
TOKEN_SCORES = compaction_pb2.SCORE_SOURCE_TOKEN_SCORES


@dataclass(frozen=True)
class Rope:
    """The rotation of a model's keys; an entry needs it to be served at contiguous positions.

    inv_freq: [rotary_dims / 2] radians a token. pairing: "half" rotates dims (i, i + rotary_dims / 2), "interleaved"
    (2i, 2i + 1), counted from first_dim.
    """

    inv_freq: Sequence[float]
    pairing: str = "half"
    first_dim: int = 0

    @classmethod
    def of_theta(cls, theta: float, rotary_dims: int, pairing: str = "half", first_dim: int = 0) -> Rope:
        """Plain RoPE: inv_freq[i] = theta ** (-2 i / rotary_dims)."""
        return cls(tuple(theta ** (-np.arange(0, rotary_dims, 2) / rotary_dims)), pairing, first_dim)

    def to_wire(self) -> layout_pb2.Rope:
        inv_freq = [float(value) for value in as_array(self.inv_freq)]
        return layout_pb2.Rope(first_dim=self.first_dim, rotary_dims=2 * len(inv_freq), inv_freq=inv_freq,
                               pairing=_enums.to_wire(layout_pb2.Rope.Pairing, "", self.pairing, "rope.pairing"))

    @classmethod
    def from_wire(cls, message: Any) -> Rope:
        return cls(tuple(message.inv_freq), _enums.from_wire(layout_pb2.Rope.Pairing, "", message.pairing),
                   message.first_dim)


@dataclass(frozen=True, eq=False)
class Layer:
    """An attention layer. Arrays are NumPy's or torch's.

    k: [L, Hkv, D], RoPE applied. v: [L, Hkv, Dv], or None where the layer has no V tensor. For an external put, the
    kept rows only. k_scale, v_scale: [L, Hkv, scales a head], with fp8. head_major: all of these are [Hkv, L, ...].
    Each may be PagedRows instead, and on a GPU: what lies in memory that the client has lent (Client.lend) stays there.

    What the policy scores, where it does: queries [w, H, D] of the last w tokens, RoPE applied, with or without their
    lse [w, H] (natural log); or attention [H, w, L], probabilities; or token_scores [L - w]. Of longer windows the last
    `window_length` queries are sent.

    scale of the logits (None: 1 / sqrt(D)), softcap and sink_logits [H] as the model has them.
    """

    k: Any
    v: Any = None
    queries: Any = None
    attention: Any = None
    token_scores: Any = None
    lse: Any = None
    k_scale: Any = None
    v_scale: Any = None
    scale: float | None = None
    softcap: float | None = None
    sink_logits: Any = None
    rope: Rope | None = None
    query_head_count: int | None = None  # None: as queries or attention have
    head_major: bool = False

    def __post_init__(self) -> None:
        for names, convert in ((("k", "v", "k_scale", "v_scale"), as_rows),
                               (("queries", "attention", "token_scores", "lse", "sink_logits"), as_array)):
            for name in names:
                value = getattr(self, name)
                if value is not None and not isinstance(value, PagedRows):
                    object.__setattr__(self, name, convert(value))
        for name in ("k", "v", "k_scale", "v_scale"):
            rows = getattr(self, name)
            if rows is None:
                continue
            if rows.ndim != 3:
                raise InvalidArgument("BAD_SHAPE", f"{name} has shape {rows.shape}, not [tokens, heads, size]")
            if self.head_major and isinstance(rows, PagedRows):
                raise InvalidArgument("BAD_SHAPE", f"{name}: of paged rows the cache is transposed, not the rows")
            if self.head_major:
                object.__setattr__(self, name, rows.transpose(1, 0, 2))
            if getattr(self, name).shape[:2] != self.k.shape[:2]:
                raise InvalidArgument("BAD_SHAPE", f"{name} and k differ in tokens or heads")
        object.__setattr__(self, "head_major", False)
        if sum(source is not None for source in (self.queries, self.attention, self.token_scores)) > 1:
            raise InvalidArgument("SCORE_SOURCES", "give one of queries, attention and token_scores")
        if self.lse is not None and self.queries is None:
            raise InvalidArgument("SCORE_SOURCES", "lse comes with queries")
        for name, rank in (("queries", 3), ("attention", 3), ("token_scores", 1), ("lse", 2)):
            value = getattr(self, name)
            if value is not None and value.ndim != rank:
                raise InvalidArgument("BAD_SHAPE", f"{name} has shape {value.shape}; it needs {rank} dimensions")

    @property
    def row_count(self) -> int:
        return int(self.k.shape[0])

    def row_tensors(self) -> list[tuple[int, Rows]]:
        """Per-token tensors as (TensorKind, [rows, heads, size]), in the order they are sent; empty ones left out."""
        tensors = ((payload_pb2.TENSOR_KIND_KEYS, self.k), (payload_pb2.TENSOR_KIND_VALUES, self.v),
                   (payload_pb2.TENSOR_KIND_KEY_SCALES, self.k_scale),
                   (payload_pb2.TENSOR_KIND_VALUE_SCALES, self.v_scale))
        return [(kind, rows) for kind, rows in tensors if rows is not None and rows.size]

    def score_input(self) -> tuple[int, int, bool] | None:
        """Source, dtype and presence of LSE, or None where nothing is given to score."""
        if self.queries is not None:
            return QUERY_WINDOW, wire_dtype(self.queries.dtype, "queries"), self.lse is not None
        if self.attention is not None:
            return ATTENTION, wire_dtype(self.attention.dtype, "attention"), False
        if self.token_scores is not None:
            return TOKEN_SCORES, layout_pb2.DTYPE_F32, False
        return None

    def score_tensors(self, window: int) -> list[tuple[int, memoryview]]:
        """Bytes to score as (TensorKind, bytes), of the last `window` queries."""
        if self.queries is not None:
            _check_window(self.queries.shape[0], window, "queries")
            tensors = [(payload_pb2.TENSOR_KIND_QUERIES, self.queries[self.queries.shape[0] - window:])]
            if self.lse is not None:
                _check_window(self.lse.shape[0], window, "lse")
                lse = self.lse[self.lse.shape[0] - window:].astype(np.float32, copy=False)
                tensors.append((payload_pb2.TENSOR_KIND_LSE, lse))
        elif self.attention is not None:
            _check_window(self.attention.shape[1], window, "attention")
            tensors = [(payload_pb2.TENSOR_KIND_ATTENTION, self.attention[:, self.attention.shape[1] - window:])]
        elif self.token_scores is not None:
            tensors = [(payload_pb2.TENSOR_KIND_TOKEN_SCORES, self.token_scores.astype(np.float32, copy=False))]
        else:
            tensors = []
        return [(kind, byte_view(tensor)) for kind, tensor in tensors if tensor.size]

    def run(self, rope: Rope | None) -> layout_pb2.LayerRun:
        """This layer as a run of one; `rope` where it has none of its own."""
        heads = self.query_head_count
        if heads is None and self.queries is not None:
            heads = self.queries.shape[1]
        if heads is None and self.attention is not None:
            heads = self.attention.shape[0]
        value_size = 0 if self.v is None else self.v.shape[2]
        run = AttentionRun(
            layer_count=1, kv_head_count=self.k.shape[1], key_head_size=self.k.shape[2], value_head_size=value_size,
            dtype=self.k.dtype, value_dtype=self.v.dtype if value_size else None, query_head_count=heads or 0,
            scale=self.scale, softcap=self.softcap, sink_logits=self.sink_logits, rope=self.rope or rope,
            scales_per_head=0 if self.k_scale is None else self.k_scale.shape[2],
            scale_dtype=None if self.k_scale is None else self.k_scale.dtype)
        return run.to_wire(0)


@dataclass(frozen=True, eq=False)
class VerbatimLayer:
    """A layer that is stored and served byte for byte: sliding-window rows, recurrent state. tensors: name to array or
    bytes."""

    tensors: Mapping[str, Any]

    def __post_init__(self) -> None:
        views = {name: memoryview(value).cast("B") if isinstance(value, (bytes, bytearray, memoryview))
                 else byte_view(as_array(value)) for name, value in self.tensors.items()}
        object.__setattr__(self, "tensors", views)

    def run(self, rope: Rope | None) -> layout_pb2.LayerRun:
        return VerbatimRun(1, {name: view.nbytes for name, view in self.tensors.items()}).to_wire(0)


@dataclass(frozen=True)
class AttentionRun:
    """Consecutive attention layers of one shape, for puts that declare their layout before the first layer exists."""

    layer_count: int
    kv_head_count: int
    key_head_size: int
    value_head_size: int
    dtype: Any
    value_dtype: Any = None
    query_head_count: int = 0
    scale: float | None = None
    softcap: float | None = None
    sink_logits: Any = None
    rope: Rope | None = None
    scales_per_head: int = 0
    scale_dtype: Any = None

    def to_wire(self, first_layer: int) -> layout_pb2.LayerRun:
        run = layout_pb2.AttentionRun(
            query_head_count=self.query_head_count, kv_head_count=self.kv_head_count,
            key_head_size=self.key_head_size, value_head_size=self.value_head_size, dtype=wire_dtype(self.dtype, "k"),
            scale=self.scale or 0, softcap=self.softcap or 0)
        if self.value_dtype is not None and np.dtype(self.value_dtype) != np.dtype(self.dtype):
            run.value_dtype = wire_dtype(self.value_dtype, "v")
        if self.sink_logits is not None:
            run.sink_logits.extend(float(logit) for logit in as_array(self.sink_logits).reshape(-1))
        if self.rope is not None:
            run.rope.CopyFrom(self.rope.to_wire())
        if self.scales_per_head:
            run.scales.scales_per_head = self.scales_per_head
            run.scales.dtype = wire_dtype(self.scale_dtype or np.float32, "k_scale")
        return layout_pb2.LayerRun(first_layer=first_layer, layer_count=self.layer_count, attention=run)


@dataclass(frozen=True)
class VerbatimRun:
    """Consecutive layers that are stored byte for byte, each with all of these tensors. tensors: name to bytes."""

    layer_count: int
    tensors: Mapping[str, int] = field(default_factory=dict)

    def to_wire(self, first_layer: int) -> layout_pb2.LayerRun:
        named = [layout_pb2.VerbatimRun.NamedTensor(name=name, size_bytes=size) for name, size in self.tensors.items()]
        return layout_pb2.LayerRun(first_layer=first_layer, layer_count=self.layer_count,
                                   verbatim=layout_pb2.VerbatimRun(tensors=named))


def content_digest_of(layers: Iterable[Layer | VerbatimLayer]) -> bytes:
    """The digest over K, V and scales as sent, that a put may declare: then a stored entry of other bytes is an error,
    and so is a put of which other bytes arrive."""
    return combined_digest(tensor_digest(byte_view(rows)) for layer in layers if isinstance(layer, Layer)
                           for _, rows in layer.row_tensors())


def layout_of(layers: Sequence[Layer | VerbatimLayer], rope: Rope | None) -> list[layout_pb2.LayerRun]:
    """The layers' runs: consecutive equal ones are one run."""
    layout: list[layout_pb2.LayerRun] = []
    for index, layer in enumerate(layers):
        run = layer.run(rope)
        run.first_layer = layout[-1].first_layer if layout else 0
        if layout:
            run.layer_count = layout[-1].layer_count
            if run == layout[-1]:
                layout[-1].layer_count += 1
                continue
        run.first_layer, run.layer_count = index, 1
        layout.append(run)
    return layout


def runs_to_wire(runs: Sequence[AttentionRun | VerbatimRun]) -> list[layout_pb2.LayerRun]:
    layout, first = [], 0
    for run in runs:
        layout.append(run.to_wire(first))
        first += run.layer_count
    return layout


def _check_window(given: int, window: int, name: str) -> None:
    if given < window:
        raise InvalidArgument("WINDOW_TOO_SHORT", f"{name} are of {given} tokens; the window has {window}")
