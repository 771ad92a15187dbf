"""The asyncio client against the real server."""

import asyncio

import chunkkv
import pytest
from sample_caches import cache, model, same_bytes, tokens

LENGTH = 100
FULL = chunkkv.CompactionSpec(policy="full")


@pytest.fixture
async def async_client(server_address):
    async with chunkkv.AsyncClient(server_address) as client:
        yield client


def layers_of(samples):
    return [chunkkv.Layer(k=k, v=v, queries=queries) for k, v, queries in samples]


async def test_puts_and_gets_run_side_by_side(async_client):
    samples = {name: cache(LENGTH, seed=name) for name in range(8)}
    await asyncio.gather(*(async_client.put(model=model(f"async {name}"), tokens=tokens(LENGTH), spec=FULL,
                                            layers=layers_of(sample)) for name, sample in samples.items()))
    entries = await asyncio.gather(*(async_client.get(model=model(f"async {name}"), tokens=tokens(LENGTH))
                                     for name in samples))
    for entry, sample in zip(entries, samples.values(), strict=True):
        for layer, (k, v, _) in zip(entry.layers, sample, strict=True):
            assert same_bytes(layer.k, k) and same_bytes(layer.v, v)


async def test_layers_stream_and_sessions_commit(async_client):
    samples = cache(LENGTH)
    spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.2, window_length=8)
    async with async_client.open_put(model=model("async session"), tokens=tokens(LENGTH), spec=spec) as session:
        for layer in layers_of(samples):
            await session.send_layer(layer)
        result = await session.commit()
    async with async_client.get_layers(model=model("async session"), tokens=tokens(LENGTH), spec=spec) as stream:
        assert (await stream.read_header()).entry_id == result.entry_id
        assert [layer.index async for layer in stream] == [0, 1, 2]


async def test_a_get_waits_for_a_put(async_client):
    waiting = asyncio.ensure_future(async_client.get(model=model("async wait"), tokens=tokens(LENGTH), wait_seconds=30))
    await asyncio.sleep(0)
    result = await async_client.put(model=model("async wait"), tokens=tokens(LENGTH), layers=layers_of(cache(LENGTH)),
                                    spec=FULL)
    assert (await waiting).entry_id == result.entry_id


async def test_the_catalogue_is_the_same(async_client):
    result = await async_client.put(model=model("async list"), tokens=tokens(LENGTH), layers=layers_of(cache(LENGTH)),
                                    spec=FULL)
    assert [info.entry_id async for info in async_client.list(fingerprint=result.fingerprint)] == [result.entry_id]
    match = await async_client.find_longest_prefix(model=model("async list"), tokens=tokens(LENGTH))
    assert match.covered_tokens == LENGTH
    await async_client.delete(entry_id=result.entry_id)
    with pytest.raises(chunkkv.NotFound):
        await async_client.describe(entry_id=result.entry_id)
    with pytest.raises(chunkkv.Error):
        await async_client.get(model=model("async list"), tokens=tokens(LENGTH))


async def test_a_watch_is_cancelled_while_it_waits(async_client):
    watch = async_client.watch()
    events = []

    async def read():
        async for event in watch:
            events.append(event.event)

    reading = asyncio.ensure_future(read())
    while "snapshot_end" not in events:
        await asyncio.sleep(0.005)
    watch.cancel()
    await asyncio.wait_for(reading, 10)
