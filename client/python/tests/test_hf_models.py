"""Every model: prefill, put, load and decode, through the real server."""

import copy

import chunkkv
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

import chunkkv.hf  # noqa: E402
import hf_models  # noqa: E402
from hf_models import decode, decode_served, dropped_columns, dropping, make_model, make_tokens, prefill  # noqa: E402

LENGTH, WINDOW, STEPS = 90, 8, 16
SPECS = {
    "chunk_kv": chunkkv.CompactionSpec("chunk_kv", keep_ratio=0.3, window_length=WINDOW),
    "reuse": chunkkv.CompactionSpec("chunk_kv", keep_ratio=0.3, window_length=WINDOW, reuse_group=2, group_score="sum"),
    "snap_kv": chunkkv.CompactionSpec("snap_kv", max_tokens=20, window_length=WINDOW),
    "streaming_llm": chunkkv.CompactionSpec("streaming_llm", max_tokens=20, window_length=WINDOW),
}
FULL = chunkkv.CompactionSpec("full")
COMPACTABLE = [name for name in hf_models.MODELS if name != "mistral-sliding"]  # has layers that see all tokens
ORIGINAL_ONLY = ["gemma2", "gemma3", "gpt-oss", "phi3"]  # sliding windows; LongRoPE


def put_prompt(client, name, spec, identity=None):
    """The model, its tokens, its full cache, the last logits, and what put said."""
    model, tokens = make_model(name), make_tokens(LENGTH)
    with chunkkv.hf.capture_queries(model, WINDOW) as window:
        cache, logits = prefill(model, tokens)
    return model, tokens, cache, logits, chunkkv.hf.put(client, model, tokens, cache, window, spec, identity=identity)


@pytest.mark.parametrize("step", [1, 5], ids=["token by token", "five at once"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("name", COMPACTABLE)
def test_decoding_from_the_compact_cache_is_decoding_with_the_dropped_keys_masked(client, name, spec, step):
    model, tokens, cache, _, _ = put_prompt(client, name, spec)
    served = chunkkv.hf.load(client, model, tokens, spec=spec)
    assert served.next_position == LENGTH
    following = make_tokens(STEPS, seed=1)
    assert served.row_count < LENGTH / 2
    unmasked = decode(model, copy.deepcopy(cache), following, LENGTH, step)
    with dropping(model, dropped_columns(served.positions, LENGTH)):
        expected = decode(model, cache, following, LENGTH, step)
    assert expected.shape == (1, STEPS, hf_models.VOCABULARY)
    torch.testing.assert_close(decode_served(model, served, following, step), expected, atol=1e-4, rtol=0)
    assert (unmasked - expected).abs().max() > 1e-2, "the masked keys do not matter: nothing was tested"


@pytest.mark.parametrize("step", [1, 5], ids=["token by token", "five at once"])
@pytest.mark.parametrize("name", hf_models.MODELS)
def test_decoding_from_the_full_cache_is_decoding(client, name, step):
    model, tokens, cache, _, _ = put_prompt(client, name, FULL)
    following = make_tokens(STEPS, seed=1)
    served = chunkkv.hf.load(client, model, tokens)
    torch.testing.assert_close(decode_served(model, served, following, step),
                               decode(model, cache, following, LENGTH, step), atol=1e-5, rtol=0)


def test_a_model_with_sliding_windows_alone_has_nothing_to_compact(client):
    with pytest.raises(chunkkv.InvalidArgument, match="NO_ATTENTION_LAYERS"):
        put_prompt(client, "mistral-sliding", SPECS["chunk_kv"])


@pytest.mark.parametrize("name", COMPACTABLE)
def test_the_service_sees_the_models_own_attention(client, name):
    """Retained mass is a share of the attention that the window pays; eager attention tells it independently."""
    spec = SPECS["chunk_kv"]
    identity = chunkkv.hf.identity_of(make_model(name), revision="to be scored anew")
    model, tokens, *_, result = put_prompt(client, name, spec, identity)
    kept = chunkkv.hf.load(client, model, tokens, spec=spec, identity=identity).positions
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            attentions = model(tokens, output_attentions=True).attentions
    finally:
        model.set_attn_implementation(before)
    masses = []
    for layer, positions in enumerate(kept):
        if positions is not None:
            past = attentions[layer][0, :, -WINDOW:, :LENGTH - WINDOW].sum((0, 1))
            inside = torch.as_tensor(positions[positions < LENGTH - WINDOW]).long()
            masses.append(float(past[inside].sum() / past.sum()))
    assert result.retained_mass == pytest.approx(masses, abs=1e-4)


@pytest.mark.parametrize("name", hf_models.MODELS)
def test_generate_after_a_full_cache_gives_the_tokens_of_plain_generate(client, name):
    model, tokens, _, logits, _ = put_prompt(client, name, FULL)
    options = {"do_sample": False, "attention_mask": torch.ones_like(tokens)}
    plain = model.generate(tokens, max_new_tokens=STEPS, **options)[:, LENGTH:]
    served = chunkkv.hf.load(client, model, tokens, spec=FULL)
    first = logits[:, -1].argmax(-1)
    following = chunkkv.hf.generate(model, served, first, max_new_tokens=STEPS - 1, do_sample=False)
    assert torch.cat([first[:, None], following], 1).tolist() == plain.tolist()


@pytest.mark.parametrize("name", [name for name in COMPACTABLE if name not in ORIGINAL_ONLY])
def test_contiguous_positions_give_the_same_logits_where_nothing_was_dropped_but_the_beginning(client, name):
    """Keys that stand together, moved as one, keep their distances."""
    spec = chunkkv.CompactionSpec("streaming_llm", max_tokens=40, sink_tokens=0, window_length=WINDOW)
    model, tokens, *_ = put_prompt(client, name, spec)
    following = make_tokens(STEPS, seed=1)
    original = chunkkv.hf.load(client, model, tokens, spec=spec)
    contiguous = chunkkv.hf.load(client, model, tokens, spec=spec, positions="contiguous")
    assert (original.next_position, contiguous.next_position) == (LENGTH, 40)
    expected = decode_served(model, original, following)
    torch.testing.assert_close(decode_served(model, contiguous, following), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ORIGINAL_ONLY)
def test_contiguous_positions_are_refused_where_keys_cannot_move(client, name):
    spec = SPECS["chunk_kv"]
    model, tokens, *_ = put_prompt(client, name, spec)
    with pytest.raises(chunkkv.FailedPrecondition):
        chunkkv.hf.load(client, model, tokens, spec=spec, positions="contiguous")


@pytest.mark.parametrize("name", hf_models.MODELS)
def test_the_same_weights_have_the_same_identity_and_others_another(name):
    model = make_model(name)
    twin = copy.deepcopy(model)
    assert chunkkv.hf.identity_of(twin) == chunkkv.hf.identity_of(model)
    with torch.no_grad():
        next(parameter for key, parameter in twin.named_parameters() if "layers.1" in key).mul_(1.5)
    assert chunkkv.hf.identity_of(twin) != chunkkv.hf.identity_of(model)
