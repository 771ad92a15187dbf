"""Puts whose tokens come range by range over all layers, as chunks of a prompt are computed."""

import asyncio

import chunkkv
import numpy as np
import pytest
from sample_caches import KEY_SIZE, KV_HEADS, LAYERS, QUERY_HEADS, VALUE_SIZE, cache, model, same_bytes, tokens

LENGTH, WINDOW = 100, 8
FULL = chunkkv.CompactionSpec(policy="full")
CHUNK_KV = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.3, window_length=WINDOW)
LAYOUT = [chunkkv.AttentionRun(layer_count=LAYERS, kv_head_count=KV_HEADS, key_head_size=KEY_SIZE,
                               value_head_size=VALUE_SIZE, dtype=np.float32, query_head_count=QUERY_HEADS)]
QUERIES = chunkkv.ScoreDeclaration("queries")


def chunks(samples, spans, with_queries):
    """(layer, first token, rows) of each span of tokens, over all layers."""
    for begin, end in spans:
        for index, (k, v, queries) in enumerate(samples):
            scored = {"queries": queries} if with_queries and end == LENGTH else {}
            yield index, begin, chunkkv.Layer(k=k[begin:end], v=v[begin:end], **scored)


def begin(client, name, spec):
    return client.open_put(model=name, tokens=tokens(LENGTH), spec=spec, layout=LAYOUT, any_order=True,
                           scores=QUERIES if spec is CHUNK_KV else None)


@pytest.mark.parametrize("spans", [[(0, LENGTH)], [(0, 32), (32, 64), (64, LENGTH)], [(90, LENGTH), (0, 1), (1, 90)]])
@pytest.mark.parametrize("spec", [FULL, CHUNK_KV], ids=["full", "chunk_kv"])
def test_the_entry_is_that_of_a_put_layer_by_layer(client, request, spec, spans):
    samples, name = cache(LENGTH), model(request.node.name)
    with begin(client, name, spec) as session:
        for index, first, layer in chunks(samples, spans, spec is CHUNK_KV):
            session.send_tokens(index, first, layer)
        session.commit()
    entry = client.get(model=name, tokens=tokens(LENGTH), spec=spec)
    whole = model(request.node.name + " whole")
    client.put(model=whole, tokens=tokens(LENGTH), spec=spec, layers=[
        chunkkv.Layer(k=k, v=v, queries=queries if spec is CHUNK_KV else None) for k, v, queries in samples])
    assert entry.entry_digest == client.get(model=whole, tokens=tokens(LENGTH), spec=spec).entry_digest
    for layer, (k, v, _) in zip(entry.layers, samples, strict=True):
        assert same_bytes(layer.k, k[layer.positions]) and same_bytes(layer.v, v[layer.positions])


def test_through_asyncio(client, server_address, request):
    samples, name = cache(LENGTH), model(request.node.name)

    async def put():
        async with chunkkv.AsyncClient(server_address) as ours, begin(ours, name, FULL) as session:
            for index, first, layer in chunks(samples, [(40, LENGTH), (0, 40)], False):
                await session.send_tokens(index, first, layer)
            await session.commit()

    asyncio.run(put())
    assert same_bytes(client.get(model=name, tokens=tokens(LENGTH)).layers[2].v, samples[2][1])


def test_a_row_that_never_came_fails_the_commit(client, request):
    samples, name = cache(LENGTH), model(request.node.name)
    with begin(client, name, FULL) as session:
        for index, first, layer in chunks(samples, [(0, 40), (41, LENGTH)], False):
            session.send_tokens(index, first, layer)
        with pytest.raises(chunkkv.Error) as failure:
            session.commit()
    assert failure.value.reason == "GAP"
    with pytest.raises(chunkkv.NotFound):
        client.get(model=name, tokens=tokens(LENGTH))


def test_of_a_stored_entry_nothing_is_sent(client, request):
    samples, name = cache(LENGTH), model(request.node.name)
    for is_stored in (False, True):
        with begin(client, name, FULL) as session:
            assert session.already_stored == is_stored
            for index, first, layer in chunks(samples, [(0, LENGTH)], False):
                session.send_tokens(index, first, layer)
            assert session.commit().already_stored == is_stored


@pytest.mark.parametrize("wrong,reason", [
    (lambda put, layer: put.send_tokens(LAYERS, 0, layer), "TOO_MANY_LAYERS"),
    (lambda put, layer: put.send_tokens(-1, 0, layer), "TOO_MANY_LAYERS"),
    (lambda put, layer: put.send_tokens(0, 1, layer), "BAD_RANGE"),
    (lambda put, layer: put.send_tokens(0, -1, layer), "BAD_RANGE"),
    (lambda put, layer: put.send_tokens(0, 0, chunkkv.Layer(k=layer.k.astype(np.float16), v=layer.v)), "LAYOUT"),
    (lambda put, layer: put.send_tokens(0, 0, chunkkv.Layer(k=layer.k, v=layer.k)), "LAYOUT"),
    (lambda put, layer: put.send_layer(layer), "ANY_ORDER")])
def test_wrong_ranges_are_refused_before_they_are_sent(client, request, wrong, reason):
    k, v, _ = cache(LENGTH)[0]
    with begin(client, model(request.node.name), FULL) as session:
        with pytest.raises(chunkkv.InvalidArgument) as failure:
            wrong(session, chunkkv.Layer(k=k, v=v))
    assert failure.value.reason == reason


def test_any_order_is_asked_for_where_the_put_opens(client):
    k, v, _ = cache(LENGTH)[0]
    with client.open_put(model=model("ordered"), tokens=tokens(LENGTH), spec=FULL, layout=LAYOUT) as session:
        with pytest.raises(chunkkv.InvalidArgument, match="any_order"):
            session.send_tokens(0, 0, chunkkv.Layer(k=k, v=v))
    with pytest.raises(chunkkv.InvalidArgument) as failure:
        client.open_put(model=model("ordered"), tokens=tokens(LENGTH), spec=FULL, any_order=True)
    assert failure.value.reason == "ANY_ORDER"
