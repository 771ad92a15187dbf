"""Caches that a conversation has grown, put back with policy external and decoded on."""

import copy

import chunkkv
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

import chunkkv.hf  # noqa: E402
from hf_models import decode, decode_served, dropped_columns, dropping, make_model, make_tokens, prefill  # noqa: E402

LENGTH, W, GROWN, STEPS = 80, 8, 10, 16
COMPACT = chunkkv.CompactionSpec("chunk_kv", keep_ratio=0.3, window_length=W)
EXTERNAL = chunkkv.CompactionSpec("external", label="conversation")
MODELS = ("llama", "phi3", "gemma2", "gpt-oss", "deepseek-v2")


def put_prompt(client, model, tokens, spec=COMPACT):
    with chunkkv.hf.capture_queries(model, W) as window:
        cache, _ = prefill(model, tokens)
    chunkkv.hf.put(client, model, tokens, cache, window, spec)
    return cache


@pytest.mark.parametrize("turns", [1, 2])
@pytest.mark.parametrize("name", MODELS)
def test_a_grown_compact_cache_goes_on_where_it_was(client, name, turns):
    model, tokens = make_model(name), make_tokens(LENGTH)
    cache = put_prompt(client, model, tokens)
    served = chunkkv.hf.load(client, model, tokens, spec=COMPACT)
    dropped = dropped_columns(served.positions, LENGTH)
    for turn in range(turns):
        said = make_tokens(GROWN, seed=turn)
        with dropping(model, dropped):
            decode(model, cache, said, tokens.shape[1])
        decode_served(model, served, said)
        tokens = torch.cat([tokens, said], 1)
        chunkkv.hf.put(client, model, tokens, served.cache, None, EXTERNAL)
        served = chunkkv.hf.load(client, model, tokens, spec=EXTERNAL)
        assert served.next_position == LENGTH + GROWN * (turn + 1)
        kept = next(each for each in served.positions if each is not None)
        assert kept[-GROWN:].tolist() == list(range(tokens.shape[1] - GROWN, tokens.shape[1]))
    following = make_tokens(STEPS, seed=9)
    with dropping(model, dropped):
        expected = decode(model, cache, following, tokens.shape[1])
    torch.testing.assert_close(decode_served(model, served, following), expected, atol=1e-4, rtol=0)


def test_what_generate_has_said_is_put_back(client):
    model, tokens = make_model("llama"), make_tokens(LENGTH)
    put_prompt(client, model, tokens)
    served = chunkkv.hf.load(client, model, tokens, spec=COMPACT)
    said = chunkkv.hf.generate(model, served, [5], do_sample=False, max_new_tokens=6)
    everything = torch.cat([tokens, torch.tensor([[5]]), said], 1)
    cached = everything[:, :-1]  # the last token was said, but never read
    with pytest.raises(chunkkv.InvalidArgument, match="TOKEN_COUNT"):
        chunkkv.hf.put(client, model, everything, served.cache, None, EXTERNAL)
    chunkkv.hf.put(client, model, cached, served.cache, None, EXTERNAL)
    again = chunkkv.hf.load(client, model, cached, spec=EXTERNAL)
    assert (again.next_position, again.row_count) == (LENGTH + 6, served.row_count + 6)


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_generate_takes_turns(client, name):
    model, tokens, question = make_model(name), make_tokens(LENGTH, seed=6), make_tokens(4, seed=1)
    put_prompt(client, model, tokens)
    served, by_hand = (chunkkv.hf.load(client, model, tokens, spec=COMPACT) for _ in range(2))
    options = {"do_sample": False, "max_new_tokens": 6}
    said = chunkkv.hf.generate(model, served, [5], **options)
    following = torch.cat([torch.tensor([[5]]), said, question], 1)
    answer = chunkkv.hf.generate(model, served, following, **options)
    logits = decode_served(model, by_hand, torch.cat([following, answer], 1))
    assert answer.tolist() == logits[:, -7:-1].argmax(-1).tolist()
    with pytest.raises(chunkkv.InvalidArgument, match="NO_NEW_TOKEN"):
        chunkkv.hf.generate(model, served, following, **options)


@pytest.mark.parametrize("options", [{"num_beams": 2}, {"num_return_sequences": 2, "do_sample": True}], ids=str)
def test_several_sequences_leave_the_loaded_cache_as_it_was(client, options):
    model, tokens = make_model("llama"), make_tokens(LENGTH, seed=7)
    put_prompt(client, model, tokens)
    served, twin = (chunkkv.hf.load(client, model, tokens, spec=COMPACT) for _ in range(2))
    options = {"do_sample": False, "max_new_tokens": 4, **options}
    said = chunkkv.hf.generate(model, served, [5], **options)
    following = [5, *said[0].tolist(), 7]
    again = chunkkv.hf.generate(model, served, following, **options)
    assert again.shape == (options.get("num_return_sequences", 1), 4)
    greedy = {"do_sample": False, "max_new_tokens": 4}
    assert torch.equal(chunkkv.hf.generate(model, served, following, **greedy),
                       chunkkv.hf.generate(model, twin, following, **greedy))


@pytest.mark.parametrize("spec", [chunkkv.CompactionSpec("full"), EXTERNAL], ids=["full", "external"])
def test_a_compact_cache_at_contiguous_positions_is_not_put_back(client, spec):
    model, tokens = make_model("llama"), make_tokens(LENGTH, seed=8)
    put_prompt(client, model, tokens)
    served = chunkkv.hf.load(client, model, tokens, spec=COMPACT, positions="contiguous")
    with pytest.raises(chunkkv.InvalidArgument, match="POSITIONS_MOVED"):
        chunkkv.hf.put(client, model, served.tokens, served.cache, None, spec)
    decode_served(model, served, make_tokens(GROWN))
    grown = torch.cat([served.tokens, make_tokens(GROWN)], 1)
    with pytest.raises(chunkkv.InvalidArgument, match="POSITIONS_MOVED"):
        chunkkv.hf.put(client, model, grown, copy.deepcopy(served.cache), None, spec)


def test_a_grown_full_cache_is_put_as_full(client):
    model, tokens, said = make_model("llama"), make_tokens(LENGTH, seed=2), make_tokens(GROWN)
    cache = put_prompt(client, model, tokens, chunkkv.CompactionSpec("full"))
    served = chunkkv.hf.load(client, model, tokens)
    decode_served(model, served, said)
    decode(model, cache, said, LENGTH)
    everything = torch.cat([tokens, said], 1)
    chunkkv.hf.put(client, model, everything, served.cache, None, chunkkv.CompactionSpec("full"))
    following = make_tokens(STEPS, seed=9)
    again = chunkkv.hf.load(client, model, everything)
    torch.testing.assert_close(decode_served(model, again, following),
                               decode(model, cache, following, LENGTH + GROWN), atol=1e-5, rtol=0)


def test_rows_of_a_loaded_batch_are_put_back(client):
    model = make_model("llama")
    prompts = [make_tokens(length, seed=length)[0] for length in (LENGTH, 50, 20)]
    for prompt in prompts:
        put_prompt(client, model, prompt[None])
    served = chunkkv.hf.load_batch(client, model, prompts, spec=COMPACT)
    said = make_tokens(GROWN, batch=3)
    decode_served(model, served, said)
    mask = torch.cat([served.attention_mask, torch.ones_like(said)], 1)
    chunkkv.hf.put_batch(client, model, torch.cat([served.tokens, said], 1), served.cache, None, EXTERNAL,
                         attention_mask=mask)
    following = make_tokens(STEPS, seed=9)
    for row, prompt in enumerate(prompts):
        alone = chunkkv.hf.load(client, model, prompt, spec=COMPACT)
        decode_served(model, alone, said[row:row + 1])
        again = chunkkv.hf.load(client, model, torch.cat([prompt, said[row]]), spec=EXTERNAL)
        assert again.next_position == len(prompt) + GROWN
        for theirs, ours in zip(again.positions, alone.positions):
            assert theirs.tolist() == [*ours, *range(len(prompt), len(prompt) + GROWN)]
        torch.testing.assert_close(decode_served(model, again, following), decode_served(model, alone, following),
                                   atol=1e-4, rtol=0)


def test_a_full_row_of_a_mixed_batch_is_still_full(client):
    model, full = make_model("llama"), chunkkv.CompactionSpec("full")
    prompts = [make_tokens(length, seed=length)[0] for length in (LENGTH, 50)]
    for prompt, spec in zip(prompts, (COMPACT, full)):
        put_prompt(client, model, prompt[None], spec)
    served = chunkkv.hf.load_batch(client, model, prompts, spec=[COMPACT, full])
    said = make_tokens(GROWN, batch=2)
    decode_served(model, served, said)
    mask = torch.cat([served.attention_mask, torch.ones_like(said)], 1)
    grown, cache = torch.cat([served.tokens, said], 1), copy.deepcopy(served.cache)
    cache.batch_select_indices(torch.tensor([1]))
    chunkkv.hf.put_batch(client, model, grown[1:], cache, None, full, attention_mask=mask[1:])
    again = chunkkv.hf.load(client, model, torch.cat([prompts[1], said[1]]))
    assert again.row_count == again.next_position == 50 + GROWN


def test_layers_of_a_group_share_their_list(client):
    model, tokens = make_model("llama"), make_tokens(LENGTH, seed=3)
    shared = chunkkv.CompactionSpec("chunk_kv", keep_ratio=0.3, window_length=W, reuse_group=2)
    put_prompt(client, model, tokens, shared)
    served = chunkkv.hf.load(client, model, tokens, spec=shared)
    again = chunkkv.CompactionSpec("external", label="again", reuse_group=2)
    chunkkv.hf.put(client, model, tokens, served.cache, None, again)
    groups = chunkkv.hf.load(client, model, tokens, spec=again).rows[0].header.groups
    assert [group.group.layer_count for group in groups] == [2, 1]
    with pytest.raises(chunkkv.InvalidArgument, match="POSITIONS.*layers 0 to 2"):
        chunkkv.hf.put(client, model, tokens, served.cache, None,
                       chunkkv.CompactionSpec("external", label="again", reuse_group=3))


def test_a_compact_cache_is_cropped_down_to_what_was_loaded(client):
    model, tokens = make_model("llama"), make_tokens(LENGTH, seed=4)
    put_prompt(client, model, tokens)
    served, twin = (chunkkv.hf.load(client, model, tokens, spec=COMPACT) for _ in range(2))
    said, following = make_tokens(GROWN), make_tokens(STEPS, seed=9)
    decode_served(model, served, said)
    served.cache.crop(0)
    assert served.cache.get_seq_length() == LENGTH + GROWN
    served.cache.crop(-4)
    decode_served(model, twin, said[:, :-4])
    torch.testing.assert_close(decode_served(model, served, following), decode_served(model, twin, following),
                               atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="down to"):
        served.cache.layers[0].crop(-GROWN - STEPS)
    with pytest.raises(ValueError, match="down to"):
        served.cache.layers[0].crop(1)


def test_a_compact_cache_goes_with_no_other_policy(client):
    model, tokens = make_model("llama"), make_tokens(LENGTH, seed=5)
    put_prompt(client, model, tokens)
    served = chunkkv.hf.load(client, model, tokens, spec=COMPACT)
    with pytest.raises(chunkkv.InvalidArgument, match="POLICY.*external"):
        chunkkv.hf.put(client, model, tokens, served.cache, None, chunkkv.CompactionSpec("full"))
    assert np.diff(served.positions[0]).min() >= 1
