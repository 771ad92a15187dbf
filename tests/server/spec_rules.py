"""What a compaction spec may say, whatever it is asked of, from compaction.proto."""

from chunkkv.v1 import compaction_pb2 as wire

MAX_TOKENS_OF_A_CHUNK = MAX_WINDOW = 4096
MAX_POOL = 4095
MAX_BUDGET_MULTIPLE = 2**20
MAX_PROFILE_NAME = 256
UNBUDGETED = (wire.POLICY_FULL, wire.POLICY_EXTERNAL)
SCORED = (wire.POLICY_CHUNK_KV, wire.POLICY_SNAP_KV, wire.POLICY_H2O)


def _is_within(spec, field: str, least, most) -> bool:
    return not spec.HasField(field) or least <= getattr(spec, field) <= most


def _has_budget(spec: wire.CompactionSpec) -> bool:
    """Or needs none, and has none."""
    budgets = spec.HasField("keep_ratio") + spec.HasField("max_tokens")
    if spec.policy in UNBUDGETED:
        return budgets == 0
    return (budgets == 1 and (not spec.HasField("keep_ratio") or 0 < spec.keep_ratio <= 1)
            and _is_within(spec, "max_tokens", 1, 2**63 - 1))


def is_spec(spec: wire.CompactionSpec) -> bool:
    return (spec.policy in wire.Policy.values()[1:] and _has_budget(spec)
            and _is_within(spec, "chunk_length", 1, MAX_TOKENS_OF_A_CHUNK)
            and _is_within(spec, "window_length", 1, MAX_WINDOW)
            and _is_within(spec, "reuse_group", 1, 2**31 - 1)
            and _is_within(spec, "group_score", wire.GROUP_SCORE_LEADER, wire.GROUP_SCORE_SUM)
            and _is_within(spec, "chunk_reduce", wire.CHUNK_REDUCE_SUM, wire.CHUNK_REDUCE_MAX)
            and _is_within(spec, "sink_tokens", 0, 2**31 - 1)
            and _is_within(spec, "pool", 1, MAX_POOL) and (not spec.HasField("pool") or spec.pool % 2 == 1)
            and _is_within(spec, "recent_ratio", 0, 1)
            and _is_within(spec, "budget_multiple", 1, MAX_BUDGET_MULTIPLE)
            and _is_within(spec, "min_retained_mass", 0, 1)
            and _is_within(spec, "on_low_mass", wire.ON_LOW_MASS_FAIL, wire.ON_LOW_MASS_KEEP_FULL)
            and _is_within(spec, "max_raised_tokens", 1, 2**63 - 1)
            and all(not group.HasField("leader") or group.leader >= 0 for group in spec.groups)
            and len(spec.profile.encode()) <= MAX_PROFILE_NAME)


def sinks(spec: wire.CompactionSpec) -> int:
    return spec.sink_tokens if spec.HasField("sink_tokens") else 4 * (spec.policy == wire.POLICY_STREAMING_LLM)


def window(spec: wire.CompactionSpec) -> int:
    return spec.window_length if spec.HasField("window_length") else 32


def keeps_everything(spec: wire.CompactionSpec, token_count: int) -> bool:
    """A good spec that is not external."""
    if spec.policy == wire.POLICY_FULL or token_count <= window(spec):
        return True
    least = window(spec) + sinks(spec)
    if spec.HasField("max_tokens"):
        return spec.max_tokens >= token_count
    multiple = spec.budget_multiple if spec.HasField("budget_multiple") else 1
    budget = max(int(spec.keep_ratio * token_count + 0.5), least)
    return -(-budget // multiple) * multiple >= token_count


def fits_prompt(spec: wire.CompactionSpec, token_count: int) -> bool:
    """Of a good spec: its budget and its chunks, where the prompt has this many tokens."""
    if spec.HasField("max_tokens") and window(spec) < token_count > spec.max_tokens < window(spec) + sinks(spec):
        return False
    starts = list(spec.chunk_starts)
    of_sinks = spec.policy != wire.POLICY_CHUNK_KV or not starts or starts[0] == sinks(spec)
    return of_sinks and starts == sorted(set(starts)) and all(0 <= start < token_count for start in starts)


def fits_layers(spec: wire.CompactionSpec, layer_count: int) -> bool:
    """Of a good spec: its groups, where there are this many attention layers."""
    next_layer = 0
    for group in spec.groups:
        if group.first_layer != next_layer or group.layer_count < 1:
            return False
        next_layer += group.layer_count
        if group.HasField("leader"):
            if not group.first_layer <= group.leader < next_layer or spec.group_score == wire.GROUP_SCORE_SUM:
                return False
    return not spec.groups or next_layer == layer_count


def group_count(spec: wire.CompactionSpec, layer_count: int) -> int:
    return len(spec.groups) or -(-layer_count // (spec.reuse_group or 1))
