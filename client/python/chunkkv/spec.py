"""What a put asks of compaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from . import _enums
from .errors import InvalidArgument
from .v1 import compaction_pb2

EXACT = bytes(32)
"""The variant of lossless entries."""


@dataclass(frozen=True)
class ReuseGroup:
    """Consecutive attention layers that share one list of kept positions. leader: the layer that chooses (counted
    like first_layer, without VERBATIM layers); None where all choose together."""

    first_layer: int
    layer_count: int
    leader: int | None = None

    def to_wire(self) -> compaction_pb2.ReuseGroup:
        return compaction_pb2.ReuseGroup(first_layer=self.first_layer, layer_count=self.layer_count, leader=self.leader)

    @classmethod
    def from_wire(cls, message: Any) -> ReuseGroup:
        leader = message.leader if message.HasField("leader") else None
        return cls(message.first_layer, message.layer_count, leader)


_ENUM_FIELDS = {
    "policy": (compaction_pb2.Policy, "POLICY_"),
    "group_score": (compaction_pb2.GroupScore, "GROUP_SCORE_"),
    "chunk_reduce": (compaction_pb2.ChunkReduce, "CHUNK_REDUCE_"),
    "on_low_mass": (compaction_pb2.OnLowMass, "ON_LOW_MASS_"),
}


@dataclass(frozen=True)
class CompactionSpec:
    """A policy and its parameters; None takes the default in brackets.

    policy: full, chunk_kv, snap_kv, h2o, streaming_llm or external. keep_ratio (share kept) or max_tokens (tokens kept,
    window and sinks included) is stated by the caller, except for full and external.
    """

    policy: str
    keep_ratio: float | None = None
    max_tokens: int | None = None
    chunk_length: int | None = None  # [10]
    window_length: int | None = None  # [32]
    reuse_group: int | None = None  # [1]
    group_score: str | None = None  # leader or sum [leader]
    chunk_reduce: str | None = None  # sum, mean or max [sum; max with chunk_starts]
    sink_tokens: int | None = None  # [0; 4 for streaming_llm]
    pool: int | None = None  # [1; 5 for snap_kv]
    recent_ratio: float | None = None  # [0.5]
    budget_multiple: int | None = None  # [1]
    min_retained_mass: float | None = None  # [no guardrail]
    on_low_mass: str | None = None  # fail, raise_budget or keep_full [fail]
    max_raised_tokens: int | None = None  # [L]
    chunk_starts: Sequence[int] | None = None  # the prompt's own spans instead of a grid
    groups: Sequence[ReuseGroup] | None = None  # explicit groups [runs of reuse_group layers]
    profile: str = ""  # the groups of the model's measured profile of this name, loaded by the server
    label: str = ""  # external: the caller's method

    def __post_init__(self) -> None:
        if self.chunk_starts is not None:
            starts = tuple(int(start) for start in np.asarray(self.chunk_starts).reshape(-1))
            object.__setattr__(self, "chunk_starts", starts)
        if self.groups is not None:
            object.__setattr__(self, "groups", tuple(self.groups))

    @property
    def effective_window_length(self) -> int:
        return 32 if self.window_length is None else self.window_length

    def to_wire(self) -> compaction_pb2.CompactionSpec:
        """Errors: InvalidArgument (UNKNOWN_NAME, BAD_NUMBER)."""
        message = compaction_pb2.CompactionSpec()
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or value == "":
                continue
            try:
                if field.name in _ENUM_FIELDS:
                    setattr(message, field.name, _enums.to_wire(*_ENUM_FIELDS[field.name], value, field.name))
                elif field.name == "groups":
                    message.groups.extend(group.to_wire() for group in value)
                elif field.name == "chunk_starts":
                    message.chunk_starts.extend(value)
                else:
                    setattr(message, field.name, value)
            except (TypeError, OverflowError) as error:
                raise InvalidArgument("BAD_NUMBER", f"spec.{field.name}: {error}") from error
            except ValueError as error:
                if isinstance(error, InvalidArgument):
                    raise
                raise InvalidArgument("BAD_NUMBER", f"spec.{field.name}: {error}") from error
        return message

    @classmethod
    def from_wire(cls, message: Any) -> CompactionSpec:
        values: dict[str, Any] = {}
        for name, (enum, prefix) in _ENUM_FIELDS.items():
            values[name] = _enums.from_wire(enum, prefix, getattr(message, name)) or None
        values["policy"] = values["policy"] or ""
        for field in fields(cls):
            if field.name in values or field.name in ("chunk_starts", "groups", "profile", "label"):
                continue
            values[field.name] = getattr(message, field.name) if message.HasField(field.name) else None
        return cls(chunk_starts=tuple(message.chunk_starts) or None, profile=message.profile, label=message.label,
                   groups=tuple(ReuseGroup.from_wire(group) for group in message.groups) or None, **values)
