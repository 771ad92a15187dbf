"""Prefixes that come back from the service: the same tokens, and nearly all that could come."""
import contextlib
import os
import random
from collections import Counter

import chunkkv
import pytest
from local_server import eventually, sharing_server
from models import SHIPPED_VOCABULARY, model_folder
from programs import running_server
from shared_prefixes import prompts

IS_WHOLE = "CHUNKKV_WHOLE" in os.environ
BLOCK = 32
PATIENT = {"lookup_timeout": 10.0}  # engines take all cores: what is asked must not be missed for that


def ask(engine, asked, order, together, forget):
    """Tokens of every prompt, `together` at once in that order, and how many tokens were not computed. forget: the engine
    forgets its own cache after each batch."""
    tokens, cached = {}, 0
    for begin in range(0, len(order), together):
        batch = order[begin:begin + together]
        for index, answer in zip(batch, engine.generate([asked[index] for index in batch])):
            tokens[index] = answer["tokens"]
            cached += answer["cached_tokens"]
        if forget:
            engine.forget()
    return [tokens[index] for index in range(len(asked))], cached


def shuffled(count, seed):
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return order


def assert_nearly_all_was_loaded(asked, cached, counts):
    loadable = sum((len(prompt) - 1) // BLOCK * BLOCK for prompt in asked)  # one token is computed
    print(f"{len(asked)} prompts, {sum(map(len, asked))} tokens: {cached} of {loadable} came from the service; "
          f"{counts.get('num_preemptions', 0):.0f} preemptions")
    assert cached >= 0.95 * loadable
    assert not [name for name in counts if name.startswith("chunkkv_failures")], counts


CASES = [("shipped", 60, 1000), ("llama", 24, 900), ("qwen3", 24, 900)]
if IS_WHOLE:
    CASES += [("llama", 200, 4000), ("qwen3", 200, 4000)]


@pytest.mark.parametrize("kind,count,longest", CASES)
def test_tokens_are_those_of_an_engine_alone(service, start_engine, kind, count, longest):
    """f32, whose sums differ by too little between batches to tell: in any order, several at once, in chunks, with so few
    blocks that requests are preempted."""
    asked = prompts(0, count, longest, SHIPPED_VOCABULARY)
    settings = {"dtype": "float32", "max_model_len": longest + 64, "max_num_batched_tokens": 512, "max_num_seqs": 8,
                "num_gpu_blocks_override": longest // BLOCK + 50}
    alone = start_engine(model_folder(kind), **settings)
    expected, _ = ask(alone, asked, shuffled(count, 1), 10, forget=True)
    alone.close()

    engine = start_engine(model_folder(kind), address=service, connector=PATIENT, **settings)
    beside_own_cache, _ = ask(engine, asked, shuffled(count, 2), 10, forget=False)
    engine.forget()
    loaded, cached = ask(engine, asked, shuffled(count, 3), 10, forget=True)
    assert beside_own_cache == expected and loaded == expected
    counts = engine.metrics()
    assert_nearly_all_was_loaded(asked, cached, counts)
    assert counts["num_preemptions"] > 0, "the case forces preemptions"


@pytest.mark.parametrize("kind,count,longest", CASES)
def test_bf16_tokens_are_those_of_the_engines_own_cache(service, start_engine, kind, count, longest):
    """bf16, whose roundings depend on what is computed together: one prompt at a time, against an engine whose own cache
    holds what the service does, so that both compute the same tokens after the same prefixes."""
    asked, order = prompts(0, count, longest, SHIPPED_VOCABULARY), shuffled(count, 1)
    settings = {"dtype": "bfloat16", "max_model_len": longest + 64, "max_num_batched_tokens": 512}
    alone = start_engine(model_folder(kind), **settings)
    expected = [ask(alone, asked, order, 1, forget=False)[0] for _ in range(2)]
    alone.close()

    engine = start_engine(model_folder(kind), address=service, connector=PATIENT, **settings)
    beside_own_cache, _ = ask(engine, asked, order, 1, forget=False)
    engine.forget()
    loaded, cached = ask(engine, asked, order, 1, forget=True)
    assert [beside_own_cache, loaded] == expected
    assert_nearly_all_was_loaded(asked, cached, engine.metrics())


@pytest.mark.parametrize("options", [(), ("--map-entries",)], ids=["shared", "mapped"])
def test_rows_of_a_service_on_this_host_are_not_sent(start_engine, options):
    asked = prompts(0, 30, 1000, SHIPPED_VOCABULARY)
    settings = {"dtype": "float32", "max_model_len": 1064}
    with sharing_server(*options) as service:
        engine = start_engine(model_folder("shipped"), address=service, connector=PATIENT, **settings)
        expected, _ = ask(engine, asked, shuffled(30, 1), 10, forget=False)
        engine.forget()
        loaded, cached = ask(engine, asked, shuffled(30, 2), 10, forget=True)
        counts = engine.metrics()
        engine.close()
    assert loaded == expected and counts["chunkkv_mapped_entries" if options else "chunkkv_lent_gets"] >= 30
    assert_nearly_all_was_loaded(asked, cached, counts)


def test_replicas_store_and_give_back(tmp_path, start_engine):
    asked = prompts(0, 30, 1000, SHIPPED_VOCABULARY)
    with contextlib.ExitStack() as stack:
        folders = [tmp_path / name for name in ("first", "second")]
        for folder in folders:
            folder.mkdir()
        addresses = [stack.enter_context(running_server(folder)) for folder in folders]
        engine = start_engine(model_folder("shipped"), address=", ".join(addresses), connector=PATIENT,
                              dtype="float32", max_model_len=1064)
        expected, _ = ask(engine, asked, shuffled(30, 1), 10, forget=False)
        engine.forget()
        loaded, cached = ask(engine, asked, shuffled(30, 2), 10, forget=True)
        counts = engine.metrics()
        engine.close()
    assert loaded == expected
    assert_nearly_all_was_loaded(asked, cached, counts)


def test_what_was_there_is_not_found_after_a_reset_of_the_connector(service, start_engine):
    asked = prompts(0, 4, 600, SHIPPED_VOCABULARY)
    engine = start_engine(model_folder("shipped"), address=service, connector=PATIENT, dtype="float32", max_model_len=664)
    expected, _ = ask(engine, asked, range(4), 1, forget=False)

    def hits():
        """Of the first prompt, asked once more."""
        before = engine.metrics()["chunkkv_hit_tokens"]
        tokens, _ = ask(engine, asked[:1], range(1), 1, forget=False)
        assert tokens == expected[:1]
        return engine.metrics()["chunkkv_hit_tokens"] - before

    engine.forget(is_of_connector=True)
    assert hits() == 0

    def is_found_again():
        engine.forget()
        return hits() > 0

    eventually(is_found_again)


def test_tensor_parallel_ranks_store_and_load_their_shards(service, start_engine):
    asked = prompts(0, 16, 600, SHIPPED_VOCABULARY)
    settings = {"dtype": "float32", "max_model_len": 664, "max_num_batched_tokens": 256, "tensor_parallel_size": 2}
    alone = start_engine(model_folder("llama"), **settings)
    expected, _ = ask(alone, asked, shuffled(16, 1), 4, forget=True)
    alone.close()

    engine = start_engine(model_folder("llama"), address=service, connector=PATIENT, **settings)
    beside_own_cache, _ = ask(engine, asked, shuffled(16, 2), 4, forget=False)
    engine.forget()
    loaded, cached = ask(engine, asked, shuffled(16, 3), 4, forget=True)
    assert beside_own_cache == expected and loaded == expected
    assert_nearly_all_was_loaded(asked, cached, engine.metrics())
    with chunkkv.Client(service) as client:
        def both_ranks_have_as_many():
            counts = list(Counter(info.shard for info in client.list()).values())
            return len(counts) == 2 and counts[0] == counts[1]

        eventually(both_ranks_have_as_many)
