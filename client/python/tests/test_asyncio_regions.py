"""Shared memory through the asyncio client."""

import asyncio

import chunkkv
import numpy as np
import pytest
from sample_caches import LAYERS, cache, model, same_bytes, tokens

LENGTH = 100
FULL = chunkkv.CompactionSpec("full")


@pytest.fixture
async def async_client(sharing_address):
    async with chunkkv.AsyncClient(sharing_address) as client:
        yield client


def lent_layers(region, samples):
    layers = []
    for k, v, _ in samples:
        arrays = [region.array(array.shape, array.dtype) for array in (k, v)]
        arrays[0][...], arrays[1][...] = k, v
        layers.append(chunkkv.Layer(*arrays))
    return layers


async def test_what_is_lent_is_got_in_every_way(async_client):
    samples = cache(LENGTH)
    name = {"model": model("async lent"), "tokens": tokens(LENGTH)}
    async with await async_client.allocate_region(1 << 20, name="async") as region:
        await async_client.put(layers=lent_layers(region, samples), spec=FULL, **name)
        assert "async" in [info.name for info in await async_client.list_regions()]
        into = {(layer, field): region.array(samples[0][index].shape, np.float32)
                for layer in range(LAYERS) for index, field in enumerate(("k", "v"))}
        async with async_client.get_layers(**name, into=into) as stream:
            streamed = [layer async for layer in stream]
        entries = await asyncio.gather(
            async_client.get(**name), async_client.get(**name, into=into), async_client.get(**name, into=region),
            async_client.get(**name, mapped=True), async_client.get(**name, mapped=True, verify=True),
            *(async_client.get(**name, into=region) for _ in range(10)))
        assert len({entry.layers[0].k.__array_interface__["data"][0] for entry in entries[4:]}) == 11
        for layers in (streamed, *(entry.layers for entry in entries)):
            for layer, (k, v, _) in zip(layers, samples, strict=True):
                assert same_bytes(layer.k, k) and same_bytes(layer.v, v)
    assert not entries[3].layers[0].k.flags.writeable
    assert "async" not in [info.name for info in await async_client.list_regions()]
    for ask in ({"mapped": True}, {"into": region}):
        with pytest.raises(chunkkv.InvalidArgument, match="INTO"):
            async_client.get_layers(**name, **ask)


async def test_a_task_that_is_cancelled_ends_when_its_memory_is_free(async_client, monkeypatch):
    quiesced = []

    def quiesce_transfer(transfer_id):
        quiesced.append(transfer_id)
        return original(transfer_id)

    original = chunkkv.operations.quiesce_transfer
    monkeypatch.setattr(chunkkv.operations, "quiesce_transfer", quiesce_transfer)
    async with await async_client.allocate_region(1 << 20) as region:
        layers = lent_layers(region, cache(LENGTH))
        sent = asyncio.Event()

        async def put():
            async with async_client.open_put(model=model("cut"), tokens=tokens(LENGTH), spec=FULL) as session:
                await session.send_layer(layers[0])
                sent.set()
                await asyncio.sleep(60)

        async def get():
            await async_client.get(model=model("never"), tokens=[1], wait_seconds=60,
                                   into={(0, "k"): region.array((LENGTH, 2, 8), np.float32)})

        tasks = [asyncio.ensure_future(put()), asyncio.ensure_future(get())]
        await sent.wait()
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        assert len(quiesced) == 2
        info, = [info for info in await async_client.list_regions() if info.region_id == region.region_id]
        assert info.active_transfers == 0


async def test_a_put_that_fails_is_quiesced(async_client):
    async with await async_client.allocate_region(1 << 20) as region:
        layers = lent_layers(region, cache(LENGTH))
        with pytest.raises(chunkkv.InvalidArgument, match="CONTENT_DIGEST"):
            await async_client.put(model=model("async digest"), tokens=tokens(LENGTH), layers=layers, spec=FULL,
                                   content_digest=bytes(16))
        await async_client.put(model=model("async digest"), tokens=tokens(LENGTH), layers=layers, spec=FULL)


async def test_servers_without_a_local_socket_say_so(server_address):
    async with chunkkv.AsyncClient(server_address) as client:
        with pytest.raises(chunkkv.FailedPrecondition, match="REGIONS_DISABLED"):
            await client.allocate_region(4096)
        with pytest.raises(chunkkv.FailedPrecondition, match="REGIONS_DISABLED"):
            await client.get(model=model("none"), tokens=[1], mapped=True)
