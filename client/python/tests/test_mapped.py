"""Mapped entries: the server's own memory, for as long as an array of it lives."""

import asyncio
import gc
import os
import signal
import time

import chunkkv
import ml_dtypes
import numpy as np
import programs
import pytest
from local_server import eventually, held_bytes, sharing_server
from sample_caches import LAYERS, cache, model, same_bytes, tokens

LENGTH = 100
SPEC = chunkkv.CompactionSpec("chunk_kv", keep_ratio=0.3, window_length=8)
FULL = chunkkv.CompactionSpec("full")


@pytest.fixture
def mapping_address():
    """Of a server with a small budget, to which nobody else talks."""
    with sharing_server("--map-entries", "--host-memory", "1MiB") as address:
        yield address


@pytest.fixture
def mapping_client(mapping_address):
    with chunkkv.Client(mapping_address) as client:
        yield client


def put(client, name, spec=FULL, dtype=np.float32, seed=0, **more):
    samples = cache(LENGTH, dtype, seed=seed)
    layers = [chunkkv.Layer(k=k, v=v, queries=queries) for k, v, queries in samples]
    client.put(model=model(name, np.dtype(dtype).name), tokens=tokens(LENGTH), layers=layers, spec=spec, **more)
    return {"model": model(name, np.dtype(dtype).name), "tokens": tokens(LENGTH), "spec": spec}


@pytest.mark.parametrize("spec", [FULL, SPEC], ids=["exact", "compact"])
@pytest.mark.parametrize("verify", [False, True])
def test_a_mapped_entry_is_what_is_sent(sharing_client, spec, verify):
    name = put(sharing_client, f"mapped {verify}", spec)
    inline, mapped = sharing_client.get(**name), sharing_client.get(**name, mapped=True, verify=verify)
    for one, other in zip(mapped.layers, inline.layers, strict=True):
        assert same_bytes(one.k, other.k) and same_bytes(one.v, other.v)
        assert np.array_equal(one.positions, other.positions)
    assert {**vars(mapped), "layers": None, "groups": None} == {**vars(inline), "layers": None, "groups": None}
    assert mapped.sizes == inline.sizes


def test_all_but_the_first_go_over_the_local_socket_alone(sharing_client, monkeypatch):
    name = put(sharing_client, "mapped locally", SPEC)
    first = sharing_client.get(**name, mapped=True)
    monkeypatch.setattr(sharing_client, "_get_cache", None)
    second = sharing_client.get(**name, mapped=True, verify=True)
    assert {**vars(first), "layers": None, "groups": None} == {**vars(second), "layers": None, "groups": None}
    assert all(same_bytes(one.k, other.k) for one, other in zip(first.layers, second.layers, strict=True))
    monkeypatch.undo()
    with pytest.raises(chunkkv.NotFound, match="ENTRY_NOT_FOUND"):
        sharing_client.get(**{**name, "tokens": [1]}, mapped=True)


def freeze(process):
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)  # all of its threads


@pytest.mark.parametrize("is_connected", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_server_that_hangs_is_given_up_in_time(tmp_path, is_connected, is_async):
    socket = ["--local-socket", tmp_path / "local", "--map-entries"]
    process, address = programs.start_server(tmp_path, *socket)
    try:
        with chunkkv.Client(address) as client:
            name = put(client, "mapped")
            client.get(**name, mapped=is_connected)

            def get():
                return client.get(**name, mapped=True, timeout=0.2)

            async def get_async():
                async with chunkkv.AsyncClient(address) as other:
                    await other.get(**name, mapped=is_connected)
                    freeze(process)
                    await other.get(**name, mapped=True, timeout=0.2)

            if not is_async:
                freeze(process)
            began = time.monotonic()
            with pytest.raises(chunkkv.DeadlineExceeded):
                asyncio.run(get_async()) if is_async else get()
            assert time.monotonic() - began < 10  # of 30
    finally:
        process.kill()
        process.wait()


def test_verbatim_tensors_are_mapped(sharing_client):
    layers = [chunkkv.Layer(k=k, v=v) for k, v, _ in cache(LENGTH)]
    layers.insert(1, chunkkv.VerbatimLayer({"state": np.arange(999, dtype=np.uint8)}))
    name = {"model": model("mapped verbatim", layers=LAYERS + 1), "tokens": tokens(LENGTH)}
    sharing_client.put(**name, layers=layers, spec=FULL)
    entry = sharing_client.get(**name, mapped=True, verify=True)
    assert np.array_equal(entry.layers[1].tensors["state"], np.arange(999, dtype=np.uint8))


def test_its_arrays_are_not_written_to(sharing_client):
    entry = sharing_client.get(**put(sharing_client, "read only"), mapped=True)
    for layer in entry.layers:
        for array in (layer.k, layer.v):
            with pytest.raises(ValueError, match="read-only"):
                array[0, 0, 0] = 1


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_what_is_written_to_its_torch_tensors_stays_in_this_process(sharing_client, dtype, recwarn):
    torch = pytest.importorskip("torch")
    name = put(sharing_client, "mapped torch", dtype=getattr(ml_dtypes, dtype, None) or np.dtype(dtype))
    inline, mapped = sharing_client.get(**name), sharing_client.get(**name, mapped=True)
    for layer, other in zip(mapped.as_torch().layers, inline.as_torch().layers, strict=True):
        assert layer.k.dtype == getattr(torch, dtype)
        assert torch.equal(layer.k, other.k) and torch.equal(layer.v, other.v)
        assert layer.k.data_ptr() == mapped.layers[layer.index].k.__array_interface__["data"][0]
        layer.k.fill_(7)
    assert not recwarn.list
    again = sharing_client.get(**name, mapped=True, verify=True)
    assert all(same_bytes(one.k, other.k) for one, other in zip(again.layers, inline.layers, strict=True))


def test_it_outlives_its_deletion(mapping_client):
    name = put(mapping_client, "deleted")
    entry = mapping_client.get(**name, mapped=True)
    stored = held_bytes(mapping_client)
    mapping_client.delete(**name)
    assert held_bytes(mapping_client) == stored > 0
    put(mapping_client, "another", seed=1)
    assert all(same_bytes(layer.k, k) for layer, (k, _, _) in zip(entry.layers, cache(LENGTH), strict=True))


def test_it_outlives_the_eviction_of_all_others(mapping_client):
    name = put(mapping_client, "mapped")
    entry = mapping_client.get(**name, mapped=True)

    def put_others(seeds):
        for seed in seeds:  # 26 fit
            put(mapping_client, f"other {seed}", seed=seed)

    put_others(range(1, 40))
    assert mapping_client.stats().tiers["host"]["evictions"] > 0
    assert all(same_bytes(layer.v, v) for layer, (_, v, _) in zip(entry.layers, cache(LENGTH), strict=True))
    entry.close()
    put_others(range(40, 80))
    with pytest.raises(chunkkv.NotFound):
        mapping_client.get(**name)


@pytest.mark.parametrize("end", ["close", "with", "collected", "client"])
def test_its_memory_is_given_back_with_its_last_array(mapping_client, mapping_address, end):
    name = put(mapping_client, "released")
    with chunkkv.Client(mapping_address) as other:
        entry = other.get(**name, mapped=True)
        last = entry.layers[2].v
        mapping_client.delete(**name)
        if end == "with":
            with entry:
                pass
        elif end == "collected":
            del entry
        elif end == "client":
            other.close()
        else:
            entry.close()
            assert entry.layers == () and entry.original_length == LENGTH
        if end != "client":
            assert held_bytes(mapping_client) > 0
        assert same_bytes(last, cache(LENGTH)[2][1])
        if end != "client":
            del last
            gc.collect()
        eventually(lambda: held_bytes(mapping_client) == 0)


def test_what_cannot_be_mapped_is_refused(sharing_client):
    name = put(sharing_client, "refused")
    for ask in ({"layers": range(1)}, {"tokens_range": range(5)}):
        with pytest.raises(chunkkv.InvalidArgument, match="MAPS_WHOLE"):
            sharing_client.get(**name, mapped=True, **ask)
    with pytest.raises(chunkkv.InvalidArgument, match="MAPPED"):
        sharing_client.get_layers(**name, mapped=True)
    with pytest.raises(chunkkv.NotFound, match="ENTRY_NOT_FOUND"):
        sharing_client.get(model=model("none such"), tokens=[1], mapped=True)


def test_servers_without_it_say_so(client):
    with pytest.raises(chunkkv.FailedPrecondition, match="REGIONS_DISABLED"):
        client.get(**put(client, "remote"), mapped=True)
    with pytest.raises(chunkkv.FailedPrecondition, match="REGIONS_DISABLED"):
        client.allocate_region(4096)
    assert client.capabilities().local_socket == ""
    with sharing_server() as address, chunkkv.Client(address) as unmapped:
        with pytest.raises(chunkkv.FailedPrecondition, match="MAPPING_DISABLED"):
            unmapped.get(**put(unmapped, "unmapped"), mapped=True)
        assert unmapped.capabilities().local_socket
