import json
import math
import runpy
from pathlib import Path

import numpy as np
import pytest

import make_vectors
import safetensors_file
from compaction_oracle import compact, gather, jaccard_similarity, retained_mass, reuse_groups
from oracle.arguments import Arguments
from oracle.budget import raised_budgets, token_budget
from oracle.layer import Layer, Model
from oracle.near_ties import cut_gap, is_acceptable, near_tie_tolerance
from oracle.ranking import Ranking
from oracle.refusal import Refusal
from oracle.rotation import contiguous_keys, rotated
from oracle.token_scores import pooled, token_scores
from vector_files import read_input

HERE = Path(__file__).parent
LN2, LN3, LN6 = math.log(2), math.log(3), math.log(6)


def one_head(keys: list[float], queries: list[float], **source) -> Layer:
    """k [L,1,1], q [w,1,1]."""
    return Layer(k=np.array(keys)[:, None, None], q=np.array(queries)[:, None, None], **source)


def score_layer(scores: list[float], tokens: int) -> Layer:
    return Layer(k=np.zeros((tokens, 1, 1), np.float32), scores=np.array(scores, np.float32))


def kept(scores: list[float], chunk_starts=None, window=2, **arguments) -> list[int]:
    layer = score_layer(scores, len(scores) + window)
    return compact([layer], Model(), Arguments(window_length=window, **arguments), chunk_starts).positions[0]


# token scores

def test_scores_are_the_softmax_over_all_visible_keys():
    assert token_scores(one_head([0, LN2, LN3], [1]), Model(), 2) == pytest.approx([1 / 6, 2 / 6])


def test_a_query_sees_no_later_key():
    assert token_scores(one_head([0, LN2, LN3], [1, 1]), Model(), 1) == pytest.approx([1 / 3 + 1 / 6])


def test_scale_multiplies_logits():
    assert token_scores(one_head([0, LN2, 0], [1]), Model(scale=2.0), 2) == pytest.approx([1 / 6, 4 / 6])


def test_default_scale_is_one_over_root_of_head_size():
    layer = Layer(k=np.array([[[0.0] * 4], [[LN2] * 4]]), q=np.ones((1, 1, 4)))
    assert token_scores(layer, Model(), 1) == pytest.approx([1 / (1 + 4)])


def test_softcap_bounds_logits():
    first = 1 / (1 + math.exp(2 * math.tanh(50)))
    assert token_scores(one_head([0, 100], [1]), Model(softcap=2.0), 1) == pytest.approx([first])


def test_sink_logit_adds_to_the_denominator_only():
    assert token_scores(one_head([0, LN2, LN3], [1]), Model(sink_logits=[LN6]), 2) == pytest.approx([1 / 12, 2 / 12])


def test_lse_gives_the_denominator():
    layer = one_head([0, LN2, LN3], [1], lse=np.array([[LN6 + LN2]]))
    assert token_scores(layer, Model(), 2) == pytest.approx([1 / 12, 2 / 12])


def test_consecutive_query_heads_share_a_key_head():
    keys = np.array([[[0.0], [0.0]], [[LN2], [LN3]]])
    layer = Layer(k=keys, q=np.array([1.0, 1.0, 1.0, 0.0]).reshape(1, 4, 1))
    assert token_scores(layer, Model(), 1) == pytest.approx([1 / 3 + 1 / 3 + 1 / 4 + 1 / 2])


def test_attention_is_summed_over_heads_and_queries():
    layer = Layer(k=np.zeros((4, 1, 1)), attention=np.arange(16.0).reshape(2, 2, 4))
    assert token_scores(layer, Model(), 2).tolist() == [0 + 4 + 8 + 12, 1 + 5 + 9 + 13]


def test_large_logits_do_not_overflow():
    assert token_scores(one_head([1e4, 0, 1e4], [1]), Model(), 2) == pytest.approx([0.5, 0])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39])
def test_non_finite_logits_are_refused(value):
    with pytest.raises(Refusal, match="NON_FINITE"):
        token_scores(one_head([value, 0, 0], [1]), Model(), 2)


def test_pooling_counts_zeros_beyond_the_edges():
    assert pooled(np.array([3.0, 0, 0, 6]), 3).tolist() == [1, 1, 2, 2]


# budget

@pytest.mark.parametrize("tokens, arguments, budget", [
    (30, dict(keep_ratio=0.35, window_length=4), 11),
    (4101, dict(keep_ratio=0.1), 410),
    (20, dict(keep_ratio=0.1, window_length=20), 20),
    (100, dict(keep_ratio=0.1), 32),
    (100, dict(keep_ratio=0.1, sink_tokens=4), 36),
    (34, dict(keep_ratio=0.1, sink_tokens=4), 34),
    (100, dict(keep_ratio=0.4, budget_multiple=16), 48),
    (100, dict(keep_ratio=0.99, budget_multiple=16), 100),
    (100, dict(max_tokens=63, budget_multiple=16), 48),
    (100, dict(max_tokens=47, budget_multiple=16, sink_tokens=4), 36),
    (100, dict(max_tokens=100, budget_multiple=16), 100),
    (100, dict(max_tokens=32), 32),
    (10, dict(max_tokens=3), 10),
])
def test_budget(tokens, arguments, budget):
    assert token_budget(Arguments("chunk_kv", **arguments), tokens) == budget


def test_max_tokens_below_window_is_refused():
    with pytest.raises(Refusal, match="BUDGET_BELOW_WINDOW"):
        token_budget(Arguments("streaming_llm", max_tokens=35), 100)


def test_raised_budgets_double_up_to_the_most():
    assert raised_budgets(Arguments("chunk_kv", max_tokens=40), 100) == [40, 80, 100]
    assert raised_budgets(Arguments("chunk_kv", max_tokens=40, max_raised_tokens=60), 100) == [40, 60]
    assert raised_budgets(Arguments("chunk_kv", max_tokens=40, max_raised_tokens=20), 100) == [40]


def test_raised_budgets_are_multiples():
    asked = dict(max_tokens=47, budget_multiple=16)
    assert raised_budgets(Arguments("chunk_kv", max_raised_tokens=90, **asked), 200) == [32, 64, 80]
    assert raised_budgets(Arguments("chunk_kv", max_raised_tokens=40, **asked), 200) == [32]
    assert raised_budgets(Arguments("chunk_kv", **asked), 100) == [32, 64, 100]
    assert raised_budgets(Arguments("chunk_kv", max_raised_tokens=100, **asked), 100) == [32, 64, 100]
    assert raised_budgets(Arguments("chunk_kv", sink_tokens=4, **asked), 100) == [36, 80, 100]
    assert raised_budgets(Arguments("chunk_kv", sink_tokens=4, max_raised_tokens=47, **asked), 100) == [36]


# choosing

def test_chunk_that_does_not_fit_gives_its_first_tokens():
    assert kept([1, 1, 1, 5, 5, 5, 2, 2, 2], policy="chunk_kv", max_tokens=6, chunk_length=3) == [3, 4, 5, 6, 9, 10]


def test_the_visit_ends_at_the_first_chunk_that_does_not_fit():
    assert kept([1, 9, 9, 9, 9, 9, 7], [0, 1, 6], policy="chunk_kv", max_tokens=4) == [1, 2, 7, 8]


def test_short_last_chunk_by_sum_mean_and_max():
    scores = [1, 1, 1, 2, 0, 0, 1.5]
    assert kept(scores, policy="chunk_kv", max_tokens=3, chunk_length=3) == [0, 7, 8]
    assert kept(scores, policy="chunk_kv", max_tokens=3, chunk_length=3, chunk_reduce="mean") == [6, 7, 8]
    assert kept(scores, policy="chunk_kv", max_tokens=3, chunk_length=3, chunk_reduce="max") == [3, 7, 8]


def test_chunks_begin_after_the_sinks():
    assert kept([9, 0, 0, 3, 3, 0], policy="chunk_kv", max_tokens=5, chunk_length=2, sink_tokens=1) == [0, 3, 4, 6, 7]


def test_equal_scores_go_to_the_lower_index():
    assert kept([1] * 6, policy="chunk_kv", max_tokens=5, chunk_length=2) == [0, 1, 2, 6, 7]
    assert kept([1] * 6, policy="snap_kv", max_tokens=5, pool=1) == [0, 1, 2, 6, 7]


def test_snap_kv_takes_pooled_tokens():
    assert kept([0, 0, 9, 0, 0, 4], policy="snap_kv", max_tokens=5, pool=3) == [1, 2, 3, 6, 7]


def test_h2o_keeps_heavy_and_recent():
    assert kept([5, 1, 4, 9, 0, 8], policy="h2o", max_tokens=6) == [0, 2, 3, 5, 6, 7]
    assert kept([5, 1, 4, 9, 0, 8], policy="h2o", max_tokens=5, recent_ratio=0.0) == [0, 3, 5, 6, 7]
    assert kept([5, 1, 4, 9, 0, 8], policy="h2o", max_tokens=6, recent_ratio=1.0, sink_tokens=1) == [0, 3, 4, 5, 6, 7]


def test_streaming_llm_keeps_first_and_last():
    assert kept([0] * 8, policy="streaming_llm", max_tokens=7) == [0, 1, 2, 3, 7, 8, 9]


def test_every_policy_keeps_exactly_its_budget():
    draw = np.random.default_rng(5)
    for _ in range(300):
        policy = draw.choice(["chunk_kv", "snap_kv", "h2o", "streaming_llm"])
        arguments = Arguments(policy, keep_ratio=draw.uniform(0.01, 1), window_length=int(draw.integers(1, 9)),
                              chunk_length=int(draw.integers(1, 12)), sink_tokens=int(draw.integers(0, 9)),
                              budget_multiple=int(draw.integers(1, 5)), recent_ratio=draw.uniform())
        tokens = int(draw.integers(1, 60))
        past = max(0, tokens - arguments.window_length)
        result = compact([score_layer(draw.exponential(size=past), tokens)], Model(), arguments)
        positions = result.positions[0]
        assert positions == sorted(set(positions)) and len(positions) == result.budget == token_budget(arguments, tokens)
        assert set(range(past, tokens)) <= set(positions)


def test_chunks_of_one_are_snap_kv_without_pooling():
    scores = np.random.default_rng(3).exponential(size=40).tolist()
    assert kept(scores, policy="chunk_kv", keep_ratio=0.4, chunk_length=1) == kept(scores, policy="snap_kv", keep_ratio=0.4, pool=1)


# groups and report

def test_groups_and_leaders():
    groups = reuse_groups(Arguments("chunk_kv", reuse_group=2), 5)
    assert [(group.layers, group.leader) for group in groups] == [([0, 1], 0), ([2, 3], 2), ([4], 4)]
    assert [group.leader for group in reuse_groups(Arguments("chunk_kv", reuse_group=2, leaders=[1, 2, 4]), 5)] == [1, 2, 4]
    assert [group.scored for group in reuse_groups(Arguments("chunk_kv", reuse_group=9, group_score="sum"), 3)] == [[0, 1, 2]]


def test_leader_and_sum_choose_for_the_group():
    layers = [score_layer([3, 0, 2], 4), score_layer([0, 4, 2], 4)]
    asked = dict(window_length=1, max_tokens=2, reuse_group=2, chunk_length=1)
    assert compact(layers, Model(), Arguments("chunk_kv", **asked)).positions == [[0, 3]]
    assert compact(layers, Model(), Arguments("chunk_kv", leaders=[1], **asked)).positions == [[1, 3]]
    summed = compact([score_layer([3, 0, 2], 4), score_layer([0, 4, 3], 4)], Model(), Arguments("chunk_kv", group_score="sum", **asked))
    assert summed.positions == [[2, 3]]
    assert summed.retained_mass == pytest.approx([2 / 5, 3 / 7])


def test_mass_of_layers_that_do_not_choose_is_absent():
    result = compact([score_layer([3, 1], 3)] * 3, Model(), Arguments("chunk_kv", window_length=1, max_tokens=2, reuse_group=2, chunk_length=1))
    assert result.retained_mass == [0.75, None, 0.75]


def test_retained_mass_is_one_where_all_is_zero():
    assert retained_mass(np.zeros(4), [1, 5]) == 1.0
    assert retained_mass(np.array([1.0, 3.0]), [1, 2, 3]) == 0.75


def test_jaccard_leaves_out_sinks_and_window():
    assert jaccard_similarity([0, 3, 4, 8], [0, 4, 5, 8], 1, 8) == pytest.approx(1 / 3)
    assert jaccard_similarity([0, 8], [0, 8], 1, 8) == 1.0


# guardrails

HALF = [4.0, 3.0, 2.0, 1.0]


def guarded(**arguments):
    asked = Arguments("chunk_kv", window_length=1, chunk_length=1, max_tokens=2, min_retained_mass=0.8, **arguments)
    return compact([score_layer(HALF, 5)], Model(), asked)


def test_low_mass_fails_with_the_masses():
    with pytest.raises(Refusal, match="LOW_RETAINED_MASS") as raised:
        guarded()
    assert raised.value.retained_mass == pytest.approx([0.4])


def test_low_mass_raises_the_budget():
    assert guarded(on_low_mass="raise_budget").positions == [[0, 1, 2, 4]]
    with pytest.raises(Refusal) as raised:
        guarded(on_low_mass="raise_budget", max_raised_tokens=3)
    assert (raised.value.budget, raised.value.retained_mass) == (3, pytest.approx([0.7]))


def test_low_mass_keeps_full():
    result = guarded(on_low_mass="keep_full")
    assert (result.policy_applied, result.budget, result.positions) == ("full", 5, [[0, 1, 2, 3, 4]])


# near ties

def test_near_ties_may_swap_and_others_may_not():
    ranking = Ranking([9], [(0, 3), (3, 6), (6, 9)], np.array([1.0, 1.0 - 1e-6, 0.5]), 4)
    assert ranking.kept_positions() == [0, 1, 2, 3, 9]
    assert is_acceptable([0, 1, 2, 3, 9], ranking, 0.0)
    assert is_acceptable([0, 3, 4, 5, 9], ranking, 1e-5)
    assert not is_acceptable([0, 3, 4, 5, 9], ranking, 1e-7)
    assert not is_acceptable([0, 1, 2, 6, 9], ranking, 1e-5)
    assert cut_gap(ranking) == pytest.approx(1e-6)


@pytest.mark.parametrize("selection", [[0, 1, 3, 4, 9], [0, 1, 2, 4, 9], [0, 1, 2, 9], [0, 1, 2, 3], [1, 0, 2, 3, 9], [0, 1, 2, 3, 4, 9]])
def test_what_no_visit_gives_is_never_acceptable(selection):
    assert not is_acceptable(selection, Ranking([9], [(0, 3), (3, 6), (6, 9)], np.ones(3), 4), 1.0)


def test_near_tie_tolerance_grows_with_the_products():
    assert near_tie_tolerance(one_head([1, 1], [1]), Model()) == 1e-5
    assert near_tie_tolerance(one_head([-64, 1], [32]), Model(scale=0.5)) == 2.0 ** -20 * 1024


# rotation and gather

def test_half_turn_pairs():
    quarter = {"first_dim": 1, "rotary_dims": 4, "inv_freq": [math.pi / 2, 0.0]}
    k = np.array([[[9.0, 1, 2, 3, 4]]])
    assert rotated(k, np.array([1]), quarter | {"pairing": "half"})[0, 0] == pytest.approx([9, -3, 2, 1, 4])
    assert rotated(k, np.array([1]), quarter | {"pairing": "interleaved"})[0, 0] == pytest.approx([9, -2, 1, 3, 4])


@pytest.mark.parametrize("pairing", ["half", "interleaved"])
def test_contiguous_keys_are_those_rotated_at_their_rows(pairing):
    rope = {"first_dim": 2, "rotary_dims": 6, "pairing": pairing, "inv_freq": [1.0, 0.1, 0.01]}
    bare = np.random.default_rng(1).standard_normal((50, 2, 10))
    positions = [3, 17, 18, 49]
    at_original = rotated(bare, np.arange(50), rope)
    assert contiguous_keys(at_original[positions], positions, rope) == pytest.approx(rotated(bare[positions], np.arange(4), rope))


def test_attention_over_gathered_rows_is_dense_attention_with_dropped_keys_masked():
    draw = np.random.default_rng(2)
    layer = Layer(*(draw.standard_normal((40, 1, 8)) for _ in range(2)), q=draw.standard_normal((4, 1, 8)))
    positions = compact([layer], Model(), Arguments("chunk_kv", keep_ratio=0.5, window_length=4)).positions[0]
    query = draw.standard_normal(8)

    def attend(keys, values, mask):
        weights = np.exp(keys[:, 0] @ query + mask)
        return weights @ values[:, 0] / weights.sum()

    mask = np.full(40, -np.inf)
    mask[positions] = 0
    gathered = attend(gather(layer.k, positions), gather(layer.v, positions), 0)
    assert gathered == pytest.approx(attend(layer.k, layer.v, mask))


# files

@pytest.mark.parametrize("path", sorted((HERE / "kvpress").glob("*.in.safetensors")), ids=lambda path: path.name)
def test_oracle_keeps_what_kvpress_kept(path):
    layers, model, chunk_starts = read_input(path)
    expected, metadata = safetensors_file.read(path.with_name(path.name.replace(".in.", ".kept.")))
    result = compact(layers, model, Arguments(**json.loads(metadata["arguments"])), chunk_starts)
    assert result.positions == [expected[f"positions.{layer}"].tolist() for layer in range(len(layers))]


def test_vectors_are_what_the_script_writes():
    assert make_vectors.differences() == []


def test_vectors_read_back_give_their_expectation():
    for path in sorted((HERE / "compaction").glob("*.expected.json")):
        expected = json.loads(path.read_text())
        layers, model, chunk_starts = read_input(path.with_name(path.name.replace("expected.json", "in.safetensors")))
        try:
            result = compact(layers, model, Arguments(**expected["arguments"]), chunk_starts)
        except Refusal as refusal:
            assert refusal.reason == expected["error"], path.name
        else:
            assert result.positions == expected["positions"], path.name


@pytest.mark.parametrize("script, document", [("identity/make_keys.py", "keys.json"), ("digest/make_digests.py", "digests.json"),
                                              ("routing/make_routing.py", "routing.json")])
def test_other_vectors_are_what_their_scripts_write(script, document):
    made = runpy.run_path(str(HERE / script))
    assert json.loads((HERE / script).with_name(document).read_text()) == made["document"]()
