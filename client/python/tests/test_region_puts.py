"""Puts whose arrays lie in a region: stored as what is sent is, and not sent."""

import chunkkv
import chunkkv._put
import ml_dtypes
import numpy as np
import pytest
from sample_caches import LAYERS, cache, model, same_bytes, tokens

LENGTH, WINDOW = 100, 8


def lend(region, array):
    """A copy in the region."""
    lent = region.array(array.shape, array.dtype)
    lent[...] = array
    return lent


def strided(region, array):
    """A copy of which every second head and a part of each row are somebody else's."""
    tokens_, heads, size = array.shape
    lent = region.array((tokens_, 2 * heads, size + 2), array.dtype)[:, ::2, 1:-1]
    lent[...] = array
    return lent


def paged(region, array, heads_first, block_size=16, first_slot=5):
    """A copy in an engine's cache: blocks out of order, with others between them."""
    count = -(-(len(array) + first_slot) // block_size)
    shape = (2 * count, array.shape[1], block_size) if heads_first else (2 * count, block_size, array.shape[1])
    blocks = region.array((*shape, array.shape[2]), array.dtype)
    blocks = blocks.transpose(0, 2, 1, 3) if heads_first else blocks
    ids = np.random.default_rng(3).permutation(2 * count)[:count]
    slots = first_slot + np.arange(len(array))
    blocks[ids[slots // block_size], slots % block_size] = array
    return chunkkv.PagedRows(blocks, ids, len(array), first_slot)


PLACES = {
    "dense": lend, "strided": strided, "heads_first": lambda region, array: lend(
        region, array.transpose(1, 0, 2)).transpose(1, 0, 2),
    "paged": lambda region, array: paged(region, array, heads_first=False),
    "paged_heads_first": lambda region, array: paged(region, array, heads_first=True)}

SPECS = {
    "full": (chunkkv.CompactionSpec("full"), "none", False),
    "queries": (chunkkv.CompactionSpec("chunk_kv", keep_ratio=0.3, window_length=WINDOW), "queries", False),
    "token_scores": (chunkkv.CompactionSpec("h2o", keep_ratio=0.3, window_length=WINDOW), "token_scores", False),
    "recent": (chunkkv.CompactionSpec("streaming_llm", keep_ratio=0.5), "none", False),
    "selected": (chunkkv.CompactionSpec("snap_kv", keep_ratio=0.3, window_length=WINDOW), "token_scores", True)}


def scores_of(source, queries, layer):
    if source == "queries":
        return {"queries": queries}
    if source == "token_scores":
        return {"token_scores": np.random.default_rng(layer).random(LENGTH - WINDOW, np.float32)}
    return {}


@pytest.fixture
def sent(monkeypatch):
    """The bytes of each part that travels."""
    sizes = []

    def encode_part(*fields):
        sizes.append(len(fields[5]))
        return original(*fields)

    original = chunkkv._put.encode_part
    monkeypatch.setattr(chunkkv._put, "encode_part", encode_part)
    return sizes


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("spec", SPECS)
def test_what_lies_in_a_region_is_stored_as_what_is_sent(sharing_client, region, request, sent, spec, place):
    spec, source, selects = SPECS[spec]
    samples = cache(LENGTH)
    put = {"tokens": tokens(LENGTH), "spec": spec, "select_then_send": selects}
    inline, lent = [], []
    for layer, (k, v, queries) in enumerate(samples):
        scores = scores_of(source, queries, layer)
        inline.append(chunkkv.Layer(k=k, v=v, **scores))
        lent.append(chunkkv.Layer(k=PLACES[place](region, k), v=PLACES[place](region, v),
                                  **{name: lend(region, array) for name, array in scores.items()}))
    expected = sharing_client.put(model=model(request.node.name), layers=inline, **put)
    assert sum(sent) > 0
    sent.clear()
    result = sharing_client.put(model=model(request.node.name + " lent"), layers=lent, **put)
    assert result.entry_digest == expected.entry_digest and result.received_bytes == expected.received_bytes
    # Chosen rows of blocks whose heads come first are gathered here: no slice names them.
    assert not sent or selects and place == "paged_heads_first"
    assert [info.active_transfers for info in sharing_client.list_regions()] == [0]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_torch_tensors_in_a_region(sharing_client, region, sent, dtype):
    torch = pytest.importorskip("torch")
    samples = cache(LENGTH, getattr(ml_dtypes, dtype, None) or dtype)
    layers = []
    for k, v, _ in samples:
        tensors = []
        for array in (k, v):
            tensor = region.tensor(array.shape, getattr(torch, dtype))
            tensor.view(torch.uint8).numpy()[...] = array.view(np.uint8)
            tensors.append(tensor)
        scales = [region.tensor((LENGTH, 2, 1), torch.float32).fill_(layer) for layer in range(2)]
        fp8 = {"k_scale": scales[0], "v_scale": scales[1]} if "8" in dtype else {}
        layers.append(chunkkv.Layer(*tensors, **fp8))
    name = model("torch " + dtype, dtype)
    sharing_client.put(model=name, tokens=tokens(LENGTH), layers=layers, spec=chunkkv.CompactionSpec("full"))
    assert not sent
    entry = sharing_client.get(model=name, tokens=tokens(LENGTH))
    for layer, (k, v, _) in zip(entry.layers, samples, strict=True):
        assert same_bytes(layer.k, k) and same_bytes(layer.v, v)


def test_lent_and_sent_arrays_mix(sharing_client, region, sent):
    samples = cache(LENGTH)
    layers = [chunkkv.Layer(k=lend(region, k) if layer else k, v=v) for layer, (k, v, _) in enumerate(samples)]
    state = np.arange(3000, dtype=np.uint16)
    layers.append(chunkkv.VerbatimLayer({"state": lend(region, state), "bias": b"abc"}))
    name = model("mixed", layers=LAYERS + 1)
    sharing_client.put(model=name, tokens=tokens(LENGTH), layers=layers, spec=chunkkv.CompactionSpec("full"))
    assert sorted(sent) == sorted([samples[0][0].nbytes, *(v.nbytes for _, v, _ in samples), 3])
    entry = sharing_client.get(model=name, tokens=tokens(LENGTH))
    for layer, (k, v, _) in zip(entry.layers, samples):
        assert same_bytes(layer.k, k) and same_bytes(layer.v, v)
    assert entry.layers[3].tensors["state"].tobytes() == state.tobytes()


def test_external_rows_and_sessions(sharing_client, region, sent):
    samples = cache(LENGTH)
    kept = np.arange(3, 60, 7)
    spec = chunkkv.CompactionSpec("external", label="mine")
    put = {"model": model("external"), "tokens": tokens(LENGTH), "spec": spec, "positions": kept}
    with sharing_client.open_put(**put) as session:
        for k, v, _ in samples:
            session.send_layer(chunkkv.Layer(k=lend(region, k[kept]), v=lend(region, v[kept])))
        session.commit()
    assert not sent
    entry = sharing_client.get(model=model("external"), tokens=tokens(LENGTH), spec=spec)
    assert all(same_bytes(layer.v, v[kept]) for layer, (_, v, _) in zip(entry.layers, samples, strict=True))


@pytest.mark.parametrize("policy", ["full", "chunk_kv"])
def test_a_declared_content_digest_is_of_what_arrives(sharing_client, region, sent, policy):
    """Where rows are dropped the server reads the others alone, and could not digest them all: they are sent."""
    keep = {} if policy == "full" else {"keep_ratio": 0.2, "window_length": WINDOW}
    layers = [chunkkv.Layer(k=lend(region, k), v=lend(region, v), queries=queries) for k, v, queries in cache(LENGTH)]
    put = {"model": model(f"digest {policy}"), "tokens": tokens(LENGTH), "layers": layers,
           "spec": chunkkv.CompactionSpec(policy, **keep)}
    with pytest.raises(chunkkv.InvalidArgument, match="CONTENT_DIGEST"):
        sharing_client.put(content_digest=bytes(16), **put)
    sent.clear()
    assert not sharing_client.put(content_digest=chunkkv.content_digest_of(layers), **put).already_stored
    assert bool(sent) == (policy == "chunk_kv")


def test_paged_rows_are_sent_where_there_is_no_region(client):
    k, v, _ = cache(LENGTH)[0]

    class Anywhere:
        array = staticmethod(np.zeros)

    layers = [chunkkv.Layer(k=paged(Anywhere, k, False), v=paged(Anywhere, v, True))] * LAYERS
    digest = chunkkv.content_digest_of(layers)
    client.put(model=model("paged inline"), tokens=tokens(LENGTH), layers=layers, content_digest=digest,
               spec=chunkkv.CompactionSpec("full"))
    entry = client.get(model=model("paged inline"), tokens=tokens(LENGTH))
    assert all(same_bytes(layer.k, k) and same_bytes(layer.v, v) for layer in entry.layers)


def test_paged_rows_are_checked():
    blocks = np.zeros((4, 8, 2, 3), np.float32)
    assert chunkkv.PagedRows(blocks, [3, 1], first_slot=2).shape == (14, 2, 3)
    for ids, count, first in (
            ([4], 1, 0), ([-1], 1, 0), ([1, 1], 9, 0), ([1], 9, 0), ([1], 8, 1), ([1], 1, 8), ([], 1, 0)):
        with pytest.raises(chunkkv.InvalidArgument, match="BAD_BLOCK_IDS"):
            chunkkv.PagedRows(blocks, ids, count, first)
    with pytest.raises(chunkkv.InvalidArgument, match="BAD_SHAPE"):
        chunkkv.PagedRows(blocks[0], [0])
    with pytest.raises(chunkkv.InvalidArgument, match="BAD_SHAPE"):
        chunkkv.Layer(k=chunkkv.PagedRows(blocks, [0]), head_major=True)
