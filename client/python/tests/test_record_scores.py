"""Token scores of puts, recorded from the real server."""

import chunkkv
import numpy as np
import pytest
from chunkkv._record import RecordReader
from chunkkv.v1 import scores_pb2
from sample_caches import cache, model, tokens

LENGTH, WINDOW = 120, 32
SPEC = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.5)


def scores_of(layer_count, seed=0):
    return np.random.default_rng(seed).random((layer_count, LENGTH - WINDOW), np.float32)


def layers(scores):
    return [chunkkv.Layer(k=k, v=v, token_scores=row) for (k, v, _), row in zip(cache(LENGTH), scores, strict=True)]


def test_scores_are_those_that_the_puts_were_made_from(client):
    name, count = model("record"), len(cache(LENGTH))
    first, second = scores_of(count, 1), scores_of(count, 2)
    with client.record_scores(model=name, puts=2, timeout=60) as recording:
        client.put(model=name, tokens=tokens(LENGTH), layers=layers(first), spec=SPEC)
        client.put(model=name, tokens=tokens(LENGTH) + 1, layers=layers(second), spec=SPEC)
        puts = list(recording)
    assert [put.token_count for put in puts] == [LENGTH, LENGTH] and puts[0].spec == SPEC
    assert puts[0].layers == tuple(range(count))
    assert np.array_equal(puts[0].token_scores, first) and np.array_equal(puts[1].token_scores, second)


def test_puts_that_score_leaders_only_are_counted(client):
    name, count = model("record leaders"), len(cache(LENGTH))
    pairs = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.5, reuse_group=2)
    with client.record_scores(model=name, puts=1, timeout=60) as recording:
        client.put(model=name, tokens=tokens(LENGTH), layers=layers(scores_of(count)), spec=pairs)
        client.put(model=name, tokens=tokens(LENGTH), layers=layers(scores_of(count)), spec=SPEC)
        assert next(recording).spec == SPEC
        assert recording.skipped == chunkkv.SkippedPuts(unscored=1)


def test_puts_of_what_is_stored_are_counted(client):
    name, scores = model("record stored"), scores_of(len(cache(LENGTH)))
    client.put(model=name, tokens=tokens(LENGTH), layers=layers(scores), spec=SPEC)
    with client.record_scores(model=name, puts=1, timeout=60) as recording:
        assert client.put(model=name, tokens=tokens(LENGTH), layers=layers(scores), spec=SPEC).already_stored
        client.put(model=name, tokens=tokens(LENGTH) + 1, layers=layers(scores), spec=SPEC)
        next(recording)
        assert recording.skipped == chunkkv.SkippedPuts(already_stored=1)


def test_an_unknown_model_is_refused(client):
    with pytest.raises(chunkkv.InvalidArgument) as caught:
        client.record_scores(model=bytes(32), puts=1, timeout=60)
    assert caught.value.reason == "MODEL_MISSING"


async def test_scores_are_recorded_by_asyncio_too(server_address):
    name, scores = model("record async"), scores_of(len(cache(LENGTH)))
    async with chunkkv.AsyncClient(server_address) as client:
        async with client.record_scores(model=name, puts=1, timeout=60) as recording:
            await client.put(model=name, tokens=tokens(LENGTH), layers=layers(scores), spec=SPEC)
            puts = [put async for put in recording]
    assert len(puts) == 1 and np.array_equal(puts[0].token_scores, scores)


def messages(*layer_bytes):
    reply = scores_pb2.RecordScoresResponse
    yield reply(put=reply.RecordedPut(layer_count=2, score_count=3, token_count=5))
    for layer, begin, data in layer_bytes:
        yield reply(layer=reply.RecordedLayer(layer=layer, begin=begin, token_scores=data))


@pytest.mark.parametrize("layer_bytes", [[(1, 0, bytes(12))], [(0, 0, bytes(4)), (0, 2, bytes(4))],
                                         [(0, 0, bytes(12)), (1, 0, bytes(16))], [(0, 0, bytes(5))]],
                         ids=["a layer is missing", "a gap", "too many", "half a number"])
def test_scores_out_of_turn_are_data_loss(layer_bytes):
    reader = RecordReader()
    with pytest.raises(chunkkv.DataLoss):
        for message in messages(*layer_bytes):
            reader.feed(message)


def test_an_end_in_the_middle_is_data_loss():
    reader = RecordReader()
    with pytest.raises(chunkkv.DataLoss):
        reader.finish()
    reader.feed(scores_pb2.RecordScoresResponse(recording=scores_pb2.RecordScoresResponse.Recording()))
    reader.finish()
    for message in messages((0, 0, bytes(12))):
        reader.feed(message)
    with pytest.raises(chunkkv.DataLoss):
        reader.finish()
