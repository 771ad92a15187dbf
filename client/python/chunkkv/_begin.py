"""What a put declares before its first tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import _enums
from ._arrays import Array, wire_dtype
from ._layout import attention_layer_count
from .errors import InvalidArgument
from .identity import ModelIdentity, PromptKey, Shard
from .layers import AttentionRun, Layer, Rope, VerbatimLayer, VerbatimRun, layout_of, runs_to_wire
from .spec import CompactionSpec
from .v1 import compaction_pb2, layout_pb2, put_pb2

AnyLayer = Layer | VerbatimLayer

_SCORED_POLICIES = {"chunk_kv", "snap_kv", "h2o"}
_SCORE_SOURCES = {"queries": compaction_pb2.SCORE_SOURCE_QUERY_WINDOW,
                  "attention": compaction_pb2.SCORE_SOURCE_ATTENTION,
                  "token_scores": compaction_pb2.SCORE_SOURCE_TOKEN_SCORES}


@dataclass(frozen=True)
class ScoreDeclaration:
    """What will be scored, for puts that declare their layout before the first layer exists. source: queries, attention
    or token_scores; dtype of queries and attention; lse: comes with the queries."""

    source: str
    dtype: Any = np.float32
    lse: bool = False


@dataclass
class PutRequest:
    """All that a put declares. layout: None takes every layer to be like the first."""

    model: ModelIdentity
    prompt: PromptKey
    spec: CompactionSpec
    token_count: int | None = None
    shard: Shard = field(default_factory=Shard)
    layout: Sequence[AttentionRun | VerbatimRun] | None = None
    scores: ScoreDeclaration | None = None
    rope: Rope | None = None
    positions: Any = None
    select_then_send: bool = False
    any_order: bool = False
    ttl_seconds: float | None = None
    pin_seconds: float | None = None
    durability: str | None = None
    accept_lower_durability: bool = False
    content_digest: bytes = b""
    routing_key: str = ""
    next_position: int | None = None
    keys_contiguous: bool = False
    required_features: Sequence[str] = ()
    transfer_id: bytes = b""


@dataclass(frozen=True)
class Declaration:
    """The Begin message and what the put must keep to: LayerRun messages, kept positions of each group (empty but for
    external puts), L."""

    begin: put_pb2.Begin
    layout: Sequence[Any]
    kept: Sequence[Array]
    token_count: int


def declare(request: PutRequest, layers: Sequence[AnyLayer] | None) -> Declaration:
    """Errors: InvalidArgument."""
    if request.layout is not None:
        layout = runs_to_wire(request.layout)
    elif layers:
        layout = layout_of(layers, request.rope)
    else:
        raise InvalidArgument("EMPTY_LAYOUT", "no layers")
    token_count = _token_count(request, layers)
    kept = _kept_positions(request, layout)
    scores = _score_input(request, layers)
    begin = put_pb2.Begin(
        required_features=request.required_features, model=request.model.to_wire(), shard=request.shard.to_wire(),
        prompt=request.prompt.to_wire(), layout=layout, token_count=token_count, spec=request.spec.to_wire(),
        scores=scores,
        order=put_pb2.Begin.ANY if request.select_then_send or request.any_order else put_pb2.Begin.LAYER_MAJOR,
        send_mode=put_pb2.Begin.SELECT_THEN_SEND if request.select_then_send else put_pb2.Begin.SEND_ALL,
        durability=_enums.to_wire(put_pb2.Durability, "DURABILITY_", request.durability, "durability"),
        accept_lower_durability=request.accept_lower_durability,
        ttl_ms=milliseconds(request.ttl_seconds, "ttl_seconds"),
        pin_ms=milliseconds(request.pin_seconds, "pin_seconds"), content_digest=request.content_digest,
        routing_key=request.routing_key, next_position=request.next_position or 0,
        keys_contiguous=request.keys_contiguous, transfer_id=request.transfer_id,
        group_row_counts=[len(positions) for positions in kept])
    return Declaration(begin, layout, kept, token_count)


def _token_count(request: PutRequest, layers: Sequence[AnyLayer] | None) -> int:
    count = request.token_count or request.prompt.token_count
    rows = [layer.row_count for layer in layers or () if isinstance(layer, Layer)]
    if not count and rows and request.spec.policy != "external":
        count = rows[0]
    if not count:
        raise InvalidArgument("TOKEN_COUNT", "token_count is needed: neither tokens nor layers tell it")
    if request.spec.policy != "external" and any(row_count != count for row_count in rows):
        raise InvalidArgument("TOKEN_COUNT", f"layers hold {sorted(set(rows))} tokens, the prompt has {count}")
    return count


def _kept_positions(request: PutRequest, layout: Sequence[Any]) -> list[Array]:
    """The caller's positions, one list a group, for external puts."""
    if request.spec.policy != "external":
        if request.positions is not None:
            raise InvalidArgument("POSITIONS", "positions are for policy external")
        return []
    if request.positions is None or not len(request.positions):
        raise InvalidArgument("POSITIONS", "policy external needs positions")
    layers = attention_layer_count(layout)
    group_count = len(request.spec.groups or ()) or -(-layers // (request.spec.reuse_group or 1))
    lists = [request.positions] if np.ndim(request.positions[0]) == 0 else list(request.positions)
    lists = [np.asarray(positions) for positions in lists]
    if len(lists) == 1:
        lists *= group_count
    if len(lists) != group_count:
        raise InvalidArgument("POSITIONS", f"{len(lists)} lists of positions for {group_count} groups")
    return lists


def _score_input(request: PutRequest, layers: Sequence[AnyLayer] | None) -> Any:
    """What is scored: as declared, or as the layers say; nothing for policies that never score."""
    if request.spec.policy not in _SCORED_POLICIES:
        return None
    if request.scores is not None:
        declared = request.scores
        if declared.source not in _SCORE_SOURCES:
            raise InvalidArgument("UNKNOWN_NAME", f"score source {declared.source!r} is none of {[*_SCORE_SOURCES]}")
        source, dtype = _SCORE_SOURCES[declared.source], _score_dtype(declared)
        given: set[tuple[int, int, bool] | None] = {(source, dtype, declared.lse)}
    else:
        given = {layer.score_input() for layer in layers or () if isinstance(layer, Layer)} - {None}
    if not given:
        return None
    if len(given) > 1:
        raise InvalidArgument("SCORE_SOURCES", "the layers differ in score source, dtype or LSE")
    source, dtype, lse = given.pop() or (0, 0, False)
    if request.select_then_send and source == compaction_pb2.SCORE_SOURCE_QUERY_WINDOW:
        raise InvalidArgument("SCORE_SOURCES", "select_then_send needs attention or token_scores: queries alone "
                                               "cannot be scored without the keys")
    return put_pb2.ScoreInput(source=source, dtype=dtype, lse=lse)


def milliseconds(seconds: float | None, field_name: str) -> int:
    """0 for None. Errors: InvalidArgument (BAD_NUMBER)."""
    if seconds is None:
        return 0
    if not 0 <= seconds < 2**53 / 1e3:
        raise InvalidArgument("BAD_NUMBER", f"{field_name} is {seconds}")
    return max(1, round(seconds * 1e3)) if seconds else 0


def _score_dtype(declared: ScoreDeclaration) -> int:
    if declared.source == "token_scores":
        return int(layout_pb2.DTYPE_F32)
    return wire_dtype(declared.dtype, "scores.dtype")
