"""Queries of the window, captured during ordinary forward calls."""

import contextvars
import threading

import chunkkv
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

import chunkkv.hf  # noqa: E402
from chunkkv.hf import capture_queries  # noqa: E402
from hf_models import MODELS, cache_name, make_model, make_tokens, padded, prefill  # noqa: E402
from transformers import AttentionInterface, DynamicCache, StaticCache  # noqa: E402
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb  # noqa: E402

W = 8


def queries_by_hand(model, tokens):
    """Post-RoPE queries of every layer of a Llama, [tokens, H, D], from its projections."""
    inputs = {}
    hooks = [layer.self_attn.q_proj.register_forward_hook(lambda *call, at=index: inputs.update({at: call[2]}))
             for index, layer in enumerate(model.model.layers)]
    with torch.no_grad():
        model(tokens)
    for hook in hooks:
        hook.remove()
    length = tokens.shape[1]
    cos, sin = model.model.rotary_emb(inputs[0], torch.arange(length)[None])
    turned = [apply_rotary_pos_emb(projected.view(1, length, -1, 16).transpose(1, 2),
                                   torch.zeros(1, 2, length, 16), cos, sin)[0] for projected in inputs.values()]
    return [queries[0].transpose(0, 1) for queries in turned]


def captured(model, tokens, length=W, **inputs):
    with capture_queries(model, length) as window:
        prefill(model, tokens, **inputs)
    return window


def rows(window, row=0):
    return torch.stack([window.of_row(layer, row) for layer in sorted(window.layers)])


def test_they_are_the_projections_rotated():
    model, tokens = make_model("llama"), make_tokens(50)
    expected = torch.stack([queries[-W:] for queries in queries_by_hand(model, tokens)])
    window = captured(model, tokens)
    torch.testing.assert_close(rows(window), expected, atol=1e-6, rtol=0)
    assert window.ends == [50]


@pytest.mark.parametrize("name", MODELS)
def test_of_layers_that_see_all_tokens_and_of_no_others(name):
    model = make_model(name)
    kinds = getattr(model.config, "layer_types", None)
    if kinds is None:
        kinds = ["sliding_attention" if name == "mistral-sliding" else "full_attention"] * 3
    assert sorted(captured(model, make_tokens(30)).layers) == [
        layer for layer, kind in enumerate(kinds) if kind == "full_attention"]


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_with_every_attention_implementation(implementation):
    model, tokens = make_model("llama"), make_tokens(50)
    expected = rows(captured(model, tokens))
    before = model.config._attn_implementation
    model.set_attn_implementation(implementation)
    try:
        torch.testing.assert_close(rows(captured(model, tokens)), expected, atol=1e-5, rtol=0)
    finally:
        model.set_attn_implementation(before)


def test_of_an_implementation_that_a_user_registered():
    """What FlashAttention does: an attention function of the registry that returns no weights."""
    model, tokens = make_model("llama"), make_tokens(50)
    expected = rows(captured(model, tokens))

    def weightless(module, query, key, value, attention_mask, scaling, **kwargs):
        repeated = (each.repeat_interleave(query.shape[1] // key.shape[1], 1) for each in (key, value))
        output = torch.nn.functional.scaled_dot_product_attention(query, *repeated, is_causal=True, scale=scaling)
        return output.transpose(1, 2), None

    AttentionInterface.register("chunkkv_test_weightless", weightless)
    model.set_attn_implementation("chunkkv_test_weightless")
    try:
        torch.testing.assert_close(rows(captured(model, tokens)), expected, atol=1e-5, rtol=0)
    finally:
        model.set_attn_implementation("sdpa")


@pytest.mark.parametrize("cuts", [(45, 5), (5, 45), (3, 3, 44), (1,) * 12], ids=str)
def test_a_window_that_straddles_the_chunks_of_a_prefill(cuts):
    model, tokens = make_model("llama"), make_tokens(sum(cuts))
    cache, begin = DynamicCache(config=model.config), 0
    with capture_queries(model, W) as window, torch.no_grad():
        for cut in cuts:
            model(tokens[:, begin:begin + cut], **{cache_name(model): cache})
            begin += cut
    torch.testing.assert_close(rows(window), rows(captured(model, tokens)), atol=1e-5, rtol=0)
    assert window.ends == [sum(cuts)]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("cut", [None, 33, 38])
def test_rows_of_a_padded_batch(side, cut):
    model, lengths = make_model("llama"), (40, 31, 5)
    prompts = [make_tokens(length, seed=length)[0] for length in lengths]
    tokens, mask = padded(prompts, side)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache, bounds = DynamicCache(config=model.config), [0, cut or 40, 40]
    with capture_queries(model, W) as window, torch.no_grad():
        for begin, end in zip(bounds, bounds[1:]):
            if begin < end:
                model(tokens[:, begin:end], attention_mask=mask[:, :end], position_ids=positions[:, begin:end],
                      **{cache_name(model): cache})
    assert window.ends == list(lengths)
    for row, prompt in enumerate(prompts):
        torch.testing.assert_close(rows(window, row), rows(captured(model, prompt[None])), atol=1e-5, rtol=0)


@pytest.mark.parametrize("cache_class", [DynamicCache, StaticCache])
def test_during_generate_the_window_moves_with_the_cache(cache_class):
    model, tokens = make_model("llama"), make_tokens(40)
    sizes = {"max_cache_len": 64} if cache_class is StaticCache else {}
    cache = cache_class(config=model.config, **sizes)
    with capture_queries(model, W) as window:
        output = model.generate(tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=6,
                                disable_compile=True, **{cache_name(model): cache})
    assert window.ends == [45] == [int(cache.get_seq_length())]
    torch.testing.assert_close(rows(window), rows(captured(model, output[:, :45])), atol=1e-5, rtol=0)


def test_a_new_prompt_begins_anew():
    model = make_model("llama")
    with capture_queries(model, W) as window:
        prefill(model, make_tokens(30, batch=2))
        prefill(model, make_tokens(20, seed=1))
    assert window.ends == [20]
    torch.testing.assert_close(rows(window), rows(captured(model, make_tokens(20, seed=1))))


def test_a_prompt_shorter_than_the_window():
    window = captured(make_model("llama"), make_tokens(5))
    assert rows(window).shape == (3, 5, 4, 16)


def test_nothing_of_other_models_other_threads_or_later():
    model, other, tokens = make_model("llama"), make_model("qwen2"), make_tokens(30)
    before = AttentionInterface.get_interface
    with capture_queries(model, W) as window:
        prefill(other, tokens)
        thread = threading.Thread(target=prefill, args=(model, tokens))
        thread.start()
        thread.join()
        assert not window.layers and not window.ends
        prefill(model, tokens)
        expected = rows(window)
    prefill(model, make_tokens(30, seed=1))
    assert torch.equal(rows(window), expected)
    assert AttentionInterface.get_interface is before
    assert not model.get_decoder()._forward_pre_hooks


def test_threads_capture_side_by_side():
    model = make_model("llama")
    both, windows = threading.Barrier(2, timeout=60), {}

    def work(seed):
        with capture_queries(model, W) as window:
            both.wait()
            prefill(model, make_tokens(30, seed=seed))
            both.wait()
        windows[seed] = rows(window)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (1, 2):
        assert torch.equal(windows[seed], rows(captured(model, make_tokens(30, seed=seed))))


def test_the_logits_are_the_same_to_the_bit():
    model, tokens = make_model("llama"), make_tokens(30)
    expected = prefill(model, tokens)[1]
    with capture_queries(model, W):
        assert torch.equal(prefill(model, tokens)[1], expected)


def test_it_ends_with_an_exception():
    before = AttentionInterface.get_interface
    with pytest.raises(RuntimeError, match="stop"), capture_queries(make_model("llama"), W):
        raise RuntimeError("stop")
    assert AttentionInterface.get_interface is before


def test_a_batch_that_changes_in_one_capture_is_refused():
    model, cache = make_model("llama"), DynamicCache(config=make_model("llama").config)
    with capture_queries(model, W), torch.no_grad():
        model(make_tokens(20), **{cache_name(model): cache})
        cache.batch_repeat_interleave(2)
        with pytest.raises(chunkkv.InvalidArgument, match="BATCH_CHANGED"):
            model(make_tokens(1, batch=2), **{cache_name(model): cache})


def crop_to(cache, length):
    """By the tokens to remove, which every version of transformers takes."""
    cache.crop(length - cache.get_seq_length())


def crop_and_go_on(model, cuts, tokens, mask=None):
    """Forward calls over the columns begin to end of each cut; the cache is cropped to begin where it is longer."""
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        for begin, end in cuts:
            if begin < cache.get_seq_length():
                crop_to(cache, begin)
            inputs = {} if mask is None else {
                "attention_mask": mask[:, :end], "position_ids": (mask.cumsum(1) - 1).clamp(min=0)[:, begin:end]}
            model(tokens[:, begin:end], **{cache_name(model): cache}, **inputs)


@pytest.mark.parametrize("cuts", [[(0, 50), (47, 52)], [(0, 50), (40, 45)], [(0, 50), (48, 49), (46, 60)],
                                  [(0, 30), (20, 22), (22, 24)], [(0, 50), (0, 20)]], ids=str)
def test_a_cache_that_was_cropped_goes_on(cuts):
    model = make_model("llama")
    with capture_queries(model, W) as window:
        crop_and_go_on(model, cuts, make_tokens(60))
    end, held = cuts[-1][1], 0
    for (begin, stop), before in zip(cuts, [0, *(stop for _, stop in cuts)]):
        held = min(W, max(0, held - (before - begin)) + stop - begin)
    assert window.ends == [end]
    ours = rows(window)
    assert ours.shape[1] == held
    torch.testing.assert_close(ours, rows(captured(model, make_tokens(60)[:, :end], held)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_that_was_cropped_goes_on(side):
    model = make_model("llama")
    prompts = [make_tokens(length, seed=length)[0] for length in (40, 31, 36)]
    with capture_queries(model, W) as window:
        crop_and_go_on(model, [(0, 40), (34, 37), (37, 40)], *padded(prompts, side))
    assert window.ends == [40, 31, 36]
    for row, prompt in enumerate(prompts):
        ours = rows(window, row)
        assert ours.shape[1] >= 2
        expected = rows(captured(model, prompt[None], ours.shape[1]))
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


def test_a_crop_at_the_end_of_the_capture_leaves_the_window_shorter():
    model, tokens = make_model("llama"), make_tokens(50)
    with capture_queries(model, W) as window:
        crop_to(prefill(model, tokens)[0], 47)
    assert window.ends == [50], "the cache is gone"
    with capture_queries(model, W) as window:
        cache, _ = prefill(model, tokens)
        crop_to(cache, 47)
    assert window.ends == [47]
    torch.testing.assert_close(rows(window), rows(captured(model, tokens[:, :47], W - 3)), atol=1e-5, rtol=0)


def test_speculative_decoding():
    model, phrase = make_model("llama"), make_tokens(20)
    tokens, cache = torch.cat([phrase, phrase], 1), DynamicCache(config=make_model("llama").config)
    forwards = []
    hook = model.get_decoder().register_forward_pre_hook(lambda *_: forwards.append(int(cache.get_seq_length())))
    with capture_queries(model, W) as window:
        output = model.generate(tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=8,
                                prompt_lookup_num_tokens=4, eos_token_id=2, **{cache_name(model): cache})
    hook.remove()
    assert len(forwards) > 1
    length = int(cache.get_seq_length())
    assert window.ends == [length]
    ours = rows(window)
    assert 1 <= ours.shape[1] <= W
    torch.testing.assert_close(ours, rows(captured(model, output[:, :length], ours.shape[1])), atol=1e-5, rtol=0)


@pytest.mark.parametrize("length", [30, 50, 70])
def test_another_cache_begins_anew(length):
    model, tokens = make_model("llama"), make_tokens(length + 4, seed=3)
    other, _ = prefill(model, tokens[:, :length])
    with capture_queries(model, W) as window, torch.no_grad():
        prefill(model, make_tokens(50))
        model(tokens[:, length:], **{cache_name(model): other})
    assert window.ends == [length + 4]
    torch.testing.assert_close(rows(window), rows(captured(model, tokens, 4)), atol=1e-5, rtol=0)


def test_the_cache_that_the_model_made_goes_on():
    model, tokens = make_model("llama"), make_tokens(50)
    with capture_queries(model, W) as window, torch.no_grad():
        output = model(tokens[:, :45], use_cache=True)
        model(tokens[:, 45:], **{cache_name(model): output[cache_name(model)]})
    torch.testing.assert_close(rows(window), rows(captured(model, tokens)), atol=1e-5, rtol=0)


def test_captures_may_end_in_any_order():
    model, tokens = make_model("llama"), make_tokens(30)
    before = AttentionInterface.get_interface
    captures = [capture_queries(model, W) for _ in range(2)]
    first, second = (each.__enter__() for each in captures)
    captures[0].__exit__(None, None, None)
    prefill(model, tokens)
    captures[1].__exit__(None, None, None)
    prefill(model, make_tokens(20))
    assert not first.layers and second.ends == [30]
    torch.testing.assert_close(rows(second), rows(captured(model, tokens)))
    assert AttentionInterface.get_interface is before
    assert not model.get_decoder()._forward_pre_hooks


def test_a_capture_may_end_in_another_thread():
    model, tokens = make_model("llama"), make_tokens(30)
    before = AttentionInterface.get_interface

    def begin_here_and_end_there():
        capture = capture_queries(model, W)
        window = capture.__enter__()
        thread = threading.Thread(target=capture.__exit__, args=(None, None, None))
        thread.start()
        thread.join(60)
        assert not model.get_decoder()._forward_pre_hooks
        assert AttentionInterface.get_interface is before
        later = captured(model, tokens)
        assert not window.layers and not window.ends
        assert later.ends == [30]

    contextvars.copy_context().run(begin_here_and_end_there)
