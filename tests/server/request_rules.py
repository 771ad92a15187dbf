"""What requests of one message may say, from proto/chunkkv/v1 alone: what the server is judged by."""

from chunkkv.v1 import catalog_pb2, get_pb2
from identity_rules import has_blocks, is_accept, is_model_ref, is_prompt, is_shard, shape_of
from statuses import FAILED_PRECONDITION, INVALID, NOT_FOUND, OK, OUT_OF_RANGE, UNIMPLEMENTED

MAX_PIN_MS = 3_600_000
MAX_BATCH = 4096
PART_BYTES = range(16 * 1024, 2 * 1024 * 1024 + 1)


def is_selector(selector: catalog_pb2.EntrySelector) -> bool:
    if len(selector.if_entry_id) not in (0, 16):
        return False
    chosen = selector.WhichOneof("by")
    if chosen == "entry_id":
        return len(selector.entry_id) == 16
    name = selector.name
    return (chosen == "name" and is_model_ref(name) and len(name.key) == 32 and len(name.variant) in (0, 32)
            and is_shard(name.shard, *shape_of(name)))


def is_batch(count: int) -> bool:
    return 1 <= count <= MAX_BATCH


def is_pin(request: catalog_pb2.PinCachesRequest) -> bool:
    """All but its selectors."""
    return is_batch(len(request.entries)) and 1 <= request.duration_ms <= MAX_PIN_MS


def is_list(request: catalog_pb2.ListCachesRequest) -> bool:
    """Without a page token, which only the server can read."""
    return 0 <= request.page_size and len(request.fingerprint) in (0, 32)


def is_trim(request: catalog_pb2.TrimCachesRequest) -> bool:
    has_prefix = request.HasField("prefix")
    return (request.older_than_ms >= 0 and len(request.fingerprint) in (0, 32)
            and (not has_prefix or (is_prompt(request.prefix) and has_blocks(request.prefix)))
            and bool(request.older_than_ms or request.fingerprint or has_prefix))


def _resolved(shard, layer_count: int, kv_head_count: int) -> tuple[int, ...]:
    """By what it means, where the model's shape is known."""
    return (shard.tp_rank, shard.tp_size or 1, shard.pp_rank, shard.pp_size or 1, shard.first_layer,
            shard.layer_count or layer_count, shard.first_kv_head, shard.kv_head_count or kv_head_count)


def is_query(query: catalog_pb2.FindLongestPrefixRequest.Query) -> bool:
    shape = shape_of(query)
    return (is_model_ref(query) and all(is_shard(shard, *shape) for shard in query.shards)
            and len({_resolved(shard, *shape) for shard in query.shards}) == len(query.shards)
            and is_prompt(query.prompt) and has_blocks(query.prompt)
            and (not query.HasField("accept") or is_accept(query.accept)) and 0 <= query.hold_ms <= MAX_PIN_MS)


def statuses_of_find(request: catalog_pb2.FindLongestPrefixRequest) -> set[int]:
    """All but its queries."""
    refusals = set() if is_batch(len(request.queries)) else {INVALID}
    return refusals | ({UNIMPLEMENTED} if request.required_features else set()) or {OK}


def _is_get(request: get_pb2.GetCacheRequest) -> bool:
    ranges = [getattr(request, field) for field in ("layers", "tokens") if request.HasField(field)]
    fits_a_wait = request.HasField("model") or (request.shard.layer_count and request.shard.kv_head_count)
    return (is_model_ref(request) and is_shard(request.shard, *shape_of(request)) and is_prompt(request.prompt)
            and (not request.HasField("accept") or is_accept(request.accept))
            and len(request.if_entry_id) in (0, 16) and len(request.lease_id) in (0, 16)
            and all(0 <= part.begin < part.end for part in ranges)
            and request.position_mode in get_pb2.PositionMode.values() and request.wait_ms >= 0
            and (request.wait_ms == 0 or fits_a_wait) and len(request.transfer_id) <= 32
            and (request.max_part_bytes == 0 or request.max_part_bytes in PART_BYTES))


def statuses_of_get(request: get_pb2.GetCacheRequest) -> set[int]:
    """Where the server lends no memory and has no channels, so that no target can be meant."""
    refusals = set() if _is_get(request) else {INVALID}
    if request.required_features:
        refusals.add(UNIMPLEMENTED)
    if request.HasField("target"):
        refusals |= {INVALID, FAILED_PRECONDITION}
    return refusals or {OK, NOT_FOUND, OUT_OF_RANGE, FAILED_PRECONDITION}
