"""The vectors' inputs and arguments, one case each."""
from dataclasses import dataclass, field
from typing import Callable

import ml_dtypes
import numpy as np

from oracle.layer import Layer, Model
from oracle.token_scores import attention_logits, attention_probabilities, log_denominators

F32, F16, BF16 = np.float32, np.float16, ml_dtypes.bfloat16
Draw = np.random.Generator


@dataclass
class Case:
    """inputs draws the layers anew until nothing nearly ties at a cut, unless the case is about ties."""

    name: str
    inputs: Callable[[Draw], list[Layer]]
    arguments: dict
    model: Model = field(default_factory=Model)
    chunk_starts: list[int] | None = None
    ties: bool = False


def normal(draw: Draw, shape: tuple, dtype) -> np.ndarray:
    return draw.standard_normal(shape, np.float32).astype(dtype)


def keys_and_values(draw: Draw, tokens: int, kv_heads=2, size=8, value_size=4, dtype=F32) -> Layer:
    """k [L,Hkv,size], v [L,Hkv,value_size]; no v where value_size is 0."""
    v = normal(draw, (tokens, kv_heads, value_size), dtype) if value_size else None
    return Layer(k=normal(draw, (tokens, kv_heads, size), dtype), v=v)


def queries(tokens: int, window: int, heads=4, layers=1, strength=1.0, **shape):
    """Layers with q [w,heads,size] of the last tokens; there are no more queries than tokens."""
    def inputs(draw: Draw) -> list[Layer]:
        made = [keys_and_values(draw, tokens, **shape) for _ in range(layers)]
        for layer in made:
            q = normal(draw, (min(window, tokens), heads, layer.k.shape[2]), np.float32)
            layer.q = (q * np.float32(strength)).astype(layer.k.dtype)
        return made
    return inputs


def queries_with_lse(tokens: int, window: int, model: Model, **shape):
    """Layers with q and the LSE [w,H] float32 of the whole denominator."""
    def inputs(draw: Draw) -> list[Layer]:
        layers = queries(tokens, window, **shape)(draw)
        for layer in layers:
            layer.lse = log_denominators(attention_logits(layer.q, layer.k, model), model).T.astype(np.float32)
        return layers
    return inputs


def attention(tokens: int, window: int, dtype=F32, **shape):
    """Layers with probabilities [H,w,L]."""
    def inputs(draw: Draw) -> list[Layer]:
        layers = queries(tokens, window, **shape)(draw)
        for layer in layers:
            layer.attention, layer.q = attention_probabilities(layer, Model()).astype(dtype), None
        return layers
    return inputs


def random_scores(tokens: int, window: int, layers=1, **shape):
    """Layers with scores [P], drawn from a long-tailed distribution."""
    def inputs(draw: Draw) -> list[Layer]:
        made = [keys_and_values(draw, tokens, **shape) for _ in range(layers)]
        for layer in made:
            squares = np.square(normal(draw, (max(0, tokens - window),), np.float32))
            layer.scores = squares * squares
        return made
    return inputs


def given_scores(tokens: int, *scores):
    """One layer for each list of scores [P]."""
    def inputs(draw: Draw) -> list[Layer]:
        made = [keys_and_values(draw, tokens, kv_heads=1, size=2, value_size=2) for _ in scores]
        for layer, values in zip(made, scores):
            layer.scores = np.array(values, np.float32)
        return made
    return inputs


def no_scores(tokens: int, layers=1, **shape):
    return lambda draw: [keys_and_values(draw, tokens, **shape) for _ in range(layers)]


def spoilt(inputs, tensor: str, value: float, at: tuple, layer=0):
    """The same inputs with one element replaced."""
    def changed(draw: Draw) -> list[Layer]:
        layers = inputs(draw)
        getattr(layers[layer], tensor)[at] = value
        return layers
    return changed


def only_leaders_scored(inputs, leaders: list[int]):
    """The same inputs without a source of scores in the other layers."""
    def changed(draw: Draw) -> list[Layer]:
        layers = inputs(draw)
        for index in set(range(len(layers))) - set(leaders):
            layers[index].q = layers[index].scores = None
        return layers
    return changed


def chunk_kv(**arguments) -> dict:
    return {"policy": "chunk_kv", "window_length": 8, **arguments}


def snap_kv(**arguments) -> dict:
    return {"policy": "snap_kv", "window_length": 8, **arguments}


def h2o(**arguments) -> dict:
    return {"policy": "h2o", "window_length": 8, **arguments}


def streaming_llm(**arguments) -> dict:
    return {"policy": "streaming_llm", "window_length": 8, **arguments}


CAPPED = Model(scale=0.3, softcap=2.0)
SINKS = Model(sink_logits=[0.5, -1.0, 2.0, 0.0])
SINKS_CAPPED = Model(scale=0.4, softcap=3.0, sink_logits=[1.5, 0.25, -2.0, 3.0])

SOURCES = [
    Case("source_queries", queries(68, 8), chunk_kv(keep_ratio=0.4)),
    Case("source_queries_f16", queries(68, 8, dtype=F16), chunk_kv(keep_ratio=0.4)),
    Case("source_queries_bf16", queries(68, 8, dtype=BF16), chunk_kv(keep_ratio=0.4)),
    Case("source_queries_one_head_a_group", queries(68, 8, heads=2), chunk_kv(keep_ratio=0.4)),
    Case("source_queries_one_kv_head", queries(68, 8, heads=6, kv_heads=1), chunk_kv(keep_ratio=0.4)),
    Case("source_queries_one_query", queries(41, 1), chunk_kv(keep_ratio=0.5, window_length=1)),
    Case("source_queries_large_logits", queries(68, 8, strength=60.0), chunk_kv(keep_ratio=0.4)),
    Case("source_lse", queries_with_lse(68, 8, Model()), chunk_kv(keep_ratio=0.4)),
    Case("source_lse_f16", queries_with_lse(68, 8, Model(), dtype=F16), chunk_kv(keep_ratio=0.4)),
    Case("source_lse_capped", queries_with_lse(68, 8, CAPPED), chunk_kv(keep_ratio=0.4), CAPPED),
    Case("source_lse_with_sink_logits", queries_with_lse(68, 8, SINKS), chunk_kv(keep_ratio=0.4), SINKS),
    Case("source_attention", attention(68, 8), chunk_kv(keep_ratio=0.4)),
    Case("source_attention_f16", attention(68, 8, dtype=F16), snap_kv(keep_ratio=0.4)),
    Case("source_scores", random_scores(68, 8), chunk_kv(keep_ratio=0.4)),
    Case("scale", queries(68, 8), chunk_kv(keep_ratio=0.4), Model(scale=0.09)),
    Case("softcap", queries(68, 8), chunk_kv(keep_ratio=0.4), Model(softcap=1.5)),
    Case("scale_and_softcap", queries(68, 8, strength=3.0), chunk_kv(keep_ratio=0.4), CAPPED),
    Case("sink_logits", queries(68, 8), chunk_kv(keep_ratio=0.4), SINKS),
    Case("sink_logits_and_softcap", queries(68, 8, dtype=BF16), snap_kv(keep_ratio=0.4), SINKS_CAPPED),
    Case("no_values", queries(68, 8, heads=4, kv_heads=1, value_size=0), chunk_kv(keep_ratio=0.4)),
    Case("values_larger_than_keys", queries(68, 8, value_size=12), chunk_kv(keep_ratio=0.4)),
]

BUDGETS = [
    Case("prompt_shorter_than_window", queries(6, 8), chunk_kv(keep_ratio=0.5)),
    Case("prompt_equals_window", queries(8, 8), chunk_kv(keep_ratio=0.5)),
    Case("prompt_shorter_than_window_max_tokens", queries(6, 8), chunk_kv(max_tokens=2)),
    Case("prompt_window_plus_one", queries(9, 8), chunk_kv(keep_ratio=0.5)),
    Case("prompt_window_plus_one_kept", queries(9, 8), chunk_kv(keep_ratio=0.95)),
    Case("past_multiple_of_chunk", random_scores(58, 8), chunk_kv(max_tokens=33)),
    Case("past_one_over_chunk", random_scores(59, 8), chunk_kv(max_tokens=33)),
    Case("past_one_under_chunk", random_scores(57, 8), chunk_kv(max_tokens=33)),
    Case("room_below_chunk", random_scores(58, 8), chunk_kv(max_tokens=15)),
    Case("room_none", random_scores(58, 8), chunk_kv(max_tokens=8)),
    Case("room_none_with_sinks", random_scores(58, 8), chunk_kv(max_tokens=11, sink_tokens=3)),
    Case("ratio_0_8", random_scores(100, 8), chunk_kv(keep_ratio=0.8)),
    Case("ratio_0_9", random_scores(100, 8), chunk_kv(keep_ratio=0.9)),
    Case("ratio_0_35_of_30", random_scores(30, 4), chunk_kv(keep_ratio=0.35, window_length=4, chunk_length=3)),
    Case("ratio_1", random_scores(58, 8), chunk_kv(keep_ratio=1.0)),
    Case("ratio_below_window", random_scores(58, 8), chunk_kv(keep_ratio=0.1)),
    Case("ratio_below_window_and_sinks", random_scores(58, 8), snap_kv(keep_ratio=0.15, sink_tokens=4)),
    Case("max_tokens_below_window", random_scores(58, 8), chunk_kv(max_tokens=7)),
    Case("max_tokens_below_window_and_sinks", random_scores(58, 8), chunk_kv(max_tokens=11, sink_tokens=4)),
    Case("max_tokens_equals_prompt", random_scores(58, 8), chunk_kv(max_tokens=58)),
    Case("max_tokens_above_prompt", random_scores(58, 8), chunk_kv(max_tokens=1000, budget_multiple=16)),
    Case("multiple_rounds_ratio_up", random_scores(100, 8), chunk_kv(keep_ratio=0.33, budget_multiple=16)),
    Case("multiple_exact_ratio", random_scores(100, 8), chunk_kv(keep_ratio=0.32, budget_multiple=16)),
    Case("multiple_ratio_at_most_prompt", random_scores(58, 8), chunk_kv(keep_ratio=0.9, budget_multiple=16)),
    Case("multiple_ratio_from_window", random_scores(58, 8), chunk_kv(keep_ratio=0.02, budget_multiple=6)),
    Case("multiple_rounds_max_tokens_down", random_scores(100, 8), chunk_kv(max_tokens=47, budget_multiple=16)),
    Case("multiple_max_tokens_not_below_window", random_scores(100, 8), chunk_kv(max_tokens=15, budget_multiple=16, sink_tokens=3)),
]

CHUNKS = [
    Case("defaults", queries(100, 32), {"policy": "chunk_kv", "keep_ratio": 0.55}),
    Case("reduce_mean", random_scores(55, 8), chunk_kv(keep_ratio=0.4, chunk_reduce="mean")),
    Case("reduce_max", random_scores(55, 8), chunk_kv(keep_ratio=0.4, chunk_reduce="max")),
    Case("reduce_mean_last_chunk_short",
         given_scores(33, [1] * 10 + [2] * 10 + [3] * 5), chunk_kv(max_tokens=18, chunk_reduce="mean")),
    Case("reduce_sum_last_chunk_short", given_scores(33, [1] * 10 + [2] * 10 + [3] * 5), chunk_kv(max_tokens=18)),
    Case("reduce_max_against_sum", given_scores(38, [0, 0, 9, 0, 0, 0, 0, 0, 0, 0] + [4] * 10 + [8, 5] + [0] * 8),
         chunk_kv(max_tokens=23, chunk_reduce="max")),
    Case("cut_chunk_ends_the_visit", given_scores(33, [9] * 10 + [8] * 10 + [7] * 5), chunk_kv(max_tokens=25)),
    Case("pool_3", queries(68, 8), chunk_kv(keep_ratio=0.4, pool=3)),
    Case("pool_wider_than_past", random_scores(14, 8), chunk_kv(max_tokens=10, chunk_length=2, pool=9)),
    Case("pool_reaches_over_sinks", given_scores(20, [90, 0, 0, 1, 0, 0, 20, 0, 0, 4, 0, 0]),
         chunk_kv(max_tokens=12, chunk_length=3, pool=3, sink_tokens=1)),
    Case("pool_edge_counts_zeros", given_scores(14, [30, 0, 0, 0, 0, 25]), snap_kv(max_tokens=10, pool=3), ties=True),
    Case("chunk_of_one", random_scores(58, 8), chunk_kv(keep_ratio=0.4, chunk_length=1)),
    Case("chunk_longer_than_past", random_scores(58, 8), chunk_kv(keep_ratio=0.4, chunk_length=64)),
    Case("sinks", queries(68, 8), chunk_kv(keep_ratio=0.4, sink_tokens=4)),
    Case("sinks_reach_into_window", random_scores(20, 8), chunk_kv(keep_ratio=0.5, sink_tokens=15)),
    Case("sinks_reach_into_window_max_tokens", random_scores(20, 8), chunk_kv(max_tokens=19, sink_tokens=15)),
    Case("sinks_fill_past", random_scores(20, 8), chunk_kv(keep_ratio=0.5, sink_tokens=12)),
    Case("huge_score_in_short_last_chunk", given_scores(33, [1, 2, 1, 3, 1] * 2 + [2, 2, 1, 3, 1] * 2 + [2, 1, 1e6, 1, 1]), chunk_kv(max_tokens=23)),
    Case("chunks_given", random_scores(68, 8), chunk_kv(keep_ratio=0.4), chunk_starts=[0, 3, 4, 17, 29, 30, 45, 58]),
    Case("chunks_given_mean", random_scores(68, 8), chunk_kv(keep_ratio=0.4, chunk_reduce="mean"),
         chunk_starts=[0, 3, 4, 17, 29, 30, 45, 58]),
    Case("chunks_given_sum", random_scores(68, 8), chunk_kv(keep_ratio=0.4, chunk_reduce="sum"),
         chunk_starts=[0, 3, 4, 17, 29, 30, 45, 58]),
    Case("chunks_given_into_window", random_scores(68, 8), chunk_kv(keep_ratio=0.4), chunk_starts=[0, 11, 22, 41, 60, 61, 67]),
    Case("chunks_given_heavy_last_reaches_into_window", given_scores(28, [1] * 12 + [5] * 8), chunk_kv(max_tokens=20, chunk_reduce="sum"),
         chunk_starts=[0, 5, 12, 22]),
    Case("chunks_given_with_sinks", random_scores(68, 8), chunk_kv(keep_ratio=0.4, sink_tokens=5), chunk_starts=[5, 9, 20, 33, 34, 50]),
    Case("chunks_given_of_one", random_scores(48, 8), chunk_kv(keep_ratio=0.4), chunk_starts=list(range(40))),
    Case("chunks_given_of_thousands", random_scores(5008, 8, kv_heads=1, size=2, value_size=0, dtype=F16), chunk_kv(max_tokens=2500),
         chunk_starts=[0, 1000, 3000]),
    Case("ties_everywhere", given_scores(43, [1] * 35), chunk_kv(max_tokens=23), ties=True),
    Case("ties_everywhere_mean", given_scores(43, [1] * 35), chunk_kv(max_tokens=23, chunk_reduce="mean"), ties=True),
    Case("ties_everywhere_max", given_scores(43, [1] * 35), chunk_kv(max_tokens=23, chunk_reduce="max"), ties=True),
    Case("ties_all_zero", given_scores(43, [0] * 35), chunk_kv(max_tokens=23), ties=True),
    Case("ties_at_cut", given_scores(48, [4] * 10 + [1] * 10 + [2] * 10 + [1] * 10), chunk_kv(max_tokens=32), ties=True),
]

OTHER_POLICIES = [
    Case("full", no_scores(20, layers=2), {"policy": "full"}),
    Case("snap_kv", queries(68, 8), snap_kv(keep_ratio=0.4)),
    Case("snap_kv_pool_1", random_scores(58, 8), snap_kv(keep_ratio=0.4, pool=1)),
    Case("snap_kv_pool_7_sinks", random_scores(68, 8), snap_kv(keep_ratio=0.4, pool=7, sink_tokens=3)),
    Case("snap_kv_ties", given_scores(28, [1, 0, 2, 1, 1, 2, 0, 1, 1, 1] * 2), snap_kv(max_tokens=16, pool=1), ties=True),
    Case("snap_kv_ties_of_hundreds", given_scores(608, [index * index % 7 for index in range(600)]), snap_kv(max_tokens=300, pool=1), ties=True),
    Case("h2o", queries(68, 8), h2o(keep_ratio=0.5)),
    Case("h2o_recent_0", random_scores(68, 8), h2o(keep_ratio=0.5, recent_ratio=0.0)),
    Case("h2o_recent_1", random_scores(68, 8), h2o(keep_ratio=0.5, recent_ratio=1.0, sink_tokens=2)),
    Case("h2o_recent_rounds_half_up", random_scores(68, 8), h2o(max_tokens=25)),
    Case("h2o_sinks", random_scores(68, 8), h2o(max_tokens=30, sink_tokens=4)),
    Case("h2o_pool_3", random_scores(68, 8), h2o(max_tokens=30, pool=3)),
    Case("h2o_ties", given_scores(48, [1] * 40), h2o(max_tokens=24), ties=True),
    Case("streaming_llm", no_scores(68, layers=2), streaming_llm(keep_ratio=0.4)),
    Case("streaming_llm_sinks_0", no_scores(68), streaming_llm(max_tokens=20, sink_tokens=0)),
    Case("streaming_llm_room_none", no_scores(68), streaming_llm(max_tokens=12)),
    Case("streaming_llm_below_window", no_scores(68), streaming_llm(max_tokens=11)),
    Case("streaming_llm_multiple", no_scores(68), streaming_llm(keep_ratio=0.4, budget_multiple=16)),
]

GROUPS = [
    Case("layers_alone", queries(58, 8, layers=3), chunk_kv(keep_ratio=0.5)),
    Case("reuse_2_of_5", only_leaders_scored(random_scores(58, 8, layers=5), [0, 2, 4]), chunk_kv(keep_ratio=0.5, reuse_group=2)),
    Case("reuse_above_layers", only_leaders_scored(random_scores(58, 8, layers=3), [0]), chunk_kv(keep_ratio=0.5, reuse_group=8)),
    Case("reuse_every_layer_has_scores", random_scores(58, 8, layers=4), chunk_kv(keep_ratio=0.5, reuse_group=2)),
    Case("reuse_leaders_not_first", only_leaders_scored(queries(58, 8, layers=5), [1, 2, 4]),
         chunk_kv(keep_ratio=0.5, reuse_group=2, leaders=[1, 2, 4])),
    Case("reuse_sum", queries(58, 8, layers=4), chunk_kv(keep_ratio=0.5, reuse_group=2, group_score="sum")),
    Case("reuse_sum_of_all", random_scores(58, 8, layers=3), chunk_kv(keep_ratio=0.5, reuse_group=3, group_score="sum")),
    Case("reuse_sum_short_last_group", random_scores(58, 8, layers=5), snap_kv(keep_ratio=0.5, reuse_group=2, group_score="sum")),
    Case("reuse_sum_alone", random_scores(58, 8, layers=2), chunk_kv(keep_ratio=0.5, group_score="sum")),
    Case("reuse_sinks", random_scores(58, 8, layers=4), h2o(keep_ratio=0.5, reuse_group=2, sink_tokens=3)),
    Case("reuse_room_none", random_scores(58, 8, layers=2), chunk_kv(max_tokens=8)),
]

ONE_HEAVY_CHUNK = given_scores(88, [5] * 10 + [1] * 10 + [2] * 10 + [3] * 10 + [4] * 10 + [0.5] * 10 + [0.25] * 10 + [6] * 10,
                               [2] * 10 + [9] * 10 + [1] * 10 + [3] * 10 + [0.5] * 10 + [4] * 10 + [5] * 10 + [0.25] * 10)

GUARDRAILS = [
    Case("mass_enough", ONE_HEAVY_CHUNK, chunk_kv(max_tokens=38, min_retained_mass=0.6)),
    Case("mass_fail", ONE_HEAVY_CHUNK, chunk_kv(max_tokens=28, min_retained_mass=0.6)),
    Case("mass_fail_in_second_layer", given_scores(48, [9] * 10 + [1] * 30, [3] * 10 + [2] * 10 + [1] * 20),
         chunk_kv(max_tokens=18, min_retained_mass=0.6, on_low_mass="fail")),
    Case("mass_raise_once", ONE_HEAVY_CHUNK,
         chunk_kv(max_tokens=28, min_retained_mass=0.8, on_low_mass="raise_budget")),
    Case("mass_raise_twice", ONE_HEAVY_CHUNK,
         chunk_kv(max_tokens=20, min_retained_mass=0.95, on_low_mass="raise_budget")),
    Case("mass_raise_to_prompt", ONE_HEAVY_CHUNK,
         chunk_kv(max_tokens=28, min_retained_mass=1.0, on_low_mass="raise_budget")),
    Case("mass_raise_passes_at_most", ONE_HEAVY_CHUNK,
         chunk_kv(max_tokens=28, min_retained_mass=0.6, on_low_mass="raise_budget", max_raised_tokens=38)),
    Case("mass_raise_fails_at_most", ONE_HEAVY_CHUNK,
         chunk_kv(max_tokens=28, min_retained_mass=0.9, on_low_mass="raise_budget", max_raised_tokens=40)),
    Case("mass_raise_doubles_up_to_a_multiple", ONE_HEAVY_CHUNK,
         chunk_kv(max_tokens=23, sink_tokens=10, budget_multiple=16, min_retained_mass=0.55, on_low_mass="raise_budget")),
    Case("mass_raise_most_down_to_a_multiple", ONE_HEAVY_CHUNK,
         chunk_kv(max_tokens=47, budget_multiple=16, min_retained_mass=0.8, on_low_mass="raise_budget", max_raised_tokens=60)),
    Case("mass_raise_needless", ONE_HEAVY_CHUNK,
         chunk_kv(max_tokens=38, min_retained_mass=0.6, on_low_mass="raise_budget")),
    Case("mass_keep_full", ONE_HEAVY_CHUNK, chunk_kv(max_tokens=28, min_retained_mass=0.6, on_low_mass="keep_full")),
    Case("mass_keep_full_needless", ONE_HEAVY_CHUNK, chunk_kv(max_tokens=38, min_retained_mass=0.6, on_low_mass="keep_full")),
    Case("mass_of_leaders_only", only_leaders_scored(random_scores(58, 8, layers=4), [0, 2]),
         chunk_kv(max_tokens=40, reuse_group=2, min_retained_mass=0.3)),
    Case("mass_is_of_unpooled_scores", given_scores(24, [0, 8, 0, 0, 6, 0, 0, 9, 0, 0, 0, 1, 0, 4, 0, 0]),
         snap_kv(max_tokens=12, pool=3, min_retained_mass=0.4), ties=True),
    Case("mass_is_own_under_sum", random_scores(58, 8, layers=2),
         chunk_kv(keep_ratio=0.5, reuse_group=2, group_score="sum", min_retained_mass=0.1)),
]

NON_FINITE = [
    Case("nan_in_queries", spoilt(queries(28, 8), "q", np.nan, (3, 1, 2)), chunk_kv(keep_ratio=0.5)),
    Case("inf_in_queries", spoilt(queries(28, 8, dtype=BF16), "q", np.inf, (7, 3, 7)), chunk_kv(keep_ratio=0.5)),
    Case("nan_in_keys", spoilt(queries(28, 8), "k", np.nan, (27, 1, 0)), chunk_kv(keep_ratio=0.5)),
    Case("minus_inf_in_keys", spoilt(queries(28, 8, dtype=F16), "k", -np.inf, (0, 0, 0)), chunk_kv(keep_ratio=0.5)),
    Case("logit_overflows", lambda draw: spoilt(spoilt(queries(28, 8), "k", 1e30, (4, 0, 0)), "q", -1e30, (0, 0, 0))(draw),
         chunk_kv(keep_ratio=0.5)),
    Case("nan_in_lse", spoilt(queries_with_lse(28, 8, Model()), "lse", np.nan, (2, 2)), chunk_kv(keep_ratio=0.5)),
    Case("inf_in_lse", spoilt(queries_with_lse(28, 8, Model()), "lse", np.inf, (2, 2)), chunk_kv(keep_ratio=0.5)),
    Case("inf_in_attention", spoilt(attention(28, 8), "attention", np.inf, (1, 2, 3)), chunk_kv(keep_ratio=0.5)),
    Case("nan_in_scores", spoilt(random_scores(28, 8), "scores", np.nan, (19,)), chunk_kv(keep_ratio=0.5)),
    Case("inf_in_scores", spoilt(random_scores(28, 8), "scores", np.inf, (0,)), snap_kv(keep_ratio=0.5)),
    Case("nan_in_second_scored_layer", spoilt(queries(28, 8, layers=2), "q", np.nan, (0, 0, 0), layer=1), chunk_kv(keep_ratio=0.5)),
    Case("nan_in_keys_beside_scores", spoilt(random_scores(28, 8), "k", np.nan, (5, 0, 0)), chunk_kv(keep_ratio=0.5)),
    Case("nan_in_values", spoilt(queries(28, 8), "v", np.nan, (5, 0, 0)), chunk_kv(keep_ratio=0.5)),
    Case("nan_in_keys_of_unscored_layer", spoilt(only_leaders_scored(queries(28, 8, layers=2), [0]), "k", np.nan, (5, 0, 0), layer=1),
         chunk_kv(keep_ratio=0.5, reuse_group=2)),
]


def rope(first_dim: int, rotary_dims: int, pairing: str) -> Model:
    inv_freq = [10000.0 ** (-2 * index / rotary_dims) for index in range(rotary_dims // 2)]
    return Model(rope={"first_dim": first_dim, "rotary_dims": rotary_dims, "pairing": pairing,
                       "inv_freq": [float(np.float32(value)) for value in inv_freq]})


ROTATION = [
    Case("rope_half", queries(68, 8), chunk_kv(keep_ratio=0.4), rope(0, 8, "half")),
    Case("rope_interleaved", queries(68, 8), chunk_kv(keep_ratio=0.4), rope(0, 8, "interleaved")),
    Case("rope_half_part_f16", queries(68, 8, dtype=F16, size=12), snap_kv(keep_ratio=0.4), rope(4, 6, "half")),
    Case("rope_interleaved_part_bf16", queries(68, 8, dtype=BF16, size=12, layers=2), chunk_kv(keep_ratio=0.4), rope(8, 4, "interleaved")),
    Case("rope_far_positions", random_scores(4000, 8, kv_heads=1, size=4, value_size=0), chunk_kv(max_tokens=58), rope(0, 4, "half")),
]

CASES = SOURCES + BUDGETS + CHUNKS + OTHER_POLICIES + GROUPS + GUARDRAILS + NON_FINITE + ROTATION
