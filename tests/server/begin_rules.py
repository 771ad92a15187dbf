"""What the Begin of a put may say, from put.proto, and which statuses it may get."""

import layout_rules
import spec_rules
from chunkkv.v1 import compaction_pb2, layout_pb2, put_pb2
from identity_rules import MAX_TEXT, has_blocks, is_model, is_prompt, is_shard, tokens_covered
from statuses import INVALID, NOT_FOUND, OK, RESOURCE_EXHAUSTED, UNIMPLEMENTED

WITHOUT_DISK = (put_pb2.DURABILITY_UNSPECIFIED, put_pb2.DURABILITY_MEMORY)
EXTERNAL = compaction_pb2.POLICY_EXTERNAL
QUERIES, ATTENTION = compaction_pb2.SCORE_SOURCE_QUERY_WINDOW, compaction_pb2.SCORE_SOURCE_ATTENTION
HUGE = 2**50  # bytes: too many, whether or not their count still fits into 64 bits with all that is added to it
LARGE = 2**24  # bytes that a server may not have room for


def _are_numbers(begin: put_pb2.Begin, limits) -> bool:
    return (1 <= begin.token_count <= limits.max_token_count and 0 <= begin.ttl_ms <= limits.max_ttl_ms
            and 0 <= begin.pin_ms <= limits.max_pin_ms and begin.order in put_pb2.Begin.PartOrder.values()
            and begin.send_mode in put_pb2.Begin.SendMode.values()
            and begin.durability in put_pb2.Durability.values() and len(begin.content_digest) in (0, 16)
            and len(begin.transfer_id) <= 32 and len(begin.routing_key.encode()) <= MAX_TEXT)


def _is_identity(begin: put_pb2.Begin) -> bool:
    return (begin.HasField("model") and is_model(begin.model)
            and is_shard(begin.shard, begin.model.layer_count, begin.model.kv_head_count) and is_prompt(begin.prompt)
            and (not has_blocks(begin.prompt) or tokens_covered(begin.prompt) == begin.token_count))


def _is_score_input(begin: put_pb2.Begin) -> bool:
    scores, spec = begin.scores, begin.spec
    if scores.source not in compaction_pb2.ScoreSource.values() or scores.dtype not in layout_pb2.DType.values():
        return False
    if scores.source in (QUERIES, ATTENTION) and scores.dtype not in layout_rules.FLOATS:
        return False
    chooses = spec.policy in spec_rules.SCORED
    if chooses and not scores.source and not spec_rules.keeps_everything(spec, begin.token_count):
        return False
    if spec.HasField("min_retained_mass") and not (chooses and scores.source):
        return False
    return scores.source == QUERIES or not scores.lse


def _is_guardrail(begin: put_pb2.Begin) -> bool:
    is_sharded = begin.shard.tp_size > 1 or begin.shard.pp_size > 1
    return begin.spec.on_low_mass in (0, compaction_pb2.ON_LOW_MASS_FAIL) or not is_sharded


def _is_external(begin: put_pb2.Begin) -> bool:
    """Or says nothing that only an external put may say."""
    rows = list(begin.group_row_counts)
    if begin.spec.policy != EXTERNAL:
        return not rows and not begin.keys_contiguous and begin.next_position in (0, begin.token_count)
    groups = spec_rules.group_count(begin.spec, layout_rules.attention_layers(begin.layout))
    return (begin.send_mode != put_pb2.Begin.SELECT_THEN_SEND and 1 <= len(begin.spec.label.encode()) <= 256
            and len(rows) == groups and all(1 <= count <= begin.token_count for count in rows)
            and (begin.next_position == 0 or max(rows) <= begin.next_position <= 2**31 - 1))


def _is_begin(begin: put_pb2.Begin, limits) -> bool:
    layers = layout_rules.attention_layers(begin.layout)
    return (_are_numbers(begin, limits) and _is_identity(begin) and layout_rules.is_layout(begin.layout, limits)
            and spec_rules.is_spec(begin.spec) and spec_rules.fits_prompt(begin.spec, begin.token_count)
            and (spec_rules.fits_layers(begin.spec, layers) if layers else
                 begin.spec.policy == compaction_pb2.POLICY_FULL)
            and _is_score_input(begin) and _is_guardrail(begin) and _is_external(begin))


def _is_built(begin: put_pb2.Begin) -> bool:
    """Without what is known by name only: other durabilities, a base, choosing by what is not there yet."""
    if begin.required_features or begin.HasField("base"):
        return False
    if begin.durability not in WITHOUT_DISK and not begin.accept_lower_durability:
        return False
    return begin.send_mode != put_pb2.Begin.SELECT_THEN_SEND or not (
        begin.scores.source == QUERIES or begin.content_digest)


def _most_bytes(begin: put_pb2.Begin) -> int:
    """Of a good begin: what it may hold of everything at once."""
    total = layout_rules.total_bytes(begin.layout, begin.token_count)
    for run in begin.layout:
        heads = run.attention.query_head_count or run.attention.kv_head_count
        rows = min(spec_rules.window(begin.spec), begin.token_count)
        total += run.layer_count * 4 * rows * heads * (run.attention.key_head_size + begin.token_count)
    return total


def statuses_of(begin: put_pb2.Begin, limits) -> set[int]:
    refusals = set()
    if not _is_begin(begin, limits):
        refusals.add(INVALID)
    if not _is_built(begin):
        refusals.add(UNIMPLEMENTED)
    if begin.spec.profile:
        refusals |= {INVALID, NOT_FOUND}  # with groups of its own: invalid; without: this server has none
    if refusals:
        return refusals
    size = _most_bytes(begin)
    return {OK} | ({RESOURCE_EXHAUSTED} if size > LARGE else set()) | ({INVALID} if size > HUGE else set())
