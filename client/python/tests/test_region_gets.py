"""Gets into regions: what the server writes is what it sends."""

from concurrent.futures import ThreadPoolExecutor

import chunkkv
import numpy as np
import pytest
from sample_caches import KEY_SIZE, KV_HEADS, LAYERS, VALUE_SIZE, cache, model, same_bytes, tokens

LENGTH, WINDOW = 100, 8
SPEC = chunkkv.CompactionSpec("chunk_kv", keep_ratio=0.3, window_length=WINDOW)
SIZES = {"k": KEY_SIZE, "v": VALUE_SIZE}


@pytest.fixture(scope="module")
def stored(sharing_address):
    """An entry of SPEC and an exact one, with a verbatim layer after the others."""
    layers = [chunkkv.Layer(k=k, v=v, queries=queries) for k, v, queries in cache(LENGTH)]
    layers.append(chunkkv.VerbatimLayer({"state": np.arange(1000, dtype=np.uint8), "bias": b"abc"}))
    name = model("region gets", layers=LAYERS + 1)
    with chunkkv.Client(sharing_address) as client:
        for spec in (SPEC, chunkkv.CompactionSpec("full")):
            client.put(model=name, tokens=tokens(LENGTH), layers=layers, spec=spec, rope=chunkkv.Rope.of_theta(100, 8))
    return {"model": name, "tokens": tokens(LENGTH)}


def same_layers(left, right):
    for one, other in zip(left.layers, right.layers, strict=True):
        assert one.index == other.index
        if one.tensors is not None:
            assert {name: bytes(data) for name, data in one.tensors.items()} == {
                name: bytes(data) for name, data in other.tensors.items()}
            continue
        assert same_bytes(np.asarray(one.k), np.asarray(other.k)) and same_bytes(np.asarray(one.v), np.asarray(other.v))
        assert np.array_equal(one.positions, other.positions)
    return True


@pytest.mark.parametrize("ask", [
    {"spec": SPEC}, {}, {"accept": "least_lossy"}, {"layers": range(1, 4)},
    {"spec": SPEC, "positions": "contiguous"}, {"layers": range(3, 4)}], ids=lambda ask: ",".join(ask) or "exact")
def test_new_arrays_of_a_region_hold_what_is_sent(sharing_client, region, stored, ask):
    inline = sharing_client.get(**stored, **ask)
    entry = sharing_client.get(**stored, **ask, into=region)
    assert same_layers(entry, inline) and entry.sizes == inline.sizes
    arrays = [array for layer in entry.layers for array in (layer.k, layer.v, *(layer.tensors or {}).values())
              if array is not None]
    for array in arrays:
        address = array.__array_interface__["data"][0]
        assert region.address <= address and address + array.nbytes <= region.address + region.size_bytes
        assert address % 64 == 0
    assert 0 <= region.used_bytes - sum(array.nbytes for array in arrays) < 64 * len(arrays)


def test_a_token_range(sharing_client, region):
    samples = cache(LENGTH)
    name = {"model": model("region token range"), "tokens": tokens(LENGTH)}
    layers = [chunkkv.Layer(k=k, v=v) for k, v, _ in samples]
    sharing_client.put(**name, layers=layers, spec=chunkkv.CompactionSpec("full"))
    entry = sharing_client.get(**name, into=region, tokens_range=range(30, 71))
    assert same_layers(entry, sharing_client.get(**name, tokens_range=range(30, 71)))
    assert len(entry.layers[0].k) == 41


def places(region, make):
    into = {(layer, name): make(region, size) for layer in range(LAYERS) for name, size in SIZES.items()}
    return into | {(LAYERS, "state"): region.array(1000, np.uint8), (LAYERS, "bias"): region.array(5, np.uint8)}


def paged(region, size):
    blocks = region.array((9, KV_HEADS, 16, size), np.float32).transpose(0, 2, 1, 3)
    return chunkkv.PagedRows(blocks, [7, 0, 3, 2, 5, 1, 6], first_slot=3)


@pytest.mark.parametrize("make", [
    lambda region, size: region.array((LENGTH + 3, KV_HEADS, size), np.float32),
    lambda region, size: region.array((KV_HEADS, LENGTH, size), np.float32).transpose(1, 0, 2), paged],
    ids=["dense", "heads first", "paged"])
@pytest.mark.parametrize("ask", [{"spec": SPEC}, {}], ids=["compact", "exact"])
def test_given_arrays_are_written_as_far_as_there_are_rows(sharing_client, region, stored, make, ask):
    region.array(4 << 19, np.uint8)[...] = 0xff
    region.reset()
    into = places(region, make)
    entry = sharing_client.get(**stored, **ask, into=into)
    assert same_layers(entry, sharing_client.get(**stored, **ask))
    rows = len(entry.layers[0].positions)
    for (layer, name), place in into.items():
        if place.ndim == 3:
            assert (np.asarray(place)[rows:].view(np.uint8) == 0xff).all()
            assert np.shares_memory(getattr(place, "blocks", place), region.array(0, np.uint8).base)
    assert into[LAYERS, "bias"].tobytes() == b"abc\xff\xff"
    if make is paged:
        assert isinstance(entry.layers[0].k, chunkkv.PagedRows)
        pytest.importorskip("torch")
        assert same_bytes(entry.as_torch().layers[0].k.numpy(), np.asarray(entry.layers[0].k))


def test_layers_come_one_by_one(sharing_client, region, stored):
    into = places(region, lambda region, size: region.array((LENGTH, KV_HEADS, size), np.float32))
    with sharing_client.get_layers(**stored, into=into) as stream:
        assert np.array_equal(next(stream).k, cache(LENGTH)[0][0])
    with sharing_client.get_layers(**stored, into=region) as stream:
        assert [layer.index for layer in stream] == [0, 1, 2, 3]


def test_gets_into_one_region_share_it_out(sharing_client, region, stored):
    inline = sharing_client.get(**stored)
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(lambda _: sharing_client.get(**stored, into=region), range(32)))
    assert all(same_layers(entry, inline) for entry in entries)
    assert len({entry.layers[0].k.__array_interface__["data"][0] for entry in entries}) == 32


def test_what_is_no_place_is_refused(sharing_client, region, stored):
    right = places(region, lambda region, size: region.array((LENGTH, KV_HEADS, size), np.float32))
    cases = [
        ("NOT_IN_REGION", {(0, "k"): np.zeros((LENGTH, 2, 8), np.float32)}), ("BAD_TARGET", {(0, "q"): right[0, "k"]}),
        ("NOT_IN_REGION", {(0, "k"): np.broadcast_to(right[0, "k"][:1], (LENGTH, 2, 8))}),
        ("TARGET_TOO_SMALL", {(0, "k"): right[0, "k"][:50]}), ("TARGET_UNKNOWN", {(9, "k"): right[0, "k"]}),
        ("BAD_TARGET", {(0, "k"): right[0, "k"].view(np.int32)})]
    for reason, wrong in cases:
        with pytest.raises(chunkkv.Error) as caught:
            sharing_client.get(**stored, into=right | wrong)
        assert caught.value.reason == reason
    del right[1, "v"]
    with pytest.raises(chunkkv.InvalidArgument, match="TARGET_MISSING"):
        sharing_client.get(**stored, into=right)
    assert same_layers(sharing_client.get(**stored, into=region), sharing_client.get(**stored))
    for ask in ({"into": region, "mapped": True}, {"verify": False}, {"into": region, "verify": False}):
        with pytest.raises(chunkkv.InvalidArgument):
            sharing_client.get(**stored, **ask)
    with pytest.raises(chunkkv.NotFound, match="ENTRY_NOT_FOUND"):
        sharing_client.get(model=model("none such"), tokens=[1], into=region)


def test_a_region_that_is_full_takes_nothing(sharing_client, stored):
    with sharing_client.allocate_region(9000) as small:
        small.array(100, np.uint8)
        with pytest.raises(chunkkv.FailedPrecondition, match="TARGET_TOO_SMALL"):
            sharing_client.get(**stored, into=small)
        assert small.array(9000 - 128, np.uint8).nbytes == 8872
        with pytest.raises(chunkkv.ResourceExhausted, match="REGION_FULL"):
            sharing_client.get(**stored, into=small)
