"""Gets into a region of a server that says what it should not."""

import mmap

import chunkkv
import numpy as np
import pytest
from chunkkv._get import GetReader
from chunkkv._places import rest_of
from chunkkv._requests import get_call
from chunkkv.regions import Arena
from chunkkv.v1 import get_pb2, payload_pb2
from fake_service import KEYS, VALUES, entry_messages
from sample_caches import LAYERS, cache, model, tokens

LENGTH = 20
KEY_BYTES, VALUE_BYTES = LENGTH * 2 * 8 * 4, LENGTH * 2 * 4 * 4


@pytest.fixture
def arena():
    return Arena(mmap.mmap(-1, 1 << 16), b"r" * 16)


@pytest.fixture
def samples():
    return [(k, v) for k, v, _ in cache(LENGTH)]


@pytest.fixture
def call():
    return get_call(model=model(), tokens=tokens(LENGTH))


def laid_out(first=128):
    """Places as a server lays tensors out."""
    places, offset = [], first
    for layer in range(LAYERS):
        for kind, size in ((KEYS, KEY_BYTES), (VALUES, VALUE_BYTES)):
            places.append(get_pb2.TensorPlace(layer=layer, tensor=kind, offset_bytes=offset, size_bytes=size))
            offset += size
    return places


def messages(call, samples, places):
    header, *rest = entry_messages(model(), call.expected.key, samples, token_count=LENGTH)
    header.header.places.extend(places)
    ends = [message for message in rest if message.HasField("layer_end")]
    return header, ends


def written(layer):
    return get_pb2.GetCacheResponse(written=get_pb2.Written(layer=layer))


def fill(arena, samples, places):
    arrays = [array for pair in samples for array in pair]
    for place, array in zip(places, arrays, strict=True):
        arena.view(place.offset_bytes, array.shape, array.dtype)[...] = array


def test_the_layers_are_arrays_of_the_region(arena, samples, call):
    arena.array(100, np.uint8)
    with rest_of(arena) as rest:
        assert rest.target.whole == payload_pb2.RegionSlice(
            region_id=b"r" * 16, offset_bytes=128, length_bytes=(1 << 16) - 128)
        reader = GetReader(call.expected, rest)
        header, ends = messages(call, samples, laid_out())
        reader.feed(header.SerializeToString())
    assert arena.used_bytes == 128 + LAYERS * (KEY_BYTES + VALUE_BYTES)
    fill(arena, samples, laid_out())
    for layer, end in enumerate(ends):
        assert reader.feed(written(layer).SerializeToString()) is None
        done = reader.feed(end.SerializeToString())
        assert done.index == layer and np.array_equal(done.k, samples[layer][0])
        assert np.shares_memory(done.k, arena.view(0, (1 << 16,), np.dtype(np.uint8)))
    reader.finish()


def moved(index, offset):
    places = laid_out()
    places[index].offset_bytes += offset
    return places


def resized(index, size):
    places = laid_out()
    places[index].size_bytes += size
    return places


@pytest.mark.parametrize("places", [
    [], laid_out()[:-1], laid_out(first=0), moved(1, -64), moved(2, 4), moved(5, 1 << 16), moved(0, -(1 << 40)),
    resized(5, 1 << 16), resized(5, -4), resized(5, -(1 << 20)), resized(0, -KEY_BYTES)],
    ids=["none", "one missing", "before", "overlapping", "unaligned", "past the end", "negative", "too long", "short",
         "negative size", "empty"])
def test_places_that_cannot_be(arena, samples, call, places):
    arena.array(100, np.uint8)
    with pytest.raises(chunkkv.DataLoss, match="MALFORMED_REPLY"), rest_of(arena) as rest:
        reader = GetReader(call.expected, rest)
        header, ends = messages(call, samples, places)
        reader.feed(header.SerializeToString())
        for layer, end in enumerate(ends):
            fill(arena, samples, laid_out())
            reader.feed(written(layer).SerializeToString())
            reader.feed(end.SerializeToString())


def test_what_was_not_laid_out_is_given_back(arena):
    arena.array(100, np.uint8)
    with pytest.raises(RuntimeError), rest_of(arena):
        with pytest.raises(chunkkv.ResourceExhausted, match="REGION_FULL"):
            arena.array(1, np.uint8)
        raise RuntimeError
    assert arena.array((1 << 16) - 128, np.uint8).nbytes == (1 << 16) - 128


@pytest.mark.parametrize("fault,reason", [
    ("not written", "INCOMPLETE_REPLY"), ("out of order", "MALFORMED_REPLY"), ("other bytes", "TENSOR_DIGEST"),
    ("inline", "MALFORMED_REPLY")])
def test_layers_that_are_not_right(arena, samples, call, fault, reason):
    with rest_of(arena) as rest:
        reader = GetReader(call.expected, rest)
        header, ends = messages(call, samples, laid_out())
        reader.feed(header.SerializeToString())
    fill(arena, samples, laid_out())
    if fault == "other bytes":
        arena.view(laid_out()[1].offset_bytes, (1,), np.dtype(np.uint8))[0] ^= 1
    part = list(entry_messages(model(), call.expected.key, samples, token_count=LENGTH))[1]
    with pytest.raises(chunkkv.DataLoss) as caught:
        if fault == "inline":
            reader.feed(part.SerializeToString())
        if fault != "not written":
            reader.feed(written(1 if fault == "out of order" else 0).SerializeToString())
        reader.feed(ends[0].SerializeToString())
    assert caught.value.reason == reason


def test_written_is_for_gets_into_regions(samples, call):
    reader = GetReader(call.expected)
    reader.feed(next(entry_messages(model(), call.expected.key, samples, token_count=LENGTH)).SerializeToString())
    with pytest.raises(chunkkv.DataLoss, match="MALFORMED_REPLY"):
        reader.feed(written(0).SerializeToString())


def test_a_mapped_get_has_a_header_alone(samples, call):
    first, second, *_ = entry_messages(model(), call.expected.key, samples, token_count=LENGTH)
    reader = GetReader(call.expected, is_mapped=True)
    reader.feed(first.SerializeToString())
    reader.finish()
    with pytest.raises(chunkkv.DataLoss, match="MALFORMED_REPLY"):
        _ = reader.mapping
    with pytest.raises(chunkkv.DataLoss, match="MALFORMED_REPLY"):
        reader.feed(second.SerializeToString())


@pytest.mark.parametrize("fault", ["missing", "past the end", "negative", "unaligned", "other bytes", None])
def test_tensors_outside_of_a_mapping(samples, call, fault):
    places, memory = laid_out(first=0), np.concatenate([array.reshape(-1) for pair in samples for array in pair])
    memory = np.frombuffer(bytearray(memory.tobytes()), np.uint8)
    if fault == "missing":
        del places[3]
    elif fault == "other bytes":
        memory[5] ^= 1
    elif fault:
        places[3].offset_bytes = {"past the end": len(memory) - 4, "negative": -4, "unaligned": 2}[fault]
    header, _ = messages(call, samples, [])
    header.header.mapping.tensors.extend(places)
    reader = GetReader(call.expected, is_mapped=True)
    reader.feed(header.SerializeToString())
    if fault is None:
        layers = reader.layers_of_mapping(memory, verify=True)
        assert all(np.array_equal(layer.v, v) for layer, (_, v) in zip(layers, samples, strict=True))
        return
    with pytest.raises(chunkkv.DataLoss) as caught:
        reader.layers_of_mapping(memory, verify=True)
    assert caught.value.reason == ("TENSOR_DIGEST" if fault == "other bytes" else "MALFORMED_REPLY")
