"""The peers do the work of a compaction: they keep what the oracle keeps, what kvpress keeps, and what it kept of the
golden prompts, which is what every implementation of the kernels is held to."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from compaction_oracle import compact as oracle_compact  # noqa: E402
from oracle.arguments import Arguments  # noqa: E402
from oracle.layer import Layer, Model  # noqa: E402
from oracle.token_scores import attention_logits, log_denominators, token_scores  # noqa: E402
from vector_files import read_input  # noqa: E402
import safetensors_file  # noqa: E402

from gpu.peers import kvpress_steps, vectorised  # noqa: E402
from gpu.peers.selection import topk_sort  # noqa: E402

GOLDEN = Path(__file__).resolve().parents[2] / "golden/kvpress"
CASES = sorted(path.name.removesuffix(".kept.safetensors") for path in GOLDEN.glob("chunk_kv_*.kept.safetensors"))
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def golden_case(name):
    """queries [N, w, H, D], keys and values [N, L, Hkv, D], the arguments, the positions that kvpress kept [N, B]."""
    layers, _, _ = read_input(GOLDEN / f"{name}.in.safetensors")
    kept, metadata = safetensors_file.read(GOLDEN / f"{name}.kept.safetensors")
    tensors = (torch.from_numpy(np.stack([getattr(layer, field) for layer in layers])) for field in ("q", "k", "v"))
    positions = [kept[f"positions.{layer}"].tolist() for layer in range(len(layers))]
    return *tensors, json.loads(metadata["arguments"]), positions


def random_prompt(seed, layers=3, tokens=144, window=8, heads=4, kv_heads=2, head_size=16, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=draw).to(dtype)

    return (normal(layers, window, heads, head_size), normal(layers, tokens, kv_heads, head_size),
            normal(layers, tokens, kv_heads, head_size))


def oracle_layers(queries, keys):
    return [Layer(k=k.float().numpy(), q=q.float().numpy()) for q, k in zip(queries, keys)]


def lse_of(queries, keys):
    """float32 [N, w, H]."""
    logits = [attention_logits(layer.q, layer.k, Model()) for layer in oracle_layers(queries, keys)]
    return torch.from_numpy(np.stack([log_denominators(each, Model()).T for each in logits]).astype(np.float32))


def head_major(rows):
    return rows.transpose(1, 2).contiguous()


def rows_at(rows, positions):
    """Kept rows [N, B, Hkv, D] of rows [N, L, Hkv, D]."""
    return torch.stack([layer[torch.as_tensor(kept)] for layer, kept in zip(rows, positions)])


@pytest.mark.parametrize("name", CASES)
def test_kvpress_steps_keep_what_kvpress_kept(name):
    queries, keys, values, arguments, positions = golden_case(name)
    tokens, chunk_length, window = keys.shape[1], arguments["chunk_length"], arguments["window_length"]
    # Half a chunk more than the budget, lest a quotient's truncation take one away.
    keep = (arguments["max_tokens"] // chunk_length + 0.5) / (tokens // chunk_length)
    kept = kvpress_steps.compact(queries, head_major(keys), head_major(values), keep, window, chunk_length,
                                 arguments["pool"])
    for rows, source in ((0, keys), (1, values)):
        found = torch.cat([layer[rows] for layer in kept]).transpose(1, 2)
        assert torch.equal(found, rows_at(source, positions))


@pytest.mark.parametrize("has_lse", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_vectorised_keeps_what_kvpress_kept(name, has_lse):
    queries, keys, values, arguments, positions = golden_case(name)
    lse = lse_of(queries, keys) if has_lse else None
    room = arguments["max_tokens"] - arguments["window_length"]
    kept, kept_keys, kept_values = vectorised.compact(queries, keys, values, lse, room, arguments["chunk_length"],
                                                      pool=arguments["pool"])
    assert kept.tolist() == positions
    assert torch.equal(kept_keys, rows_at(keys, positions)) and torch.equal(kept_values, rows_at(values, positions))


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("keep, tokens, chunk_length", [(0.3, 160, 8), (0.35, 157, 10), (0.02, 120, 7), (0.9, 133, 4)])
def test_kvpress_steps_are_kvpress(keep, tokens, chunk_length, dtype):
    presses = pytest.importorskip("kvpress")
    queries, keys, values = random_prompt(7, layers=2, tokens=tokens, dtype=dtype)
    window, heads, head_size = queries.shape[1:]
    press = presses.ChunkKVPress(presses.SnapKVPress(1 - keep, window, kernel_size=5), chunk_length)
    # An attention layer whose hidden states are the queries, without rotation.
    attention = SimpleNamespace(config=SimpleNamespace(num_attention_heads=heads, num_key_value_heads=keys.shape[2]),
                                head_dim=head_size, q_proj=torch.nn.Identity())
    rotation = torch.ones(1, tokens, head_size, dtype=dtype), torch.zeros(1, tokens, head_size, dtype=dtype)
    ours = kvpress_steps.compact(queries, head_major(keys), head_major(values), keep, window, chunk_length)
    for layer, kept in enumerate(ours):
        hidden = torch.zeros(1, tokens, heads * head_size, dtype=dtype)
        hidden[0, -window:] = queries[layer].flatten(1)
        theirs = press.compress(attention, hidden, keys[layer].transpose(0, 1)[None],
                                values[layer].transpose(0, 1)[None], None, {"position_embeddings": rotation})
        assert all(map(torch.equal, kept, theirs))


@pytest.mark.parametrize("has_lse", [False, True])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("layout", ["token_major", "head_major"])
def test_scores_are_the_oracles(layout, dtype, has_lse):
    queries, keys, _ = random_prompt(3, tokens=101, dtype=dtype)
    by_head = head_major(keys) if layout == "head_major" else keys.transpose(1, 2)
    expected = np.stack([token_scores(layer, Model(), 93) for layer in oracle_layers(queries, keys)])
    scores = vectorised.score(queries, by_head, lse_of(queries, keys) if has_lse else None)
    assert scores.dtype == torch.float32
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-5)


def test_scores_do_not_depend_on_how_many_layers_are_scored_at_once():
    queries, keys, _ = random_prompt(4, layers=5)
    by_head = head_major(keys)
    of_two_layers = 2 * 4 * 8 * 4 * 144
    torch.testing.assert_close(vectorised.score(queries, by_head, logit_bytes=of_two_layers),
                               vectorised.score(queries, by_head))


@pytest.mark.parametrize("tokens, budget, chunk_length, reuse, pool", [
    (144, 48, 8, 1, 1), (144, 48, 8, 2, 1), (144, 48, 8, 1, 5),       # whole chunks
    (150, 53, 10, 1, 1), (151, 12, 10, 3, 1), (109, 108, 10, 1, 1),   # the last one cut; a short last chunk
    (101, 8, 10, 1, 1), (60, 20, 100, 1, 1), (60, 33, 1, 1, 3)])      # only the window; one chunk; single tokens
@pytest.mark.parametrize("has_lse", [False, True])
@pytest.mark.parametrize("layout", ["token_major", "head_major"])
def test_vectorised_keeps_exactly_what_the_oracle_keeps(tokens, budget, chunk_length, reuse, pool, has_lse, layout):
    queries, keys, values = random_prompt(11, layers=4, tokens=tokens)
    arguments = Arguments("chunk_kv", max_tokens=budget, chunk_length=chunk_length, window_length=8, reuse_group=reuse,
                          pool=pool)
    groups = oracle_compact(oracle_layers(queries, keys), Model(), arguments).positions
    expected = [groups[layer // reuse] for layer in range(4)]
    is_head_major = layout == "head_major"
    lay = head_major if is_head_major else torch.Tensor.contiguous
    lse = lse_of(queries, keys) if has_lse else None
    positions, kept_keys, kept_values = vectorised.compact(queries, lay(keys), lay(values), lse, budget - 8,
                                                           chunk_length, reuse, is_head_major, pool)
    assert positions.tolist() == expected
    assert torch.equal(kept_keys, lay(rows_at(keys, expected))), "rows, bit for bit"
    assert torch.equal(kept_values, lay(rows_at(values, expected)))


@pytest.mark.parametrize("last", [0.0, 100.0])
def test_a_short_last_chunk_counts_with_its_own_tokens(last):
    scores = torch.tensor([[1.0, 1, 1, 2, 2, 2, 3, 3, 3, last]])
    kept = vectorised.select(scores, 5, 3, window=1)[0].tolist()
    assert kept == ([3, 4, 6, 7, 8, 10] if last == 0 else [3, 6, 7, 8, 9, 10])


def test_paged_rows_are_the_prompts_rows():
    _, keys, _ = random_prompt(5, tokens=100)
    shuffled = torch.stack([torch.randperm(9, generator=torch.Generator().manual_seed(layer)) for layer in range(3)])
    block_ids = shuffled[:, :7]
    blocks = torch.full((3, 9, 16, 2, 16), float("nan"))
    padded = torch.nn.functional.pad(keys, (0, 0, 0, 0, 0, 12)).view(3, 7, 16, 2, 16)
    for layer in range(3):
        blocks[layer, block_ids[layer]] = padded[layer]
    positions = torch.arange(1, 100, 7).expand(3, -1)
    assert torch.equal(vectorised.gather_paged(blocks, block_ids, positions), rows_at(keys, positions))


def test_on_a_gpu_products_of_bf16_are_summed_in_float32():
    """The branch that no CPU takes, on tensors without contents."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    with FakeTensorMode():
        queries, keys = (torch.empty(3, tokens, 4, 16, dtype=torch.bfloat16, device="cuda") for tokens in (8, 160))
        for lse in (None, torch.empty(3, 8, 4, device="cuda")):
            positions, kept, _ = vectorised.compact(queries, keys, keys, lse, room=40, chunk_length=10, reuse=2)
            assert vectorised.score(queries, keys.transpose(1, 2), lse).dtype == torch.float32
            assert positions.shape == (3, 48) and kept.shape == (3, 48, 4, 16) and kept.is_cuda


def test_topk_and_sort_give_the_best_in_order():
    assert topk_sort(torch.tensor([[3.0, 9, 1, 7], [4.0, 0, 5, 2]]), 2).tolist() == [[1, 3], [0, 2]]
