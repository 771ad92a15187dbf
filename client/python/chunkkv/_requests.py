"""What put and get are given, as values shared by both clients."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import _enums
from ._begin import AnyLayer, PutRequest, ScoreDeclaration, milliseconds
from ._get import Expected
from ._places import Places
from ._put import PutConversation
from ._rendezvous import routing_key_or
from .errors import InvalidArgument
from .identity import ModelIdentity, PromptKey, Shard, prompt_of, variant_of
from .layers import AttentionRun, Rope, VerbatimRun
from .operations import Model, accept_to_wire, model_ref
from .spec import EXACT, CompactionSpec
from .v1 import get_pb2, identity_pb2


@dataclass(frozen=True)
class GetCall:
    """A get: its request, and what the reply must be of."""

    request: get_pb2.GetCacheRequest
    expected: Expected
    timeout: float | None
    into: Any = None
    mapped: bool = False
    verify: bool = True
    channel: Any = None
    routing_key: bytes = b""

    def over_channel(self) -> GetCall:
        """This get, over its channel."""
        return self._with(target=get_pb2.GetCacheRequest.Target(channel_id=self.channel.channel_id))

    def to_places(self, places: Places) -> GetCall:
        """This get, written there."""
        return self._with(target=places.target, transfer_id=os.urandom(16))

    def waiting_less(self, seconds: float) -> GetCall:
        """This get, begun so much later: it waits for what is left of its wait."""
        return self._with(wait_ms=max(0, self.request.wait_ms - round(seconds * 1e3)))

    def for_local_socket(self) -> bytes | None:
        """This mapped get as the local socket takes it; None where it does not: one that waits, or ends a lease."""
        if self.request.wait_ms or self.request.lease_id:
            return None
        return bytes(self._with(prompt=identity_pb2.PromptKey(key=self.expected.key)).request.SerializeToString())

    def _with(self, **fields: Any) -> GetCall:
        request = get_pb2.GetCacheRequest()
        request.CopyFrom(self.request)
        for name in fields:
            request.ClearField(name)
        request.MergeFrom(get_pb2.GetCacheRequest(**fields))
        return replace(self, request=request)


def get_call(*, model: Model, tokens: Any = None, key: bytes | PromptKey | None = None,
             accept: str | bytes | CompactionSpec | None = None, spec: CompactionSpec | None = None,
             shard: Shard = Shard(), block_extra: Sequence[bytes] = (), if_entry_id: bytes | None = None,
             layers: range | None = None, tokens_range: range | None = None, positions: str = "original",
             wait_seconds: float | None = None, lease_id: bytes = b"", into: Any = None, mapped: bool = False,
             verify: bool | None = None, channel: Any = None, routing_key: str = "",
             timeout: float | None = None) -> GetCall:
    """model: an identity, or its fingerprint. The prompt: tokens (with block_extra) or key.

    accept: "exact" (default), "least_lossy", a spec, or a variant's 32 bytes; spec is another word for a spec accepted.
    layers, tokens_range (of exact entries): served ranges. positions: "original", or "contiguous" for engines whose row
    count is their position. wait_seconds: waits for a put in progress or not yet begun, so long in all, however many
    replicas a RoutedClient asks. timeout: of the whole call.

    into: has the server write the rows to a region of this client: to arrays and PagedRows in it, by (layer, name) with
    the names of EntryLayer; or, given the region, to new arrays in it, for which the entry's header is asked for first.
    mapped: the entry's own memory, whole and without a copy: arrays that are not to be written to, for as long as they
    live. verify: of a mapped get, whether to digest the bytes, which the server did when it stored them; no other goes
    unverified. channel: the rows come over it, to new tensors of its GPU. routing_key: of a RoutedClient, where it is
    not the prompt's.

    Errors: NotFound (a miss), OutOfRange, FailedPrecondition (CONTIGUOUS without RoPE, a token range of a compacted
    entry; REGIONS_DISABLED and MAPPING_DISABLED where the server's options leave them out; TARGET_TOO_SMALL), Aborted
    (the put waited for failed), DataLoss (what was received is not what was committed).
    """
    if spec is not None and accept is not None:
        raise InvalidArgument("ACCEPT", "give accept or spec")
    if mapped and into is not None:
        raise InvalidArgument("INTO", "give into or mapped")
    if channel is not None and (mapped or into is not None):
        raise InvalidArgument("INTO", "give channel, into or mapped")
    if verify is False and not mapped:
        raise InvalidArgument("VERIFY", "only a mapped get may go unverified")
    rule = spec if spec is not None else "exact" if accept is None else accept
    if rule == EXACT or isinstance(rule, CompactionSpec) and rule.policy == "full":
        rule = "exact"
    prompt = prompt_of(tokens, key, block_extra)
    request = get_pb2.GetCacheRequest(
        **model_ref(model), shard=shard.to_wire(), prompt=prompt.to_wire(), accept=accept_to_wire(rule),
        if_entry_id=if_entry_id or b"", lease_id=lease_id, wait_ms=milliseconds(wait_seconds, "wait_seconds"),
        position_mode=_enums.to_wire(get_pb2.PositionMode, "POSITION_MODE_", positions, "positions"),
        target=get_pb2.GetCacheRequest.Target(map=True) if mapped else None)
    for name, span in (("layers", layers), ("tokens", tokens_range)):
        if span is not None:
            if span.step != 1:
                raise InvalidArgument("BAD_RANGE", f"{name} needs a step of 1")
            getattr(request, name).begin, getattr(request, name).end = span.start, span.stop
    variant = None
    if isinstance(rule, CompactionSpec):
        variant = variant_of(rule)
    elif isinstance(rule, (bytes, bytearray)):
        variant = bytes(rule)
    fingerprint = model.fingerprint() if isinstance(model, ModelIdentity) else bytes(model)
    expected = Expected(fingerprint=fingerprint, key=prompt.key, variant=variant, entry_id=if_entry_id,
                        exact=rule == "exact", shard=_resolved_shard(shard, model), positions=positions, layers=layers,
                        tokens=tokens_range)
    return GetCall(request, expected, timeout, into, mapped, bool(verify), channel,
                   routing_key_or(routing_key, prompt))


def _resolved_shard(shard: Shard, model: Model) -> Shard | None:
    """As a reply names it; None where only the server knows the model's counts."""
    if isinstance(model, ModelIdentity):
        return shard.resolved(model)
    return shard if shard.layer_count and shard.kv_head_count else None


@dataclass(frozen=True)
class PutCall:
    """A put: the conversation to have; layers is None where they come one by one."""

    conversation: PutConversation
    layers: Sequence[AnyLayer] | None
    timeout: float | None
    channel: Any = None
    routing_key: bytes = b""

    def use_channel(self) -> Callable[..., Any] | None:
        """Has the conversation send over its channel, where it has one: makes the reader of the responses then."""
        if self.channel is None:
            return None
        transfer = self.channel.new_put()
        self.conversation.use_channel(transfer)
        reader: Callable[..., Any] = self.channel.ahead(transfer)
        return reader


def put_call(*, model: ModelIdentity, spec: CompactionSpec, layers: Sequence[AnyLayer] | None = None,
             tokens: Any = None, key: bytes | PromptKey | None = None, token_count: int | None = None,
             shard: Shard = Shard(), block_extra: Sequence[bytes] = (),
             layout: Sequence[AttentionRun | VerbatimRun] | None = None, scores: ScoreDeclaration | None = None,
             rope: Rope | None = None, positions: Any = None, select_then_send: bool = False, any_order: bool = False,
             ttl_seconds: float | None = None, pin_seconds: float | None = None, durability: str | None = None,
             accept_lower_durability: bool = False, content_digest: bytes = b"", routing_key: str = "",
             next_position: int | None = None, keys_contiguous: bool = False, required_features: Sequence[str] = (),
             channel: Any = None, timeout: float | None = None) -> PutCall:
    """layers: of the shard, all in order, for put; open_put takes them one by one.

    The prompt: tokens (with block_extra) or key; token_count where neither these nor the layers tell it.

    rope: of every layer without its own. select_then_send: the service chooses from scores, and only kept rows travel.
    positions: kept token positions of an external put, one list, or one a reuse group; next_position, keys_contiguous:
    as its rows have them. layout (and scores, where the policy scores): declared before the first layer exists, so that
    the service answers at once whether the entry is stored already; without it every layer is like the first.
    any_order: of open_put with a layout: tokens come by send_tokens, range by range as chunks of the prompt are computed.
    ttl_seconds, pin_seconds: life and first lease; durability: memory (default), local_disk or shared. content_digest:
    of K and V as sent (content_digest_of). channel: rows on its GPU go over it, once what the current stream was asked
    for is done; they are read until commit has returned. timeout: of the whole call.

    Errors: InvalidArgument, FailedPrecondition (LOW_RETAINED_MASS), AlreadyExists (CONTENT_DIFFERS), ResourceExhausted.
    """
    if any_order and (layout is None or layers is not None or select_then_send or spec.policy == "external"):
        raise InvalidArgument("ANY_ORDER", "any_order is of open_put with a layout, where K and V come whole")
    request = PutRequest(
        model=model, prompt=prompt_of(tokens, key, block_extra), spec=spec, token_count=token_count, shard=shard,
        layout=layout, scores=scores, rope=rope, positions=positions, select_then_send=select_then_send,
        any_order=any_order,
        ttl_seconds=ttl_seconds, pin_seconds=pin_seconds, durability=durability,
        accept_lower_durability=accept_lower_durability, content_digest=content_digest, routing_key=routing_key,
        next_position=next_position, keys_contiguous=keys_contiguous, required_features=required_features)
    return PutCall(PutConversation(request), None if layers is None else tuple(layers), timeout, channel,
                   routing_key_or(routing_key, request.prompt))
