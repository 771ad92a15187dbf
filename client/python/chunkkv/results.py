"""What the service says of entries, and what it hands out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import _enums
from ._arrays import Array, as_tensor
from .identity import ModelIdentity, Shard
from .spec import CompactionSpec, ReuseGroup
from .v1 import catalog_pb2, compaction_pb2, put_pb2


def policy_name(number: int) -> str:
    return _enums.from_wire(compaction_pb2.Policy, "POLICY_", number)


def tier_name(number: int) -> str:
    return _enums.from_wire(catalog_pb2.Tier, "TIER_", number)


def durability_name(number: int) -> str:
    return _enums.from_wire(put_pb2.Durability, "DURABILITY_", number)


@dataclass(frozen=True)
class Compaction:
    """What compaction did. retained_mass: share of the token score that the kept tokens hold, of each scored layer, as
    listed in scored_layers. adjacent_jaccard: similarity of adjacent groups' kept positions, [groups - 1]."""

    policy_applied: str
    budget: int  # tokens kept per layer; 0 where external lists differ in length
    budget_changes: tuple[str, ...]
    retained_mass: tuple[float, ...]
    scored_layers: tuple[int, ...]
    adjacent_jaccard: tuple[float, ...]

    @classmethod
    def from_wire(cls, message: Any) -> Compaction:
        changes = compaction_pb2.CompactionResult.BudgetChange
        return cls(policy_name(message.policy_applied), message.budget,
                   tuple(_enums.from_wire(changes, "", change) for change in message.changes),
                   tuple(item.mass for item in message.retained_mass),
                   tuple(item.layer for item in message.retained_mass), tuple(message.adjacent_jaccard))


@dataclass(frozen=True)
class PutResult:
    """A committed entry, or the one that was stored already: then nothing was sent and compaction is unknown (None, and
    its figures empty)."""

    entry_id: bytes
    key: bytes
    fingerprint: bytes
    variant: bytes
    durability: str
    already_stored: bool
    stored_bytes: int
    received_bytes: int = 0
    peak_staging_bytes: int = 0
    compaction_seconds: float = 0.0
    entry_digest: bytes = b""
    compaction: Compaction | None = None

    @property
    def budget(self) -> int:
        return self.compaction.budget if self.compaction else 0

    @property
    def retained_mass(self) -> tuple[float, ...]:
        return self.compaction.retained_mass if self.compaction else ()

    @property
    def adjacent_jaccard(self) -> tuple[float, ...]:
        return self.compaction.adjacent_jaccard if self.compaction else ()


@dataclass(frozen=True)
class Group:
    """A reuse group's kept token positions, ascending; positions is None where they were not asked for."""

    group: ReuseGroup
    row_count: int
    positions: Array | None


@dataclass(frozen=True)
class EntryHeader:
    """What is known of an entry before its layers come."""

    entry_id: bytes
    fingerprint: bytes
    shard: Shard
    key: bytes
    variant: bytes
    spec: CompactionSpec
    compaction: Compaction
    original_length: int  # L
    next_position: int  # of the next token, for the positions served
    positions_served: str  # original or contiguous
    groups: tuple[Group, ...]
    size_bytes: int  # of the whole entry
    created_unix_ms: int
    expires_unix_ms: int  # 0: never
    entry_digest: bytes
    layer_range: range
    token_range: range | None  # of a token range of an exact entry

    @property
    def policy_applied(self) -> str:
        return self.compaction.policy_applied

    @property
    def budget(self) -> int:
        return self.compaction.budget

    @property
    def retained_mass(self) -> tuple[float, ...]:
        return self.compaction.retained_mass

    @property
    def adjacent_jaccard(self) -> tuple[float, ...]:
        return self.compaction.adjacent_jaccard


@dataclass(frozen=True)
class EntryLayer:
    """One verified layer. An attention layer has k [rows, Hkv, D], v [rows, Hkv, Dv] (None without V), with fp8 their
    scales, and positions [rows] int32: the rows' token positions in the prompt, ascending. A verbatim layer has
    tensors, name to bytes. After as_torch() the arrays are torch tensors over the same memory."""

    index: int
    k: Any = None
    v: Any = None
    k_scale: Any = None
    v_scale: Any = None
    positions: Any = None
    tensors: dict[str, Any] | None = None

    def as_torch(self) -> EntryLayer:
        arrays: dict[str, Any] = {
            name: value if value is None else as_tensor(value)
            for name, value in vars(self).items() if name not in ("index", "tensors")}
        tensors = self.tensors and {name: as_tensor(value) for name, value in self.tensors.items()}
        return replace(self, **arrays, tensors=tensors)

    @property
    def size_bytes(self) -> int:
        arrays = [self.k, self.v, self.k_scale, self.v_scale, *(self.tensors or {}).values()]
        return sum(array.nbytes for array in arrays if array is not None)


@dataclass(frozen=True)
class Sizes:
    """Bytes: of the whole entry as stored, and of the tensors that were served."""

    stored_bytes: int
    served_bytes: int


@dataclass(frozen=True)
class Entry(EntryHeader):
    """A verified entry: its header and layers (those of layer_range)."""

    layers: tuple[EntryLayer, ...]

    @property
    def sizes(self) -> Sizes:
        return Sizes(self.size_bytes, sum(layer.size_bytes for layer in self.layers))

    def as_torch(self) -> Entry:
        """The entry with torch tensors over the same memory. Of a mapped entry, what is written to them stays in this
        process."""
        return replace(self, layers=tuple(layer.as_torch() for layer in self.layers))

    def close(self) -> None:
        """Lets go of the layers. A mapped entry's memory is given back when no array of it is left: the server counts
        it until then."""
        object.__setattr__(self, "layers", ())

    def __enter__(self) -> Entry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class EntryInfo:
    """An entry's metadata."""

    entry_id: bytes
    fingerprint: bytes
    model: ModelIdentity | None
    shard: Shard
    key: bytes
    variant: bytes
    spec: CompactionSpec
    compaction: Compaction
    original_length: int
    next_position: int
    keys_contiguous: bool
    groups: tuple[Group, ...]
    layer_count: int
    size_bytes: int
    full_bytes: int  # of the uncompacted cache
    tier: str
    durability: str
    created_unix_ms: int
    last_used_unix_ms: int
    expires_unix_ms: int  # 0: never
    pinned_until_unix_ms: int  # 0: not pinned
    entry_digest: bytes
    hit_count: int

    @classmethod
    def from_wire(cls, message: Any) -> EntryInfo:
        same = ("entry_id", "next_position", "keys_contiguous", "size_bytes", "full_bytes", "created_unix_ms",
                "last_used_unix_ms", "expires_unix_ms", "pinned_until_unix_ms", "entry_digest", "hit_count")
        model = ModelIdentity.from_wire(message.model) if message.HasField("model") else None
        return cls(
            fingerprint=message.name.fingerprint or (model.fingerprint() if model else b""), model=model,
            shard=Shard.from_wire(message.name.shard), key=message.name.key, variant=message.name.variant or bytes(32),
            spec=CompactionSpec.from_wire(message.spec), compaction=Compaction.from_wire(message.compaction),
            original_length=message.token_count, layer_count=sum(run.layer_count for run in message.layout),
            groups=tuple(Group(ReuseGroup.from_wire(group.group), group.row_count,
                               np.array(group.positions, np.int32) if group.positions else None)
                         for group in message.groups),
            tier=tier_name(message.tier), durability=durability_name(message.durability),
            **{name: getattr(message, name) for name in same})


@dataclass(frozen=True)
class FoundEntry:
    """An entry that covers the beginning of a prompt."""

    entry_id: bytes
    key: bytes
    variant: bytes
    policy: str
    original_length: int
    row_count: int
    size_bytes: int
    tier: str


@dataclass(frozen=True)
class PrefixMatch:
    """What covers the most tokens of a prompt. entries: one a shard, in the order asked. lease_id: held until
    lease_expires_unix_ms, unpinned, or released by a get that names it; empty without hold_seconds."""

    covered_tokens: int
    entries: tuple[FoundEntry, ...]
    expected_load_seconds: float
    lease_id: bytes
    lease_expires_unix_ms: int


@dataclass(frozen=True)
class Pin:
    """A lease: the entry is not evicted before expires_unix_ms, or unpin(pin)."""

    pin_id: bytes
    expires_unix_ms: int


@dataclass(frozen=True)
class TrimResult:
    removed_entries: int
    removed_bytes: int
    pinned_entries: int  # would have been removed, but for a pin


@dataclass(frozen=True)
class WatchEvent:
    """event: snapshot_begin (forget what was known), snapshot_entry, snapshot_end, stored, removed or moved.
    removal_reason: deleted, evicted, expired, damaged or lost; empty otherwise."""

    sequence: int
    event: str
    entry: EntryInfo | None
    removal_reason: str


@dataclass(frozen=True)
class ReuseProfile:
    """A measured profile that puts of its model may name (CompactionSpec.profile), and its groups. Its losses, of at
    most max_loss, hold for the choice of tokens that it was measured for: spec, with given chunks or without."""

    name: str
    fingerprint: bytes
    groups: tuple[ReuseGroup, ...]
    spec: CompactionSpec
    given_chunks: bool
    max_loss: float


@dataclass(frozen=True)
class ChannelSupport:
    """unavailable: why there are no channels; empty where there are, on the server's devices, by NCCL of this version
    (22707 is 2.27.7), which must be the client's too."""

    unavailable: str
    nccl_version: int
    devices: tuple[int, ...]


@dataclass(frozen=True)
class Capabilities:
    """What a server can do. limits: name to number, as Limits of the wire."""

    server_version: str
    protocol_version: str
    features: tuple[str, ...]
    policies: tuple[str, ...]
    dtypes: tuple[str, ...]
    scorable_dtypes: tuple[str, ...]
    score_sources: tuple[str, ...]
    transports: tuple[str, ...]
    durabilities: tuple[str, ...]
    devices: tuple[dict[str, Any], ...]
    limits: dict[str, int]
    record_format_version: int
    profiles: tuple[ReuseProfile, ...]
    local_socket: str  # path; empty where the server shares no memory
    channels: ChannelSupport


@dataclass(frozen=True)
class RegionInfo:
    """Memory that the caller's tenant has lent. active_transfers: puts and gets that touch it now."""

    region_id: bytes
    name: str
    size_bytes: int
    active_transfers: int


@dataclass(frozen=True)
class Stats:
    """A server's figures. tiers: name to figures; tenant: the caller's."""

    tiers: dict[str, dict[str, int | str]]
    tenant: dict[str, int]
    active_sessions: int
    active_gets: int
    pins: int
    uptime_seconds: float
    scrubbed_bytes: int
    damaged_entries: int
