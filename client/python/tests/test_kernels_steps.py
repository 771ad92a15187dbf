"""One step at a time: layouts, pages, dtypes, and what whole requests are made of."""

import chunkkv
import ml_dtypes
import numpy as np
import pytest
import xxhash
from chunkkv import digests, kernels
from chunkkv._arrays import as_array, as_tensor
from kernels_library import kernels_library  # noqa: F401
from sample_caches import KV_HEADS, QUERY_HEADS, cache

TOKENS, WINDOW = 90, 8
SPEC = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.3, window_length=WINDOW)


def run_of(k, v):
    return chunkkv.AttentionRun(1, k.shape[1], k.shape[2], v.shape[2], k.dtype, query_head_count=QUERY_HEADS)


def pages_of(rows, block_tokens, spare=3, seed=5):
    """`rows` scattered over pages in random order."""
    tokens, heads, size = rows.shape
    used = -(-tokens // block_tokens)
    blocks = np.full((used + spare, block_tokens, heads, size), np.nan, rows.dtype)
    block_ids = np.random.default_rng(seed).permutation(used + spare)[:used].astype(np.int32)
    for token in range(tokens):
        blocks[block_ids[token // block_tokens], token % block_tokens] = rows[token]
    return kernels.PagedRows(blocks, block_ids, tokens)


def test_plan_tells_what_follows_from_a_spec():
    runs = [chunkkv.AttentionRun(5, KV_HEADS, 8, 4, "bf16", query_head_count=QUERY_HEADS)]
    spec = chunkkv.CompactionSpec(policy="snap_kv", keep_ratio=0.1, window_length=WINDOW, reuse_group=2,
                                  sink_tokens=2, budget_multiple=16)
    plan = kernels.plan(spec, TOKENS, runs, score_source="query_window")
    assert (plan.token_count, plan.past_length, plan.window_length, plan.sink_tokens) == (TOKENS, TOKENS - 8, 8, 2)
    assert plan.budget == 16 and plan.budget_changes == ("raised_to_window", "rounded_to_multiple")
    assert plan.groups == (chunkkv.ReuseGroup(0, 2, 0), chunkkv.ReuseGroup(2, 2, 2), chunkkv.ReuseGroup(4, 1, 4))
    assert [plan.is_scored(layer) for layer in range(5)] == [True, False, True, False, True]
    assert plan.raised_budget(16) == 32 and plan.needs_scores and not plan.keeps_everything


def test_steps_are_a_request():
    layers = [kernels.KvLayer(k=k, v=v, queries=queries) for k, v, queries in cache(TOKENS, window=WINDOW)]
    whole = kernels.compact(layers, SPEC)
    plan = kernels.plan(SPEC, TOKENS, [run_of(layer.k, layer.v) for layer in layers], score_source="query_window")
    for index, layer in enumerate(layers):
        scores = kernels.score(plan, index, k=layer.k, queries=layer.queries)
        selection = kernels.select(plan, index, [scores])
        assert selection.positions.tolist() == whole.positions[index].tolist()
        assert selection.retained_mass == (whole.retained_mass[index],)
        assert np.array_equal(kernels.gather(layer.k, selection.positions), whole.layers[index].k)


def test_sum_lets_all_layers_of_a_group_choose():
    layers = [kernels.KvLayer(k=k, v=v, queries=queries) for k, v, queries in cache(TOKENS, window=WINDOW)]
    spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.3, window_length=WINDOW, reuse_group=2,
                                  group_score="sum")
    whole = kernels.compact(layers, spec)
    assert whole.groups == (chunkkv.ReuseGroup(0, 2), chunkkv.ReuseGroup(2, 1)) and whole.scored_layers == (0, 1, 2)
    plan = kernels.plan(spec, TOKENS, [run_of(layer.k, layer.v) for layer in layers], score_source="query_window")
    scores = [kernels.score(plan, index, k=layers[index].k, queries=layers[index].queries) for index in (0, 1)]
    summed = [{"token_scores": scores[0] + scores[1]}, {"token_scores": scores[0] + scores[1]}]
    alone = kernels.compact([kernels.KvLayer(k=layers[index].k, **summed[index]) for index in (0, 1)],
                            chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.3, window_length=WINDOW,
                                                   reuse_group=2))
    assert alone.positions[0].tolist() == whole.positions[0].tolist()


def test_means_over_chunks_are_for_plans_that_add_up_whole_chunks():
    k, _, queries = cache(TOKENS, window=WINDOW)[0]

    def plan_of(**options):
        spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.3, window_length=WINDOW, **options)
        return kernels.plan(spec, TOKENS, [run_of(k, k)], score_source="query_window")

    plan = plan_of()
    assert plan.allows_chunk_means
    means = kernels.score(plan, 0, k=k, queries=queries, chunk_means=True)
    chosen = kernels.select(plan, 0, [means]).positions
    exact = kernels.select(plan, 0, [kernels.score(plan, 0, k=k, queries=queries)]).positions
    assert chosen.tolist() == exact.tolist()
    for options in ({"pool": 3}, {"chunk_reduce": "max"}):
        assert not plan_of(**options).allows_chunk_means
        with pytest.raises(chunkkv.InvalidArgument) as caught:
            kernels.score(plan_of(**options), 0, k=k, queries=queries, chunk_means=True)
        assert caught.value.reason == "BAD_TASK"


@pytest.mark.parametrize("block_tokens", [1, 7, 16, 128])
@pytest.mark.parametrize("of_torch", [False, True])
def test_pages_and_strides_give_what_dense_rows_give(block_tokens, of_torch):
    if of_torch:
        pytest.importorskip("torch")
    convert = as_tensor if of_torch else (lambda array: array)
    sample = cache(TOKENS, window=WINDOW)
    dense = kernels.compact([kernels.KvLayer(k=k, v=v, queries=queries) for k, v, queries in sample], SPEC)

    def paged(rows):
        pages = pages_of(rows, block_tokens)
        # As engines keep them with heads outside tokens: a transposed view of the same memory.
        by_head = convert(np.ascontiguousarray(pages.blocks.transpose(0, 2, 1, 3)))
        return kernels.PagedRows(by_head.transpose(1, 2) if of_torch else by_head.transpose(0, 2, 1, 3),
                                 convert(pages.block_ids), rows.shape[0])

    def head_major(rows):
        by_head = convert(np.ascontiguousarray(rows.transpose(1, 0, 2)))
        return by_head.transpose(0, 1) if of_torch else by_head.transpose(1, 0, 2)

    layers = [kernels.KvLayer(k=paged(k), v=head_major(v), queries=convert(queries)) for k, v, queries in sample]
    result = kernels.compact(layers, SPEC)
    for got, wanted in zip(result.layers, dense.layers):
        assert as_array(got.positions).tolist() == wanted.positions.tolist()
        assert as_array(got.k).tobytes() == wanted.k.tobytes() and as_array(got.v).tobytes() == wanted.v.tobytes()


def test_scatter_fills_pages_and_nothing_else():
    k = cache(TOKENS)[0][0]
    positions = np.arange(3, 60, 3)
    kept = kernels.gather(k, positions)
    pages = pages_of(np.zeros_like(kept), 4)
    pages.blocks[:] = -1
    kernels.scatter(kept, np.arange(len(kept)), pages)
    assert np.array_equal(kernels.gather(pages, np.arange(len(kept))), kept)
    assert (pages.blocks != -1).sum() == kept.size
    with pytest.raises(chunkkv.InvalidArgument) as caught:
        kernels.scatter(kept, np.arange(len(kept)) + 1, pages)
    assert caught.value.reason == "BAD_POSITIONS"


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, np.float16])
def test_raw_bits_with_a_named_dtype(dtype):
    name = {2: "bf16" if dtype is ml_dtypes.bfloat16 else "f16", 1: "f8_e4m3"}[np.dtype(dtype).itemsize]
    rows = cache(TOKENS, dtype=dtype)[0][0]
    bits = rows.view(np.uint16 if np.dtype(dtype).itemsize == 2 else np.uint8)
    got = kernels.gather(bits, [1, 5, 88], dtype=name)
    assert got.dtype == bits.dtype and np.array_equal(got, bits[[1, 5, 88]])
    assert kernels.gather(rows, [1, 5, 88]).tobytes() == got.tobytes()
    with pytest.raises(chunkkv.InvalidArgument) as caught:
        kernels.gather(bits, [1])
    assert caught.value.reason == "BAD_DTYPE"


def test_raw_bits_are_scored_as_what_they_are():
    sample = cache(TOKENS, dtype=ml_dtypes.bfloat16, window=WINDOW)
    typed = kernels.compact([kernels.KvLayer(k=k, v=v, queries=queries) for k, v, queries in sample], SPEC)
    raw = kernels.compact([kernels.KvLayer(*(part.view(np.uint16) for part in layer), dtype="bf16")
                           for layer in sample], SPEC)
    assert [positions.tolist() for positions in raw.positions] == [positions.tolist() for positions in typed.positions]
    assert raw.put_arguments("raw")["layers"][0].k.dtype == ml_dtypes.bfloat16


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float8_e4m3fn"])
def test_torch_dtypes(name):
    torch = pytest.importorskip("torch")
    rows = as_tensor(cache(TOKENS)[0][0]).to(getattr(torch, name))
    got = kernels.gather(rows, torch.tensor([2, 3, 7]))
    assert got.dtype == rows.dtype and as_array(got).tobytes() == as_array(rows)[[2, 3, 7]].tobytes()


def test_fp8_keys_are_scored_by_their_scales():
    sample = cache(TOKENS, window=WINDOW)
    scales = [np.abs(k).max(axis=2, keepdims=True) / 400 for k, _, _ in sample]
    stored = [(k / scale).astype(ml_dtypes.float8_e4m3fn) for (k, _, _), scale in zip(sample, scales)]
    wanted = kernels.compact([kernels.KvLayer(k=k.astype(np.float32) * scale, queries=queries)
                              for k, scale, (_, _, queries) in zip(stored, scales, sample)], SPEC)
    got = kernels.compact([kernels.KvLayer(k=k, k_scale=scale, queries=queries)
                           for k, scale, (_, _, queries) in zip(stored, scales, sample)], SPEC)
    assert [positions.tolist() for positions in got.positions] == [positions.tolist() for positions in wanted.positions]
    assert np.array_equal(got.layers[0].k_scale, scales[0][got.positions[0]])
    with pytest.raises(chunkkv.Unimplemented) as caught:
        kernels.compact([kernels.KvLayer(k=stored[0], queries=sample[0][2])], SPEC)
    assert caught.value.reason == "SCORING_FP8"


def test_out_is_filled_and_checked():
    k = cache(TOKENS)[0][0]
    out = np.empty((2, *k.shape[1:]), k.dtype)
    assert kernels.gather(k, [0, 9], out=out) is out and np.array_equal(out, k[[0, 9]])
    for wrong in (np.empty((3, *k.shape[1:]), k.dtype), np.empty((2, *k.shape[1:]), np.float16),
                  np.empty((*k.shape[1:], 2), k.dtype).transpose(2, 0, 1)):
        with pytest.raises(chunkkv.InvalidArgument):
            kernels.gather(k, [0, 9], out=wrong)


def test_rotation_in_place_moves_rows_to_where_they_stand():
    k = cache(TOKENS)[0][0]
    rope = chunkkv.Rope.of_theta(100.0, 8)
    kept = kernels.gather(k, [4, 40])
    turned = kernels.rotate(kept, [4, 40], rope)
    angle = -39 * rope.inv_freq[1]
    assert turned[1, 0, 1] == pytest.approx(kept[1, 0, 1] * np.cos(angle) - kept[1, 0, 5] * np.sin(angle), abs=1e-5)
    assert kernels.rotate(kept, [4, 40], rope, out=kept) is kept and np.array_equal(kept, turned)


@pytest.mark.parametrize("count", [0, 1, 100, 16384, 16385, 3 * 16384 - 1])
@pytest.mark.parametrize("of_torch", [False, True])
def test_digests_are_those_of_16_kib_blocks(count, of_torch):
    if of_torch:
        pytest.importorskip("torch")
    data = np.random.default_rng(count).integers(0, 256, count + 1, np.uint8)[1:]  # of no alignment
    got = kernels.digest(as_tensor(data) if of_torch else data)
    assert str(got.dtype) == ("torch.int64" if of_torch else "uint64")
    words = as_array(got).view(np.uint64)
    assert words.tolist() == [xxhash.xxh3_64_intdigest(data[at:at + 16384]) for at in range(0, count, 16384)]
    assert xxhash.xxh3_128_digest(words.tobytes()) == digests.tensor_digest(data)


@pytest.mark.parametrize("on", [kernels.Device("reference"), kernels.Device(threads=3)])
def test_digests_do_not_depend_on_dtype_shape_or_device(on):
    rows = cache(6000, dtype=ml_dtypes.bfloat16)[0][0]
    assert rows.nbytes > 8 * 16384
    assert np.array_equal(kernels.digest(rows, on=on), kernels.digest(rows.view(np.uint8).reshape(-1)))
    with pytest.raises(chunkkv.InvalidArgument) as caught:
        kernels.digest(rows[:, :1], on=on)
    assert caught.value.reason == "BAD_STRIDES"


def test_streaming_llm_needs_no_scores():
    spec = chunkkv.CompactionSpec(policy="streaming_llm", max_tokens=20, window_length=WINDOW)
    layers = [kernels.KvLayer(k=k, v=v) for k, v, _ in cache(TOKENS)]
    result = kernels.compact(layers, spec)
    assert result.positions[0].tolist() == [*range(4), *range(TOKENS - 16, TOKENS)] and result.retained_mass == ()
    plan = kernels.plan(spec, TOKENS, [run_of(layers[0].k, layers[0].v)])
    assert kernels.select(plan, 0).positions.tolist() == result.positions[0].tolist()


def test_layers_of_a_put_are_taken_as_they_are():
    sample = cache(TOKENS, window=WINDOW)
    own = kernels.compact([kernels.KvLayer(k=k, v=v, queries=queries) for k, v, queries in sample], SPEC)
    of_put = kernels.compact([chunkkv.Layer(k=k, v=v, queries=queries) for k, v, queries in sample], SPEC)
    assert [positions.tolist() for positions in of_put.positions] == [positions.tolist() for positions in own.positions]


def test_arrays_and_tensors_may_be_mixed():
    pytest.importorskip("torch")
    k, v, queries = cache(TOKENS, window=WINDOW)[0]
    kept = kernels.compact([kernels.KvLayer(k=k, v=as_tensor(v), queries=as_tensor(queries))], SPEC).layers[0]
    assert isinstance(kept.k, np.ndarray) and as_array(kept.v).tobytes() == v[kept.positions].tobytes()
