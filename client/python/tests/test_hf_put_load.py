"""What is stored and served bit for bit, from caches of every kind, and what is refused."""

import copy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import chunkkv
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

import chunkkv.hf  # noqa: E402
import transformers  # noqa: E402
from hf_models import SIZES, cache_name, decode, decode_served, make_model, make_tokens, prefill  # noqa: E402

LENGTH, W = 60, 8
COMPACT = chunkkv.CompactionSpec("chunk_kv", keep_ratio=0.3, window_length=W)
FULL = chunkkv.CompactionSpec("full")


def put_prompt(client, model, tokens, spec, window_length=W, **options):
    with chunkkv.hf.capture_queries(model, window_length) as window:
        cache, _ = prefill(model, tokens)
    return cache, chunkkv.hf.put(client, model, tokens, cache, window, spec, **options)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["llama", "gemma3", "deepseek-v3"])
def test_rows_of_16_bits_come_back_bit_for_bit(client, name, dtype):
    model, tokens = copy.deepcopy(make_model(name)).to(dtype), make_tokens(LENGTH)
    cache, _ = put_prompt(client, model, tokens, COMPACT)
    served = chunkkv.hf.load(client, model, tokens, spec=COMPACT)
    for theirs, ours, positions in zip(served.cache.layers, cache.layers, served.positions):
        kept = slice(None) if positions is None else torch.as_tensor(positions).long()
        assert theirs.keys.dtype == dtype
        assert torch.equal(theirs.keys, ours.keys[:, :, kept]) and torch.equal(theirs.values, ours.values[:, :, kept])


@pytest.mark.parametrize("name", ["llama", "gemma3", "mistral-sliding"])
@pytest.mark.parametrize("capacity", [LENGTH, 2 * LENGTH])
def test_a_static_cache_is_put_like_a_dynamic_one(client, name, capacity):
    model, tokens, following = make_model(name), make_tokens(LENGTH, seed=1), make_tokens(8)
    static = transformers.StaticCache(config=model.config, max_cache_len=capacity)
    with torch.no_grad():
        model(tokens, **{cache_name(model): static})
    identity = chunkkv.hf.identity_of(model, revision=f"static {capacity}")
    chunkkv.hf.put(client, model, tokens, static, None, FULL, identity=identity)
    served = chunkkv.hf.load(client, model, tokens, identity=identity)
    torch.testing.assert_close(decode_served(model, served, following),
                               decode(model, prefill(model, tokens)[0], following, LENGTH), atol=1e-5, rtol=0)


def test_a_cache_made_without_the_config_is_put_like_one_made_with_it(client):
    model, tokens, following = make_model("gemma3"), make_tokens(LENGTH, seed=2), make_tokens(8)
    whole = transformers.DynamicCache()
    with torch.no_grad():
        model(tokens, **{cache_name(model): whole})
    assert whole.layers[0].keys.shape[2] == LENGTH
    chunkkv.hf.put(client, model, tokens, whole, None, FULL)
    served = chunkkv.hf.load(client, model, tokens)
    assert served.cache.layers[0].keys.shape[2] == model.config.sliding_window - 1
    torch.testing.assert_close(decode_served(model, served, following),
                               decode(model, prefill(model, tokens)[0], following, LENGTH), atol=1e-5, rtol=0)


def test_tokens_may_be_a_list_an_array_or_a_tensor(client):
    model, tokens = make_model("llama"), make_tokens(LENGTH, seed=3)
    put_prompt(client, model, tokens, FULL)
    for same in (tokens[0].tolist(), tokens.numpy(), tokens[0]):
        assert chunkkv.hf.load(client, model, same).next_position == LENGTH


def test_a_prompt_as_long_as_the_window_is_kept_whole(client):
    model, tokens = make_model("llama"), make_tokens(5)
    _, result = put_prompt(client, model, tokens, COMPACT)
    assert result.budget == 5
    assert chunkkv.hf.load(client, model, tokens, spec=COMPACT).row_count == 5


def test_loading_waits_for_the_prefill(client):
    model, tokens = make_model("llama"), make_tokens(LENGTH, seed=98)
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(chunkkv.hf.load, client, model, tokens, spec=COMPACT, wait_seconds=60)
        put_prompt(client, model, tokens, COMPACT)
        assert loading.result().next_position == LENGTH
    with pytest.raises(chunkkv.NotFound):
        chunkkv.hf.load(client, model, make_tokens(LENGTH, seed=99), wait_seconds=0.1)


# Models whose keys rotate otherwise: some dimensions only, interleaved, not at all.
@pytest.mark.parametrize(("prefix", "differing", "pairing", "rotary_dims"), [
    ("StableLm", {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
                  "partial_rotary_factor": 0.25}, "half", 4),
    ("Cohere", {}, "interleaved", 16),
    ("Glm", {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
     "interleaved", 8),
    ("SmolLM3", {"no_rope_layers": [1, 0, 1], "use_sliding_window": False}, "half", 16),
])
def test_the_rotation_of_other_models_is_measured_too(client, prefix, differing, pairing, rotary_dims):
    config = getattr(transformers, f"{prefix}Config")(**{**SIZES, **differing})
    torch.manual_seed(7)
    model, tokens = getattr(transformers, f"{prefix}ForCausalLM")(config).eval(), make_tokens(LENGTH)
    ropes = chunkkv.hf.measured_ropes(model)
    rotates = differing.get("no_rope_layers", [1, 1, 1])
    assert [rope is not None for rope in ropes] == [bool(each) for each in rotates]
    assert {(rope.pairing, 2 * len(rope.inv_freq)) for rope in ropes if rope} == {(pairing, rotary_dims)}
    if all(rotates):
        spec = chunkkv.CompactionSpec("streaming_llm", max_tokens=40, sink_tokens=0, window_length=W)
        put_prompt(client, model, tokens, spec)
        following = make_tokens(8)
        original = decode_served(model, chunkkv.hf.load(client, model, tokens, spec=spec), following)
        contiguous = chunkkv.hf.load(client, model, tokens, spec=spec, positions="contiguous")
        assert (decode_served(model, contiguous, following) - original).abs().max() < 1e-3


def test_rotation_is_left_out_where_it_is_not_wanted(client):
    model, tokens = make_model("llama"), make_tokens(LENGTH, seed=4)
    put_prompt(client, model, tokens, COMPACT, rope=False)
    with pytest.raises(chunkkv.FailedPrecondition):
        chunkkv.hf.load(client, model, tokens, spec=COMPACT, positions="contiguous")


def test_rotation_is_not_measured_in_other_dtypes():
    with pytest.raises(chunkkv.InvalidArgument, match="BAD_DTYPE.*float64.*rope=False"):
        chunkkv.hf.measured_ropes(copy.deepcopy(make_model("llama")).double())


def refused(client, reason, model, tokens, cache, window, spec=COMPACT, error=chunkkv.InvalidArgument):
    with pytest.raises(error, match=reason):
        chunkkv.hf.put(client, model, tokens, cache, window, spec)


def test_a_policy_that_scores_needs_a_window_of_this_prefill(client):
    model, tokens = make_model("llama"), make_tokens(LENGTH, seed=5)
    with chunkkv.hf.capture_queries(model, W) as of_another:
        cache, _ = prefill(model, make_tokens(LENGTH - 1))
    cache, _ = prefill(model, tokens)
    refused(client, "WINDOW_MISSING.*capture_queries", model, tokens, cache, None)
    refused(client, "WINDOW_ELSEWHERE", model, tokens, cache, of_another)
    with chunkkv.hf.capture_queries(model, W) as empty:
        pass
    refused(client, "WINDOW_MISSING.*layers \\[0, 1, 2\\]", model, tokens, cache, empty)
    with chunkkv.hf.capture_queries(model, W - 1) as short:
        cache, _ = prefill(model, tokens)
    refused(client, "WINDOW_TOO_SHORT.*7 tokens", model, tokens, cache, short)
    with chunkkv.hf.capture_queries(model, W) as rewound:
        cache, _ = prefill(model, torch.cat([tokens, tokens[:, :3]], 1))
        cache.crop(LENGTH - cache.get_seq_length())
    refused(client, "WINDOW_TOO_SHORT.*5 tokens", model, tokens, cache, rewound)


def test_tokens_are_those_of_the_cache(client):
    model, tokens = make_model("llama"), make_tokens(LENGTH, seed=6)
    cache, _ = prefill(model, tokens)
    refused(client, "TOKEN_COUNT.*60 tokens, and 59", model, tokens[:, 1:], cache, None, FULL)
    batch, _ = prefill(model, make_tokens(LENGTH, batch=2))
    refused(client, "BATCH.*2 rows", model, tokens, batch, None, FULL)
    refused(client, "EMPTY_CACHE", model, tokens, transformers.DynamicCache(config=model.config), None, FULL)


def test_caches_and_models_that_hold_more_than_keys_and_values_are_refused(client):
    model, tokens = make_model("llama"), make_tokens(LENGTH, seed=7)
    cache, _ = prefill(model, tokens)

    class Quantized(transformers.cache_utils.DynamicLayer):
        pass

    cache.layers[1].__class__ = Quantized
    refused(client, "UNSUPPORTED_CACHE.*Quantized", model, tokens, cache, None, FULL, chunkkv.Unimplemented)
    refused(client, "EMPTY_CACHE", model, tokens, SimpleNamespace(), None, FULL)
    config = transformers.T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, vocab_size=32)
    encoder_decoder = transformers.T5ForConditionalGeneration(config)
    with pytest.raises(chunkkv.Unimplemented, match="UNSUPPORTED_MODEL.*encoder-decoder"):
        chunkkv.hf.identity_of(encoder_decoder)
    with pytest.raises(chunkkv.Unimplemented, match="UNSUPPORTED_MODEL"):
        chunkkv.hf.capture_queries(encoder_decoder, W).__enter__()


def test_a_model_with_an_attention_of_its_own_is_stored_whole_and_cannot_be_scored(client):
    sizes = {"vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
             "initializer_range": 0.1, "multi_query": False}
    torch.manual_seed(7)
    model, tokens = transformers.FalconForCausalLM(transformers.FalconConfig(**sizes)).eval(), make_tokens(LENGTH)
    cache, _ = put_prompt(client, model, tokens, FULL)
    following = make_tokens(8)
    torch.testing.assert_close(decode_served(model, chunkkv.hf.load(client, model, tokens), following),
                               decode(model, cache, following, LENGTH), atol=1e-5, rtol=0)
    with chunkkv.hf.capture_queries(model, W) as window:
        cache, _ = prefill(model, tokens)
    refused(client, "WINDOW_MISSING.*attention interface", model, tokens, cache, window)


def test_learned_positions_are_no_rotation(client):
    sizes = {"vocab_size": 128, "n_embd": 64, "n_layer": 2, "n_head": 4, "initializer_range": 0.1}
    torch.manual_seed(7)
    model, tokens = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)).eval(), make_tokens(LENGTH)
    put_prompt(client, model, tokens, COMPACT)
    assert chunkkv.hf.measured_ropes(model) == (None, None)
    assert chunkkv.hf.load(client, model, tokens, spec=COMPACT).row_count == 18
    with pytest.raises(chunkkv.FailedPrecondition):
        chunkkv.hf.load(client, model, tokens, spec=COMPACT, positions="contiguous")


def test_a_cache_of_another_shape_than_the_config_says_is_refused(client):
    model, tokens = make_model("llama"), make_tokens(LENGTH, seed=8)
    cache, _ = prefill(model, tokens)
    for layer in cache.layers:
        layer.keys = layer.keys[..., :8]
    refused(client, "UNSUPPORTED_MODEL.*\\(2, 8, 16\\)", model, tokens, cache, None, FULL, chunkkv.Unimplemented)


def test_entries_that_a_model_cannot_go_on_from_are_refused(client):
    model, tokens = make_model("llama"), make_tokens(LENGTH, seed=9)
    put_prompt(client, model, tokens, FULL)
    with pytest.raises(chunkkv.InvalidArgument, match="PARTIAL"):
        chunkkv.hf.load(client, model, tokens, tokens_range=range(10))
    draw = torch.randn
    layers = [chunkkv.Layer(k=draw(rows, 2, 16), v=draw(rows, 2, 16)) for rows in (10, 20, 30)]
    uneven = chunkkv.CompactionSpec("external", label="pyramid")
    client.put(model=chunkkv.hf.identity_of(model), tokens=tokens[0].numpy(), spec=uneven, layers=layers,
               positions=[range(10), range(20), range(30)], token_count=LENGTH)
    with pytest.raises(chunkkv.InvalidArgument, match="ROW_COUNTS_DIFFER.*\\[10, 20, 30\\]"):
        chunkkv.hf.load(client, model, tokens, spec=uneven)


def test_weights_that_are_elsewhere_need_a_revision():
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(make_model("llama").config)
    with pytest.raises(chunkkv.InvalidArgument, match="WEIGHTS_ABSENT.*revision"):
        chunkkv.hf.identity_of(model)
    assert chunkkv.hf.identity_of(model, revision="1").revision == "1"


def test_the_attention_implementation_and_the_folder_are_no_part_of_the_identity(tmp_path):
    model = make_model("llama")
    expected = chunkkv.hf.identity_of(model)
    model.save_pretrained(tmp_path)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    assert chunkkv.hf.identity_of(loaded) == expected
    assert chunkkv.hf.identity_of(loaded.to(torch.bfloat16)).kv_dtype == "bf16"


def test_chunkkv_alone_imports_no_torch():
    subprocess.run([sys.executable, "-c", "import chunkkv, sys; sys.exit('torch' in sys.modules)"], check=True)
