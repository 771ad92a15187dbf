"""Prefill in one engine, decode in another from a compacted cache: the tokens are those that the entry means."""
import contextlib
import sys
from concurrent.futures import ThreadPoolExecutor

import chunkkv
import numpy as np
import pytest
import torch
from chunkkv.vllm.transfer import kept_rows
from engine import Engine
from local_server import eventually
from models import SHIPPED
from programs import ROOT, running_server
from transformers import DynamicCache, LlamaForCausalLM

sys.path[:0] = [str(ROOT / "tests/quality/model")]
from prompts import ANSWER_LENGTH, make_prompt  # noqa: E402

BLOCK, COUNT, LENGTH, WINDOW = 32, 100, 1014, 8
SETTINGS = {"dtype": "float32", "max_model_len": 1100, "max_num_batched_tokens": 512, "max_num_seqs": 8}
PROMPTS = [make_prompt(LENGTH, seed, depth=seed / (COUNT - 1)) for seed in range(COUNT)]
PLACEHOLDER, WAIT_SECONDS = 3, 10.0


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Engines that prefill and decode, and a client of the service between them."""
    folder = tmp_path_factory.mktemp("pair")
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(running_server(folder))
        prefill, decoder = (stack.enter_context(Engine(
            SHIPPED, folder / role, address=address, role=role, connector={"wait_timeout": WAIT_SECONDS}, **SETTINGS))
            for role in ("kv_producer", "kv_consumer"))
        yield prefill, decoder, stack.enter_context(chunkkv.Client(address))


@pytest.fixture(scope="module")
def exact_of_whole(pair):
    """Exact answers from the whole cache."""
    answers = pair[1].generate([prompt.tokens.tolist() for prompt in PROMPTS], ANSWER_LENGTH)
    return exact_answers(answers)


def exact_answers(answers):
    return sum(answer["tokens"] == prompt.answer.tolist() for answer, prompt in zip(answers, PROMPTS))


def hand_over(prefill, asked, **spec):
    """What the prefill answers for each prompt."""
    transfer = {"chunkkv": {"role": "producer", "window_length": WINDOW, **spec}}
    answers = prefill.generate([prompt.tokens.tolist() for prompt in asked], 1, [transfer] * len(asked))
    return [answer["transfer"]["chunkkv"] for answer in answers]


def decode(engine, asked, handed, **sampling):
    prompts = [[PLACEHOLDER] * (given["rows"] - 1) + [int(prompt.tokens[-1])] for prompt, given in zip(asked, handed)]
    transfer = [{"chunkkv": {"role": "consumer", **given}} for given in handed]
    return engine.generate(prompts, ANSWER_LENGTH, transfer, [given["salt"] for given in handed], **sampling)


def entries_of(client, key):
    return [info for info in client.list() if info.key.hex() == key]


def entry_of(client, given):
    (found,) = [info for info in entries_of(client, given["key"]) if info.variant.hex() == given["variant"]]
    return found


def expected_tokens(client, model, asked, given):
    """The same served entry, decoded by transformers: all its rows but the last, then the last token."""
    info = entry_of(client, given)
    entry = client.get(model=info.fingerprint, key=info.key, accept=info.variant, positions="contiguous").as_torch()
    cache = DynamicCache()
    for layer in entry.layers:
        assert len(layer.k) == given["rows"]
        cache.update(layer.k[:-1].transpose(0, 1)[None], layer.v[:-1].transpose(0, 1)[None], layer.index)
    tokens, last = [], torch.tensor([[int(asked.tokens[-1])]])
    with torch.inference_mode():
        for _ in range(ANSWER_LENGTH):
            last = model(last, past_key_values=cache).logits[:, -1:].argmax(-1)
            tokens.append(int(last))
    return tokens


@pytest.mark.parametrize("keep_ratio", [0.1, 0.2])
def test_tokens_are_those_of_the_entry(pair, exact_of_whole, keep_ratio):
    prefill, decoder, client = pair
    handed = hand_over(prefill, PROMPTS, keep_ratio=keep_ratio, chunks="sentences")
    sentences = chunkkv.CompactionSpec("chunk_kv", keep_ratio, window_length=WINDOW, budget_multiple=BLOCK, chunk_starts=[0])
    assert {given["variant"] for given in handed} == {chunkkv.variant_of(sentences).hex()}
    assert all(given["rows"] == -(-round(keep_ratio * LENGTH) // BLOCK) * BLOCK for given in handed)
    answers = decode(decoder, PROMPTS, handed)
    model = LlamaForCausalLM.from_pretrained(SHIPPED, dtype=torch.float32)
    expected = [expected_tokens(client, model, asked, given) for asked, given in zip(PROMPTS, handed)]
    same = sum(answer["tokens"] == tokens for answer, tokens in zip(answers, expected))
    exact = exact_answers(answers)
    print(f"keep {keep_ratio:.0%}: {handed[0]['rows']} rows, {same} of {COUNT} as in transformers, {exact} exact answers; "
          f"{exact_of_whole} from the whole cache")
    assert same >= 0.98 * COUNT and exact >= (0.85 if keep_ratio == 0.1 else 0.9) * COUNT
    assert [answer["cached_tokens"] for answer in answers] == [given["rows"] - 1 for given in handed]


@pytest.mark.parametrize("keep_ratio", [0.1, 0.2, None])
def test_the_decode_side_holds_the_rows_and_what_follows(pair, keep_ratio):
    prefill, decoder, _ = pair
    asked = make_prompt(LENGTH, 3000)
    decoder.blocks()
    if keep_ratio is None:
        rows = LENGTH
        decoder.generate([asked.tokens.tolist()], ANSWER_LENGTH)
    else:
        (handed,) = hand_over(prefill, [asked], keep_ratio=keep_ratio, chunks="sentences")
        rows = handed["rows"]
        decode(decoder, [asked], [handed])
    assert decoder.blocks() == -(-(rows + ANSWER_LENGTH - 1) // BLOCK)  # the last token of an answer gets no row


def test_a_cache_that_is_gone_is_an_error_and_never_tokens(pair):
    prefill, decoder, client = pair
    asked = PROMPTS[:6]
    handed = hand_over(prefill, asked, keep_ratio=0.2)
    gone = handed[1::2]
    eventually(lambda: all(entries_of(client, given["key"]) for given in gone))
    for given in gone:
        client.delete(entry_id=entry_of(client, given).entry_id)
    answers = decode(decoder, asked, handed)
    assert [answer["finish_reason"] for answer in answers] == ["length", "error"] * 3
    assert [len(answer["tokens"]) for answer in answers] == [ANSWER_LENGTH, 0] * 3
    again = decode(decoder, asked[::2], handed[::2])
    assert [answer["tokens"] for answer in again] == [answer["tokens"] for answer in answers[::2]]


@pytest.mark.parametrize("wrong", [
    {"key": "00"}, {"rows": 0}, {"rows": "many"}, {"variant": "zz"}, {"rows": 100_000}, {"role": "bystander"},
    {"salt": ""}, {"salt": "another"}])
def test_what_no_prefill_said_is_an_error(pair, wrong):
    prefill, decoder, _ = pair
    (handed,) = hand_over(prefill, PROMPTS[:1], keep_ratio=0.2)
    transfer = {"chunkkv": {"role": "consumer", **handed, **wrong}}
    (answer,) = decoder.generate([[PLACEHOLDER] * (handed["rows"] - 1) + [4]], 4, [transfer], [handed["salt"]])
    assert (answer["finish_reason"], answer["tokens"]) == ("error", [])


@pytest.mark.parametrize("given", [{}, {"role": "bystander"}, {"key": 1e400}])
def test_prompt_logprobs_of_placeholders_are_an_error(pair, given):
    prefill, decoder, _ = pair
    handed = hand_over(prefill, PROMPTS[:1], keep_ratio=0.2)
    (answer,) = decode(decoder, PROMPTS[:1], [handed[0] | given], prompt_logprobs=1)
    assert (answer["finish_reason"], answer["tokens"]) == ("error", [])
    (answer,) = decode(decoder, PROMPTS[:1], handed)
    assert answer["finish_reason"] == "length"


def test_a_whole_cache_is_waited_for(pair):
    """The decode is asked first, and computes nothing but what no full block holds."""
    prefill, decoder, client = pair
    asked = [make_prompt(LENGTH, 1000 + seed).tokens.tolist() for seed in range(4)]
    with ThreadPoolExecutor(1) as thread:
        decoding = thread.submit(decoder.generate, asked, ANSWER_LENGTH, [{"chunkkv": {"role": "consumer"}}] * len(asked))
        eventually(lambda: client.stats().active_gets == len(asked))
        given = prefill.generate(asked, 1, [{"chunkkv": {"role": "producer"}}] * len(asked))
        answers = decoding.result()
    assert [answer["cached_tokens"] for answer in answers] == [LENGTH // BLOCK * BLOCK] * len(asked)
    assert [answer["transfer"]["chunkkv"]["rows"] for answer in given] == [LENGTH // BLOCK * BLOCK] * len(asked)
    prefill.forget()
    assert [answer["tokens"] for answer in prefill.generate(asked, ANSWER_LENGTH)] == [
        answer["tokens"] for answer in answers]


def test_requests_that_end_while_they_wait_leave_the_others_alone(pair):
    """What their loads write, once the prefill has come, lies in blocks that nobody else has by then."""
    prefill, decoder, client = pair
    asked = [make_prompt(LENGTH, 4000 + seed).tokens.tolist() for seed in range(6)]
    others = [make_prompt(LENGTH, 5000 + seed).tokens.tolist() for seed in range(18)]
    expected = [answer["tokens"] for answer in prefill.generate(others, ANSWER_LENGTH)]
    decoder.forget()
    decoder.abandon(asked, [{"chunkkv": {"role": "consumer"}}] * len(asked))
    eventually(lambda: client.stats().active_gets == len(asked))
    with ThreadPoolExecutor(1) as thread:
        prefilling = thread.submit(prefill.generate, asked, 1, [{"chunkkv": {"role": "producer"}}] * len(asked))
        for begin in range(0, len(others), 6):
            answers = decoder.generate(others[begin:begin + 6], ANSWER_LENGTH)
            assert [answer["tokens"] for answer in answers] == expected[begin:begin + 6]
        prefilling.result()
    eventually(lambda: client.stats().active_gets == 0)
    decoder.generate(others[:1], 1)  # what has ended is told between steps
    decoder.blocks()
    decoder.generate(others[:1], 1)
    assert decoder.blocks() == -(-LENGTH // BLOCK)


def test_blocks_that_the_service_lost_are_not_promised(pair):
    prefill, _, client = pair
    asked, producer = make_prompt(LENGTH, 6000).tokens.tolist(), [{"chunkkv": {"role": "producer"}}]
    (kept,) = prefill.generate([asked], 1, producer)
    eventually(lambda: entries_of(client, kept["transfer"]["chunkkv"]["key"]))
    for info in entries_of(client, kept["transfer"]["chunkkv"]["key"]):
        client.delete(entry_id=info.entry_id)
    (lost,) = prefill.generate([asked], 1, producer)  # the engine has the blocks itself
    assert "rows" in kept["transfer"]["chunkkv"] and "error" in lost["transfer"]["chunkkv"]


def test_a_prefill_that_never_comes_is_computed(pair):
    _, decoder, _ = pair
    asked = make_prompt(LENGTH, 2000).tokens.tolist()
    (answer,) = decoder.generate([asked], ANSWER_LENGTH, [{"chunkkv": {"role": "consumer"}}])
    assert WAIT_SECONDS <= answer["seconds"] < 3 * WAIT_SECONDS
    decoder.forget()
    assert answer["tokens"] == decoder.generate([asked], ANSWER_LENGTH)[0]["tokens"]


@pytest.mark.parametrize("wrong", [
    {"keep_ratio": 0.2, "policy": "best"}, {"keep_ratio": 2}, {"keep_ratio": -1}, {"keep_ratio": 1e400}, {"max_tokens": -5},
    {"keep_ratio": 0.2, "chunk_starts": [0, 5, 3]}, {"keep_ratio": 0.2, "chunk_starts": [1e400]},
    {"chunks": "verses", "keep_ratio": 0.2}, {"keep_ratio": 0.2, "max_tokens": 9},
    {"keep": 0.2}, {"keep_ratio": "some"}])
def test_a_prefill_says_what_it_does_not_understand(pair, wrong):
    prefill, _, _ = pair
    (given,) = hand_over(prefill, PROMPTS[:1], **wrong)
    assert given["error"]


@pytest.mark.parametrize("token_count", [1, 8, 9, 100, 1013])
@pytest.mark.parametrize("spec", [
    {"keep_ratio": 0.1}, {"keep_ratio": 0.35}, {"keep_ratio": 1.0}, {"max_tokens": 64}, {"max_tokens": 100},
    {"keep_ratio": 0.1, "sink_tokens": 4}, {"keep_ratio": 0.2, "policy": "streaming_llm"}])
def test_rows_are_counted_as_the_service_does(service, token_count, spec):
    spec = chunkkv.CompactionSpec(**{"policy": "chunk_kv", "window_length": WINDOW, "budget_multiple": BLOCK, **spec})
    model = chunkkv.ModelIdentity("rows", "1", "f32", 1, 1, 8, 8)
    draw = np.random.default_rng(0)
    layer = chunkkv.Layer(k=draw.random((token_count, 1, 8), np.float32), v=draw.random((token_count, 1, 8), np.float32),
                          token_scores=draw.random(max(0, token_count - WINDOW), np.float32))
    with chunkkv.Client(service) as client:
        client.put(model=model, tokens=range(token_count), layers=[layer], spec=spec)
        entry = client.get(model=model, tokens=range(token_count), spec=spec)
    assert kept_rows(spec, token_count) == len(entry.layers[0].k)
