"""Batches of prompts of different lengths: one entry a row when put, one padded cache when loaded."""

import chunkkv
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

import chunkkv.hf  # noqa: E402
import transformers  # noqa: E402
from hf_models import cache_name, decode_served, make_model, make_tokens, padded, prefill  # noqa: E402

W, STEPS = 8, 12
LENGTHS = (90, 61, 40, 5)
RATIO = chunkkv.CompactionSpec("chunk_kv", keep_ratio=0.3, window_length=W)
COUNT = chunkkv.CompactionSpec("chunk_kv", max_tokens=24, window_length=W)
FULL = chunkkv.CompactionSpec("full")


def prompts_of(seed):
    return [make_tokens(length, seed=100 * seed + length)[0] for length in LENGTHS]


def prefill_batch(model, prompts, side):
    """tokens, mask, and the cache and the window of their prefill."""
    tokens, mask = padded(prompts, side)
    with chunkkv.hf.capture_queries(model, W) as window:
        cache, _ = prefill(model, tokens, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0))
    return tokens, mask, cache, window


def put_each(client, model, prompts, spec, identity=None):
    for prompt in prompts:
        with chunkkv.hf.capture_queries(model, W) as window:
            cache, _ = prefill(model, prompt[None])
        chunkkv.hf.put(client, model, prompt, cache, window, spec, identity=identity)


@pytest.mark.parametrize("spec", [FULL, RATIO, COUNT], ids=["full", "ratio", "count"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["llama", "deepseek-v3"])
def test_a_row_that_was_put_in_a_batch_is_the_prompt_put_alone(client, name, side, spec):
    model, prompts = make_model(name), prompts_of(seed=1)
    in_batch, by_itself = (chunkkv.hf.identity_of(model, revision=revision) for revision in (side, "alone"))
    tokens, mask, cache, window = prefill_batch(model, prompts, side)
    results = chunkkv.hf.put_batch(client, model, tokens, cache, window, spec, attention_mask=mask, identity=in_batch)
    put_each(client, model, prompts, spec, by_itself)
    for prompt, result in zip(prompts, results):
        theirs, ours = (client.get(model=identity, tokens=prompt, spec=spec) for identity in (in_batch, by_itself))
        assert result.entry_id == theirs.entry_id and theirs.original_length == len(prompt)
        for row, alone in zip(theirs.layers, ours.layers):
            assert row.positions.tolist() == alone.positions.tolist()
            assert abs(row.k - alone.k).max() < 1e-5
            assert alone.v is None or abs(row.v - alone.v).max() < 1e-5


def test_what_generate_left_behind_is_put_with_the_tokens_it_made(client):
    model, (tokens, mask) = make_model("qwen3"), padded(prompts_of(seed=7), "left")
    cache = transformers.DynamicCache(config=model.config)
    with chunkkv.hf.capture_queries(model, W) as window:
        output = model.generate(tokens, attention_mask=mask, do_sample=False, max_new_tokens=5,
                                **{cache_name(model): cache})
    read = output[:, :-1]
    mask = torch.cat([mask, mask.new_ones(len(mask), 4)], 1)
    chunkkv.hf.put_batch(client, model, read, cache, window, RATIO, attention_mask=mask)
    by_itself = chunkkv.hf.identity_of(model, revision="alone")
    conversations = [row[real] for row, real in zip(read, mask.bool())]
    put_each(client, model, conversations, RATIO, by_itself)
    for conversation in conversations:
        ours, alone = (chunkkv.hf.load(client, model, conversation, spec=RATIO, identity=identity)
                       for identity in (None, by_itself))
        assert [each.tolist() for each in ours.positions] == [each.tolist() for each in alone.positions]


@pytest.mark.parametrize("name", ["gemma3", "gpt-oss"])
def test_sliding_windows_of_a_batch_are_put_where_padding_is_on_the_left(client, name):
    model, prompts = make_model(name), prompts_of(seed=2)
    in_batch, by_itself = (chunkkv.hf.identity_of(model, revision=revision) for revision in ("in batch", "alone"))
    tokens, mask, cache, window = prefill_batch(model, prompts, "left")
    chunkkv.hf.put_batch(client, model, tokens, cache, window, COUNT, attention_mask=mask, identity=in_batch)
    put_each(client, model, prompts, COUNT, by_itself)
    following = make_tokens(STEPS, seed=1)
    for prompt in prompts:
        row, alone = (chunkkv.hf.load(client, model, prompt, spec=COUNT, identity=identity)
                      for identity in (in_batch, by_itself))
        torch.testing.assert_close(decode_served(model, row, following), decode_served(model, alone, following),
                                   atol=1e-5, rtol=0)


def test_sliding_windows_that_padding_has_pushed_out_are_refused(client):
    model, prompts = make_model("gemma3"), prompts_of(seed=2)
    tokens, mask, cache, window = prefill_batch(model, prompts, "right")
    with pytest.raises(chunkkv.InvalidArgument, match="ROWS_GONE.*pad the batch on the left"):
        chunkkv.hf.put_batch(client, model, tokens, cache, window, COUNT, attention_mask=mask)


def test_padding_on_the_left_without_position_ids_is_noticed(client):
    model = make_model("llama")
    tokens, mask = padded(prompts_of(seed=3), "left")
    with chunkkv.hf.capture_queries(model, W) as window:
        cache, _ = prefill(model, tokens, attention_mask=mask)
    with pytest.raises(chunkkv.InvalidArgument, match="WINDOW_ELSEWHERE.*position_ids"):
        chunkkv.hf.put_batch(client, model, tokens, cache, window, RATIO, attention_mask=mask)


@pytest.mark.parametrize("step", [1, 4], ids=["token by token", "four at once"])
@pytest.mark.parametrize(("name", "spec"), [
    *((name, spec) for name in ("llama", "qwen3", "deepseek-v3") for spec in (FULL, RATIO, COUNT)),
    *((name, spec) for name in ("gemma3", "gpt-oss") for spec in (FULL, COUNT))])
def test_a_loaded_batch_decodes_as_its_rows_do_alone(client, name, spec, step):
    model, prompts = make_model(name), prompts_of(seed=4)
    put_each(client, model, prompts, spec)
    following = make_tokens(STEPS, seed=1, batch=len(prompts))
    together = chunkkv.hf.load_batch(client, model, prompts, spec=spec)
    assert [row.next_position for row in together.rows] == list(LENGTHS)
    logits = decode_served(model, together, following, step)
    for row, prompt in enumerate(prompts):
        alone = chunkkv.hf.load(client, model, prompt, spec=spec)
        torch.testing.assert_close(logits[row:row + 1], decode_served(model, alone, following[row:row + 1], step),
                                   atol=1e-4, rtol=0)


def test_rows_that_would_be_hidden_from_a_sliding_window_are_refused(client):
    model, prompts = make_model("gemma3"), prompts_of(seed=4)
    put_each(client, model, prompts, RATIO)
    with pytest.raises(chunkkv.InvalidArgument, match="ROWS_BEHIND_WINDOW.*same max_tokens"):
        chunkkv.hf.load_batch(client, model, prompts, spec=RATIO)


@pytest.mark.parametrize("spec", [FULL, RATIO], ids=["full", "ratio"])
def test_generate_continues_each_row_as_alone(client, spec):
    model, prompts = make_model("llama"), prompts_of(seed=5)
    put_each(client, model, prompts, spec)
    first = make_tokens(2, seed=1, batch=len(prompts))
    options = {"do_sample": False, "max_new_tokens": STEPS}
    together = chunkkv.hf.generate(model, chunkkv.hf.load_batch(client, model, prompts, spec=spec), first, **options)
    for row, prompt in enumerate(prompts):
        served = chunkkv.hf.load(client, model, prompt, spec=spec)
        assert chunkkv.hf.generate(model, served, first[row], **options)[0].tolist() == together[row].tolist()


def test_beams_carry_a_compact_cache(client):
    model, prompt = make_model("llama"), make_tokens(60, seed=6)[0]
    put_each(client, model, [prompt], RATIO)
    served = chunkkv.hf.load(client, model, prompt, spec=RATIO)
    beams = chunkkv.hf.generate(model, served, [5], do_sample=False, max_new_tokens=6, num_beams=3,
                                num_return_sequences=2)
    assert beams.shape == (2, 6)
    assert served.cache.layers[0].positions.shape == (1, served.row_count), "a copy was repeated"
    more = [5, *beams[0].tolist(), 7]
    next_turn = chunkkv.hf.generate(model, served, more, do_sample=False, max_new_tokens=3, num_beams=2)
    fresh = chunkkv.hf.load(client, model, prompt, spec=RATIO)
    assert next_turn.tolist() == chunkkv.hf.generate(model, fresh, more, do_sample=False, max_new_tokens=3,
                                                     num_beams=2).tolist()


@pytest.mark.parametrize("assistance", ["prompt_lookup_num_tokens", "assistant_model"])
def test_assisted_decoding_is_refused(client, assistance):
    model, prompt = make_model("llama"), make_tokens(60, seed=6)[0]
    put_each(client, model, [prompt], RATIO)
    served = chunkkv.hf.load(client, model, prompt, spec=RATIO)
    with pytest.raises(chunkkv.Unimplemented, match="ASSISTED_DECODING"):
        chunkkv.hf.generate(model, served, [5], **{assistance: 4 if assistance.endswith("tokens") else model})


def test_several_prompts_have_no_single_position(client):
    model, prompts = make_model("llama"), prompts_of(seed=4)
    put_each(client, model, prompts, FULL)
    served = chunkkv.hf.load_batch(client, model, prompts)
    with pytest.raises(ValueError, match="4 prompts"):
        served.next_position
    with pytest.raises(chunkkv.InvalidArgument, match="BATCH"):
        served.forward_inputs([1])
    assert set(served.forward_inputs([[1]] * 4)) == {"input_ids", "position_ids", "attention_mask", cache_name(model)}
