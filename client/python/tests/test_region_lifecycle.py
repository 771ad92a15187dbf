"""Regions over their life: when their memory may be reused, and what ends with whom."""

import signal
import socket
import subprocess
import sys

import chunkkv
import numpy as np
import pytest
from local_server import eventually, held_bytes, sharing_server
from sample_caches import LAYERS, cache, model, same_bytes, tokens

LENGTH, WINDOW = 100, 8
FULL = chunkkv.CompactionSpec("full")
SCORED = chunkkv.CompactionSpec("h2o", keep_ratio=0.3, window_length=WINDOW)


@pytest.fixture
def alone():
    """The address of a server to which nobody else talks."""
    with sharing_server("--map-entries") as address:
        yield address


@pytest.fixture
def quiesced(monkeypatch):
    """Ids of the transfers that were quiesced."""
    ids = []

    def quiesce_transfer(transfer_id):
        ids.append(transfer_id)
        return original(transfer_id)

    original = chunkkv.operations.quiesce_transfer
    monkeypatch.setattr(chunkkv.operations, "quiesce_transfer", quiesce_transfer)
    return ids


def lent_layers(region, samples, scored=False):
    layers = []
    for index, (k, v, _) in enumerate(samples):
        arrays = [region.array(array.shape, array.dtype) for array in (k, v)]
        for array, values in zip(arrays, (k, v)):
            array[...] = values
        scores = {"token_scores": np.random.default_rng(index).random(LENGTH - WINDOW, np.float32)} if scored else {}
        layers.append(chunkkv.Layer(*arrays, **scores))
    return layers


def overwrite(region):
    region.reset()
    region.array(region.size_bytes, np.uint8)[...] = 0xff
    region.reset()


def test_arrays_follow_each_other(region):
    first, second = region.array(3, np.uint8), region.array((2, 5), np.float64)
    assert second.__array_interface__["data"][0] - first.__array_interface__["data"][0] == 64
    assert not first.any() and not second.any() and region.used_bytes == 64 + 80
    with pytest.raises(chunkkv.ResourceExhausted, match="REGION_FULL"):
        region.array(region.size_bytes - 143, np.uint8)
    with pytest.raises(chunkkv.ResourceExhausted, match="REGION_FULL"):
        region.array((-1, 2), np.uint8)
    region.array(region.size_bytes - 192, np.uint8)
    first[:] = 7
    region.reset()
    assert region.array(3, np.uint8).tolist() == [7, 7, 7]


def test_a_region_ends_with_its_with_statement(sharing_client):
    with sharing_client.allocate_region(10_000, name="short-lived") as region:
        info, = [info for info in sharing_client.list_regions() if info.region_id == region.region_id]
        assert (info.name, info.size_bytes, info.active_transfers) == ("short-lived", 10_000, 0)
        array = region.array(100, np.uint8)
        array[:] = 5
    assert region.region_id not in [info.region_id for info in sharing_client.list_regions()]
    assert array.tolist() == [5] * 100  # memory lives as long as its arrays
    region.close()
    with pytest.raises(chunkkv.FailedPrecondition, match="REGION_CLOSED"):
        region.array(1, np.uint8)


def test_arrays_of_a_closed_region_are_sent(sharing_client):
    samples = cache(LENGTH)
    with sharing_client.allocate_region(1 << 20) as region:
        layers = lent_layers(region, samples)
    put = {"model": model("closed region"), "tokens": tokens(LENGTH)}
    sharing_client.put(layers=layers, spec=FULL, **put)
    assert all(same_bytes(layer.k, k) for layer, (k, _, _) in zip(sharing_client.get(**put).layers, samples))


@pytest.mark.parametrize("size_bytes,kind,reason", [
    (0, chunkkv.InvalidArgument, "BAD_REGION_SIZE"), (1 << 60, chunkkv.ResourceExhausted, "OUT_OF_MEMORY")])
def test_regions_of_no_possible_size(sharing_client, size_bytes, kind, reason):
    with pytest.raises(kind, match=reason):
        sharing_client.allocate_region(size_bytes)


@pytest.mark.parametrize("sent_layers", range(LAYERS + 1))
@pytest.mark.parametrize("spec", [FULL, SCORED], ids=["full", "scored"])
def test_a_put_that_is_left_reads_its_pages_no_more(alone, quiesced, spec, sent_layers):
    samples = cache(LENGTH)
    put = {"model": model("left"), "tokens": tokens(LENGTH), "spec": spec}
    with chunkkv.Client(alone) as client, client.allocate_region(1 << 20) as region:
        with client.open_put(**put) as session:
            for layer in lent_layers(region, samples, spec is SCORED)[:sent_layers]:
                session.send_layer(layer)
        assert len(quiesced) == min(1, sent_layers)
        assert [info.active_transfers for info in client.list_regions()] == [0]
        overwrite(region)
        eventually(lambda: client.stats().active_sessions == 0 and held_bytes(client) == 0)
        client.put(layers=lent_layers(region, samples, spec is SCORED), **put)
        assert len(quiesced) == min(1, sent_layers)  # a put that ends well needs none
        for layer, (k, _, _) in zip(client.get(**put).layers, samples, strict=True):
            assert same_bytes(layer.k, k[layer.positions])


@pytest.mark.parametrize("taken_layers", range(LAYERS + 1))
def test_a_get_that_is_left_writes_no_more(alone, quiesced, taken_layers):
    name = {"model": model("left get"), "tokens": tokens(LENGTH)}
    with chunkkv.Client(alone) as client, client.allocate_region(1 << 20) as region:
        client.put(layers=[chunkkv.Layer(k=k, v=v) for k, v, _ in cache(LENGTH)], spec=FULL, **name)
        into = {(layer, kind): region.array((LENGTH, 2, size), np.float32)
                for layer in range(LAYERS) for kind, size in (("k", 8), ("v", 4))}
        with client.get_layers(**name, into=into) as stream:
            for _ in range(taken_layers):
                next(stream)
        assert len(quiesced) == 1
        overwrite(region)
        eventually(lambda: client.stats().active_gets == 0)
        assert (region.array(region.size_bytes, np.uint8) == 0xff).all()


def test_a_put_that_fails_is_quiesced_before_it_raises(sharing_client, region, quiesced):
    layers = lent_layers(region, cache(LENGTH), scored=True)
    layers[2].token_scores[5] = np.nan
    with pytest.raises(chunkkv.InvalidArgument):
        sharing_client.put(model=model("nan"), tokens=tokens(LENGTH), layers=layers, spec=SCORED)
    with pytest.raises(chunkkv.InvalidArgument, match="LAYOUT"), sharing_client.open_put(
            model=model("odd"), tokens=tokens(LENGTH), spec=FULL) as session:
        session.send_layer(layers[0])
        session.send_layer(chunkkv.Layer(k=layers[0].v, v=layers[0].k))
    assert len(quiesced) == 2 and len(set(quiesced)) == 2 and {len(transfer) for transfer in quiesced} == {16}


def test_a_deadline_quiesces(sharing_client, region, quiesced):
    layers = lent_layers(region, cache(LENGTH))
    with pytest.raises(chunkkv.DeadlineExceeded), sharing_client.open_put(
            model=model("late"), tokens=tokens(LENGTH), spec=FULL, timeout=2) as session:
        session.send_layer(layers[0])
        while True:
            session._stream._read()  # Consumed, then the deadline
    assert len(quiesced) == 1
    into = {(0, "k"): region.array((LENGTH, 2, 8), np.float32)}
    with pytest.raises(chunkkv.DeadlineExceeded):
        sharing_client.get(model=model("never"), tokens=tokens(5), wait_seconds=30, timeout=0.1, into=into)
    assert len(quiesced) == 2


def test_closing_the_client_gives_everything_back(alone):
    with chunkkv.Client(alone) as other:
        client = chunkkv.Client(alone)
        regions = [client.allocate_region(4096) for _ in range(3)]
        client.open_put(model=model("closed"), tokens=tokens(LENGTH), spec=FULL).send_layer(
            lent_layers(client.allocate_region(1 << 20), cache(LENGTH))[0])
        assert len(other.list_regions()) == 4
        client.close()
        assert other.list_regions() == [] and all(region.is_closed for region in regions)
        eventually(lambda: other.stats().active_sessions == 0 and held_bytes(other) == 0)


CHILD = """
import sys
import chunkkv, numpy as np
from sample_caches import cache, model, tokens
client = chunkkv.Client(sys.argv[1])
with client.allocate_region(1 << 20) as region:
    layers = []
    for k, v, _ in cache(100):
        lent = [region.array(array.shape, array.dtype) for array in (k, v)]
        lent[0][...], lent[1][...] = k, v
        layers.append(chunkkv.Layer(*lent))
    full = chunkkv.CompactionSpec("full")
    client.put(model=model("child"), tokens=tokens(100), layers=layers, spec=full)
    mapped = client.get(model=model("child"), tokens=tokens(100), mapped=True)
    session = client.open_put(model=model("unfinished"), tokens=tokens(100), spec=full)
    session.send_layer(layers[0])
    session._stream._read()  # Consumed
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_process_that_is_killed_leaves_the_server_at_rest(alone):
    tests = [path for path in sys.path if path]
    child = subprocess.Popen([sys.executable, "-c", f"import sys; sys.path[:0] = {tests!r}\n" + CHILD, alone],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"ready\n"
        with chunkkv.Client(alone) as client:
            name = {"model": model("child"), "tokens": tokens(LENGTH)}
            entry = client.get(**name, mapped=True)
            client.delete(**name)
            assert len(client.list_regions()) == 1 and client.stats().active_sessions == 1
            child.send_signal(signal.SIGKILL)
            eventually(lambda: client.list_regions() == [] and client.stats().active_sessions == 0)
            assert held_bytes(client) > 0  # this process's mapping
            assert all(same_bytes(layer.k, k) for layer, (k, _, _) in zip(entry.layers, cache(LENGTH), strict=True))
            entry.close()
            eventually(lambda: held_bytes(client) == 0)
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def test_a_connection_that_has_ended_is_made_anew(alone):
    name = {"model": model("again"), "tokens": tokens(LENGTH)}
    with chunkkv.Client(alone) as client:
        client.put(layers=[chunkkv.Layer(k=k, v=v) for k, v, _ in cache(LENGTH)], spec=FULL, **name)
        region = client.allocate_region(1 << 20)
        layers = lent_layers(region, cache(LENGTH))
        client._local._socket.shutdown(socket.SHUT_RDWR)
        eventually(lambda: client.list_regions() == [])
        with pytest.raises(chunkkv.NotFound, match="REGION_NOT_FOUND"):
            client.put(layers=layers, spec=FULL, model=model("lost"), tokens=tokens(LENGTH))
        region.close()
        assert same_bytes(client.get(**name, mapped=True).layers[0].k, layers[0].k)
        assert client.get(**name, into=client.allocate_region(1 << 20)).entry_id
