"""Every unary call as a value: what to send, and how to read the reply. The clients only carry them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from . import _enums, errors
from ._begin import milliseconds
from ._cuda_driver import ExportedMemory
from ._rendezvous import routing_key_of
from .errors import InvalidArgument
from .identity import ModelIdentity, PromptKey, Shard, prompt_of, variant_of
from .results import (Capabilities, ChannelSupport, EntryInfo, FoundEntry, Pin, PrefixMatch, RegionInfo, ReuseProfile, Stats,
                      TrimResult, WatchEvent, durability_name, policy_name, tier_name)
from .spec import EXACT, CompactionSpec, ReuseGroup
from .v1 import catalog_pb2, compaction_pb2, get_pb2, identity_pb2, layout_pb2, transport_pb2

T = TypeVar("T")
Model = ModelIdentity | bytes
"""A model identity, or its fingerprint."""
_QUIET_WITHIN_SECONDS = 30.0  # it takes milliseconds


@dataclass(frozen=True)
class Operation(Generic[T]):
    """A unary call: the RPC's name, the request, and what becomes of the response."""

    rpc: str
    request: Any
    parse: Callable[[Any], T]
    timeout: float | None = None


@dataclass(frozen=True)
class Selector:
    """Names an entry: by entry_id; or by model, by tokens or key, and by spec or variant (default: exact). With
    if_entry_id only if it is that very entry. routing_key: of a RoutedClient, where it is not the prompt's."""

    model: Model | None = None
    tokens: Any = None
    key: bytes | PromptKey | None = None
    spec: CompactionSpec | None = None
    variant: bytes | None = None
    shard: Shard = field(default_factory=Shard)
    entry_id: bytes | None = None
    if_entry_id: bytes | None = None
    routing_key: str = ""

    @property
    def routing(self) -> bytes:
        """The routing key. Errors: InvalidArgument (ROUTING_KEY) where only an entry_id is given."""
        if self.tokens is None and self.key is None and not self.routing_key:
            raise InvalidArgument("ROUTING_KEY", "an entry_id alone does not say whose it is: give routing_key too")
        return self.routing_key.encode() or routing_key_of(prompt_of(self.tokens, self.key))

    def to_wire(self) -> catalog_pb2.EntrySelector:
        if self.entry_id is not None:
            return catalog_pb2.EntrySelector(entry_id=self.entry_id)
        if self.model is None:
            raise InvalidArgument("SELECTOR", "give entry_id, or model and tokens or key")
        if self.spec is not None and self.variant is not None:
            raise InvalidArgument("SELECTOR", "give spec or variant")
        variant = variant_of(self.spec) if self.spec is not None else self.variant
        name = identity_pb2.EntryName(**model_ref(self.model), shard=self.shard.to_wire(),
                                      key=prompt_of(self.tokens, self.key).key, variant=variant or EXACT)
        return catalog_pb2.EntrySelector(name=name, if_entry_id=self.if_entry_id or b"")


@dataclass(frozen=True)
class Query:
    """A prompt whose longest stored prefix is wanted. key needs block digests. accept: as of get. shards: all must have
    committed; empty: the whole model as one. hold_seconds: a lease on what is found. routing_key: of a RoutedClient,
    where it is not the prompt's."""

    model: Model
    tokens: Any = None
    key: PromptKey | None = None
    accept: str | bytes | CompactionSpec | None = None
    shards: Sequence[Shard] = ()
    block_extra: Sequence[bytes] = ()
    hold_seconds: float | None = None
    routing_key: str = ""

    @property
    def routing(self) -> bytes:
        """The routing key."""
        return self.routing_key.encode() or routing_key_of(prompt_of(self.tokens, self.key, self.block_extra))

    def to_wire(self) -> catalog_pb2.FindLongestPrefixRequest.Query:
        return catalog_pb2.FindLongestPrefixRequest.Query(
            **model_ref(self.model), shards=[shard.to_wire() for shard in self.shards],
            prompt=prompt_of(self.tokens, self.key, self.block_extra).to_wire(),
            accept=None if self.accept is None else accept_to_wire(self.accept),
            hold_ms=milliseconds(self.hold_seconds, "hold_seconds"))


def model_ref(model: Model) -> dict[str, Any]:
    return {"model": model.to_wire()} if isinstance(model, ModelIdentity) else {"fingerprint": bytes(model)}


def accept_to_wire(accept: str | bytes | CompactionSpec) -> get_pb2.Accept:
    """"exact", "least_lossy", a spec, or a variant's 32 bytes. Errors: InvalidArgument (ACCEPT)."""
    if isinstance(accept, CompactionSpec):
        return get_pb2.Accept(variant=variant_of(accept))
    if isinstance(accept, (bytes, bytearray)):
        return get_pb2.Accept(variant=bytes(accept))
    if accept == "exact":
        return get_pb2.Accept(exact=True)
    if accept == "least_lossy":
        return get_pb2.Accept(least_lossy=True)
    raise InvalidArgument("ACCEPT", f"{accept!r} is neither exact, least_lossy, a spec nor a variant")


def _item_error(status: Any) -> errors.Error | None:
    return errors.from_status(status.code, status.reason, status.message) if status.code else None


def only(results: Sequence[Any]) -> Any:
    """The result of a batch of one. Errors: the item's."""
    if len(results) != 1:
        raise errors.DataLoss("MALFORMED_REPLY", f"{len(results)} items for one")
    if isinstance(results[0], errors.Error):
        raise results[0]
    return results[0]


def _batch(response_items: Any, parse: Callable[[Any], T]) -> list[T | errors.Error]:
    return [_item_error(item.status) or parse(item) for item in response_items]


def find(queries: Sequence[Query], *, timeout: float | None = None) -> Operation[
        list[PrefixMatch | None | errors.Error]]:
    """For each query what covers the most tokens; None for a miss, an Error for a query that failed."""
    def parse_item(item: Any) -> PrefixMatch | None | errors.Error:
        error = _item_error(item.status)
        if error is not None:
            return None if isinstance(error, errors.NotFound) else error
        found = tuple(FoundEntry(entry.entry_id, entry.key, entry.variant, policy_name(entry.policy), entry.token_count,
                                 entry.row_count, entry.size_bytes, tier_name(entry.tier)) for entry in item.entries)
        return PrefixMatch(item.covered_tokens, found, item.expected_load_ms / 1e3, item.lease_id,
                           item.lease_expires_unix_ms)

    request = catalog_pb2.FindLongestPrefixRequest(queries=[query.to_wire() for query in queries])
    return Operation("FindLongestPrefix", request, lambda reply: [parse_item(item) for item in reply.results], timeout)


def find_longest_prefix(
        *, model: Model, tokens: Any = None, key: PromptKey | None = None,
        accept: str | bytes | CompactionSpec | None = None, shards: Sequence[Shard] = (),
        block_extra: Sequence[bytes] = (), hold_seconds: float | None = None,
        timeout: float | None = None) -> Operation[PrefixMatch | None]:
    """What covers the most tokens of a prompt, or None. See Query."""
    many = find([Query(model, tokens, key, accept, shards, block_extra, hold_seconds)], timeout=timeout)
    return Operation(many.rpc, many.request, lambda reply: only(many.parse(reply)), timeout)


def describe_many(selectors: Sequence[Selector], *, positions: bool = False,
                  timeout: float | None = None) -> Operation[list[EntryInfo | errors.Error]]:
    """Metadata of each; an Error for one that failed. positions: with kept positions."""
    request = catalog_pb2.DescribeCachesRequest(entries=[selector.to_wire() for selector in selectors],
                                                with_positions=positions)
    return Operation("DescribeCaches", request,
                     lambda reply: _batch(reply.items, lambda item: EntryInfo.from_wire(item.info)), timeout)


def describe(*, model: Model | None = None, tokens: Any = None, key: bytes | PromptKey | None = None,
             spec: CompactionSpec | None = None, variant: bytes | None = None, shard: Shard = Shard(),
             entry_id: bytes | None = None, if_entry_id: bytes | None = None, positions: bool = False,
             timeout: float | None = None) -> Operation[EntryInfo]:
    """Metadata without the bytes. See Selector. Errors: NotFound."""
    selector = Selector(model, tokens, key, spec, variant, shard, entry_id, if_entry_id)
    many = describe_many([selector], positions=positions)
    return Operation(many.rpc, many.request, lambda reply: only(many.parse(reply)), timeout)


def pin_many(selectors: Sequence[Selector], *, seconds: float,
             timeout: float | None = None) -> Operation[list[Pin | errors.Error]]:
    """A lease on each; an Error for one that failed."""
    request = catalog_pb2.PinCachesRequest(entries=[selector.to_wire() for selector in selectors],
                                           duration_ms=milliseconds(seconds, "seconds"))
    return Operation("PinCaches", request, lambda reply: _batch(
        reply.items, lambda item: Pin(item.pin_id, item.expires_unix_ms)), timeout)


def pin(*, seconds: float, model: Model | None = None, tokens: Any = None, key: bytes | PromptKey | None = None,
        spec: CompactionSpec | None = None, variant: bytes | None = None, shard: Shard = Shard(),
        entry_id: bytes | None = None, if_entry_id: bytes | None = None,
        timeout: float | None = None) -> Operation[Pin]:
    """Keeps an entry from eviction for so long, or until unpin. See Selector. Errors: NotFound."""
    selector = Selector(model, tokens, key, spec, variant, shard, entry_id, if_entry_id)
    many = pin_many([selector], seconds=seconds)
    return Operation(many.rpc, many.request, lambda reply: only(many.parse(reply)), timeout)


def unpin_many(pins: Sequence[Pin | PrefixMatch | bytes], *,
               timeout: float | None = None) -> Operation[list[errors.Error | None]]:
    """Ends each lease; an Error for one that failed, else None."""
    ids = [item.pin_id if isinstance(item, Pin) else item.lease_id if isinstance(item, PrefixMatch) else item
           for item in pins]
    return Operation("UnpinCaches", catalog_pb2.UnpinCachesRequest(pin_ids=ids),
                     lambda reply: [_item_error(item) for item in reply.items], timeout)


def unpin(*pins: Pin | PrefixMatch | bytes, timeout: float | None = None) -> Operation[None]:
    """Ends leases early: of pin, or of find. Errors: NotFound, the first item's that failed."""
    many = unpin_many(pins)
    return Operation(many.rpc, many.request, lambda reply: raise_first(many.parse(reply)), timeout)


def raise_first(items: Sequence[errors.Error | None]) -> None:
    """Errors: the first item's that failed."""
    for error in items:
        if error is not None:
            raise error


def delete_many(selectors: Sequence[Selector], *,
                timeout: float | None = None) -> Operation[list[errors.Error | None]]:
    """Removes each; an Error for one that failed, else None."""
    request = catalog_pb2.DeleteCachesRequest(entries=[selector.to_wire() for selector in selectors])
    return Operation("DeleteCaches", request, lambda reply: [_item_error(item) for item in reply.items], timeout)


def delete(*, model: Model | None = None, tokens: Any = None, key: bytes | PromptKey | None = None,
           spec: CompactionSpec | None = None, variant: bytes | None = None, shard: Shard = Shard(),
           entry_id: bytes | None = None, if_entry_id: bytes | None = None,
           timeout: float | None = None) -> Operation[None]:
    """Removes an entry. See Selector. Errors: NotFound, FailedPrecondition (PINNED)."""
    selector = Selector(model, tokens, key, spec, variant, shard, entry_id, if_entry_id)
    many = delete_many([selector])
    return Operation(many.rpc, many.request, lambda reply: only(many.parse(reply)), timeout)


def trim(*, older_than_seconds: float | None = None, fingerprint: bytes | None = None, prefix_tokens: Any = None,
         prefix: PromptKey | None = None, dry_run: bool = False,
         timeout: float | None = None) -> Operation[TrimResult]:
    """Removes unpinned entries that meet all given conditions: unused for so long, of a model, whose prompt begins so.
    Errors: InvalidArgument without a condition."""
    has_prefix = prefix_tokens is not None or prefix is not None
    request = catalog_pb2.TrimCachesRequest(
        older_than_ms=milliseconds(older_than_seconds, "older_than_seconds"), fingerprint=fingerprint or b"",
        prefix=prompt_of(prefix_tokens, prefix).to_wire() if has_prefix else None, dry_run=dry_run)
    return Operation("TrimCaches", request, lambda reply: TrimResult(
        reply.removed_entries, reply.removed_bytes, reply.pinned_entries), timeout)


def list_page(page_token: str = "", *, fingerprint: bytes | None = None, page_size: int = 0,
              timeout: float | None = None) -> Operation[tuple[list[EntryInfo], str]]:
    """One page of entries and the next page's token, empty after the last."""
    request = catalog_pb2.ListCachesRequest(page_size=page_size, page_token=page_token, fingerprint=fingerprint or b"")
    return Operation("ListCaches", request, lambda reply: (
        [EntryInfo.from_wire(entry) for entry in reply.entries], reply.next_page_token), timeout)


def watch_event(message: Any) -> WatchEvent:
    kinds = catalog_pb2.WatchCachesResponse
    return WatchEvent(
        message.sequence, _enums.from_wire(kinds.Event, "", message.event),
        EntryInfo.from_wire(message.entry) if message.HasField("entry") else None,
        _enums.from_wire(kinds.RemovalReason, "", message.removal_reason))


def capabilities(*, timeout: float | None = None) -> Operation[Capabilities]:
    """Versions, features, limits, devices."""
    def parse(reply: Any) -> Capabilities:
        def names(enum: Any, prefix: str, values: Any) -> tuple[str, ...]:
            return tuple(_enums.from_wire(enum, prefix, value) for value in values)

        return Capabilities(
            reply.server_version, reply.protocol_version, tuple(reply.features),
            tuple(policy_name(policy) for policy in reply.policies), names(layout_pb2.DType, "DTYPE_", reply.dtypes),
            names(layout_pb2.DType, "DTYPE_", reply.scorable_dtypes),
            names(compaction_pb2.ScoreSource, "SCORE_SOURCE_", reply.score_sources), tuple(reply.transports),
            tuple(durability_name(durability) for durability in reply.durabilities),
            tuple(_figures(device) for device in reply.devices), _figures(reply.limits), reply.record_format_version,
            tuple(ReuseProfile(profile.name, profile.fingerprint, tuple(map(ReuseGroup.from_wire, profile.groups)),
                               CompactionSpec.from_wire(profile.spec), profile.given_chunks, profile.max_loss)
                  for profile in reply.profiles), reply.local_socket,
            ChannelSupport(reply.channels.unavailable, reply.channels.nccl_version, tuple(reply.channels.devices)))

    return Operation("GetCapabilities", catalog_pb2.GetCapabilitiesRequest(), parse, timeout)


def stats(*, timeout: float | None = None) -> Operation[Stats]:
    """Bytes, entries, hits and misses in tokens."""
    def parse(reply: Any) -> Stats:
        tiers = {tier_name(tier.tier): {name: value for name, value in _figures(tier).items() if name != "tier"}
                 for tier in reply.tiers}
        return Stats(tiers, _figures(reply.tenant), reply.active_sessions, reply.active_gets, reply.pins,
                     reply.uptime_ms / 1e3, reply.scrubbed_bytes, reply.damaged_entries)

    return Operation("GetStats", catalog_pb2.GetStatsRequest(), parse, timeout)


def list_regions(*, timeout: float | None = None) -> Operation[list[RegionInfo]]:
    """The regions of all clients of the tenant. Errors: FailedPrecondition (REGIONS_DISABLED)."""
    return Operation("ListRegions", transport_pb2.ListRegionsRequest(), lambda reply: [
        RegionInfo(region.region_id, region.name, region.size_bytes, region.active_transfers)
        for region in reply.regions], timeout)


def register_region(token: bytes, size_bytes: int, name: str) -> Operation[bytes]:
    """Turns what was offered over the local socket into a region; its id."""
    kind = transport_pb2.RegisterRegionRequest.SHARED_MEMORY
    request = transport_pb2.RegisterRegionRequest(token=token, kind=kind, size_bytes=size_bytes, name=name)
    return Operation("RegisterRegion", request, lambda reply: bytes(reply.region_id))


def register_device_region(memory: ExportedMemory, tokens: Sequence[bytes], size_bytes: int,
                           name: str) -> Operation[bytes]:
    """tokens: of the memory's segments in order, or the one of a handle."""
    message = transport_pb2.RegisterRegionRequest
    if memory.ipc_handle:
        request = message(kind=message.CUDA_IPC, token=tokens[0], cuda_ipc_handle=memory.ipc_handle,
                          cuda_ipc_offset_bytes=memory.offset_bytes, size_bytes=size_bytes, name=name)
    else:
        segments = [message.Segment(token=token, size_bytes=length)
                    for token, (_, length) in zip(tokens, memory.segments)]
        request = message(kind=message.CUDA_POSIX_DESCRIPTOR, segments=segments, size_bytes=size_bytes, name=name,
                          segments_offset_bytes=memory.offset_bytes)
    return Operation("RegisterRegion", request, lambda reply: bytes(reply.region_id))


def unregister_region(region_id: bytes) -> Operation[None]:
    """Returns when nothing touches the region any more. Errors: NotFound (gone already)."""
    request = transport_pb2.UnregisterRegionRequest(region_id=region_id)
    return Operation("UnregisterRegion", request, lambda reply: None, _QUIET_WITHIN_SECONDS)


def quiesce_transfer(transfer_id: bytes) -> Operation[None]:
    """Returns when nothing touches any region for the transfer any more."""
    request = transport_pb2.QuiesceTransferRequest(transfer_id=transfer_id)
    return Operation("QuiesceTransfer", request, lambda reply: None, _QUIET_WITHIN_SECONDS)


def _figures(message: Any) -> dict[str, Any]:
    """A flat message as a dictionary of all its fields."""
    return {item.name: getattr(message, item.name) for item in message.DESCRIPTOR.fields}


def open_channel(owner_id: bytes, device: int, nccl_version: int) -> Operation[tuple[bytes, bytes]]:
    """(channel id, NCCL's unique id)."""
    request = transport_pb2.OpenChannelRequest(owner_id=owner_id, device=device, nccl_version=nccl_version)
    return Operation("OpenChannel", request, lambda reply: (reply.channel_id, reply.nccl_unique_id), None)


def close_channel(channel_id: bytes) -> Operation[None]:
    return Operation("CloseChannel", transport_pb2.CloseChannelRequest(channel_id=channel_id), lambda _: None, 5.0)
