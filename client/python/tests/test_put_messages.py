"""What a put sends, as the service sees it."""

import chunkkv
import ml_dtypes
import numpy as np
import pytest
from chunkkv.v1 import compaction_pb2, layout_pb2, payload_pb2, put_pb2
from fake_service import KEYS, NAMED, VALUES
from sample_caches import cache, model, tokens

MODEL = model()
QUERIES, TOKEN_SCORES = payload_pb2.TENSOR_KIND_QUERIES, payload_pb2.TENSOR_KIND_TOKEN_SCORES
SPEC = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.2, window_length=8)


def layers_of(samples, **extra):
    return [chunkkv.Layer(k=k, v=v, queries=queries, **extra) for k, v, queries in samples]


def test_a_put_declares_itself_and_sends_every_row(fake, fake_client):
    samples = cache(20)
    result = fake_client.put(model=MODEL, tokens=tokens(20), layers=layers_of(samples), spec=SPEC, ttl_seconds=1.5,
                             pin_seconds=2, routing_key="r")
    put, = fake.puts
    assert put.is_committed and result.entry_id == b"e" * 16
    begin = put.begin
    assert chunkkv.ModelIdentity.from_wire(begin.model) == MODEL
    assert (begin.token_count, begin.ttl_ms, begin.pin_ms, begin.routing_key) == (20, 1500, 2000, "r")
    assert begin.order == put_pb2.Begin.LAYER_MAJOR and begin.send_mode == put_pb2.Begin.SEND_ALL
    assert begin.scores.source == compaction_pb2.SCORE_SOURCE_QUERY_WINDOW
    assert begin.scores.dtype == layout_pb2.DTYPE_F32 and not begin.scores.lse
    assert begin.prompt.key == chunkkv.PromptKey.of_tokens(tokens(20)).key and begin.prompt.token_count == 20
    assert len(begin.layout) == 1 and begin.layout[0].layer_count == 3
    assert begin.layout[0].attention.query_head_count == 4
    for layer, (k, v, queries) in enumerate(samples):
        assert put.tensors[layer, KEYS, ""] == k.tobytes()
        assert put.tensors[layer, VALUES, ""] == v.tobytes()
        assert put.tensors[layer, QUERIES, ""] == queries.tobytes()


def test_parts_are_about_a_mebibyte_and_in_layer_order(fake, fake_client):
    k = np.arange(700_000, dtype=np.float32).reshape(7000, 2, 50)
    fake_client.put(model=MODEL, tokens=tokens(7000), layers=[chunkkv.Layer(k=k, v=k), chunkkv.Layer(k=k, v=k)],
                    spec=chunkkv.CompactionSpec(policy="full"))
    parts = fake.puts[0].parts
    assert [part[0] for part in parts] == sorted(part[0] for part in parts)
    sizes = [(end - begin) * 400 for _, _, _, begin, end in parts]
    assert max(sizes) <= 1 << 20 and len(parts) == 4 * 3
    assert fake.puts[0].tensors[1, VALUES, ""] == k.tobytes()


@pytest.mark.parametrize("dtype,number", [
    (np.float32, layout_pb2.DTYPE_F32), (np.float16, layout_pb2.DTYPE_F16), (ml_dtypes.bfloat16, layout_pb2.DTYPE_BF16),
    (ml_dtypes.float8_e4m3fn, layout_pb2.DTYPE_F8_E4M3), (ml_dtypes.float8_e5m2, layout_pb2.DTYPE_F8_E5M2)])
def test_dtypes_are_declared_and_sent_as_they_are(fake, fake_client, dtype, number):
    (k, v, _), = cache(5, dtype, layers=1)
    fake_client.put(model=MODEL, tokens=tokens(5), layers=[chunkkv.Layer(k=k, v=v)],
                    spec=chunkkv.CompactionSpec(policy="full"))
    put, = fake.puts
    assert put.begin.layout[0].attention.dtype == number
    assert put.tensors[0, KEYS, ""] == k.tobytes()


def test_strided_and_head_major_arrays_are_sent_token_major(fake, fake_client):
    (k, v, _), = cache(9, layers=1)
    head_major = chunkkv.Layer(k=np.ascontiguousarray(k.transpose(1, 0, 2)), v=v.transpose(1, 0, 2), head_major=True)
    wide = np.zeros((9, 2, 16), np.float32)
    wide[..., ::2] = k
    fake_client.put(model=MODEL, tokens=tokens(9), layers=[head_major, chunkkv.Layer(k=wide[..., ::2], v=v)],
                    spec=chunkkv.CompactionSpec(policy="full"))
    for layer in range(2):
        assert fake.puts[0].tensors[layer, KEYS, ""] == k.tobytes()
        assert fake.puts[0].tensors[layer, VALUES, ""] == v.tobytes()


def test_only_leaders_send_what_is_scored(fake, fake_client):
    spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.2, window_length=8,
                                  groups=[chunkkv.ReuseGroup(0, 2, 1), chunkkv.ReuseGroup(2, 1)])
    fake_client.put(model=MODEL, tokens=tokens(20), layers=layers_of(cache(20)), spec=spec)
    assert sorted(layer for layer, kind, _ in fake.puts[0].tensors if kind == QUERIES) == [1, 2]


def test_of_a_longer_window_the_last_queries_are_sent(fake, fake_client):
    samples = cache(20, window=12)
    lse = np.arange(48, dtype=np.float32).reshape(12, 4)
    fake_client.put(model=MODEL, tokens=tokens(20), layers=layers_of(samples, lse=lse), spec=SPEC)
    put, = fake.puts
    assert put.begin.scores.lse
    assert put.tensors[0, QUERIES, ""] == samples[0][2][-8:].tobytes()
    assert put.tensors[0, payload_pb2.TENSOR_KIND_LSE, ""] == lse[-8:].tobytes()


def test_attention_is_cut_to_the_window(fake, fake_client):
    attention = np.random.default_rng(0).random((4, 10, 20), np.float32)
    (k, v, _), = cache(20, layers=1)
    fake_client.put(model=MODEL, tokens=tokens(20), layers=[chunkkv.Layer(k=k, v=v, attention=attention)], spec=SPEC)
    sent = fake.puts[0].tensors[0, payload_pb2.TENSOR_KIND_ATTENTION, ""]
    assert sent == np.ascontiguousarray(attention[:, -8:]).tobytes()


def test_a_policy_without_scores_sends_none(fake, fake_client):
    fake_client.put(model=MODEL, tokens=tokens(20), layers=layers_of(cache(20)),
                    spec=chunkkv.CompactionSpec(policy="full"))
    put, = fake.puts
    assert not put.begin.HasField("scores") and not any(kind == QUERIES for _, kind, _ in put.tensors)


def test_unlike_layers_make_runs(fake, fake_client):
    samples = cache(6)
    rope = chunkkv.Rope.of_theta(10000, 8)
    layers = [chunkkv.Layer(k=samples[0][0], v=samples[0][1]), chunkkv.VerbatimLayer({"state": b"abc", "conv": b""}),
              chunkkv.Layer(k=samples[1][0], v=samples[1][1], softcap=30.0, sink_logits=[1, 2, 3, 4],
                            query_head_count=4),
              chunkkv.Layer(k=samples[2][0].astype(np.float16), scale=0.5)]
    fake_client.put(model=MODEL, tokens=tokens(6), layers=layers, spec=chunkkv.CompactionSpec(policy="full"), rope=rope)
    put, = fake.puts
    runs = put.begin.layout
    assert [(run.first_layer, run.layer_count) for run in runs] == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert [tensor.name for tensor in runs[1].verbatim.tensors] == ["state", "conv"]
    assert put.tensors[1, NAMED, "state"] == b"abc"
    assert runs[2].attention.softcap == 30 and list(runs[2].attention.sink_logits) == [1, 2, 3, 4]
    assert runs[3].attention.value_head_size == 0 and runs[3].attention.scale == 0.5
    assert runs[0].attention.rope.rotary_dims == 8 and runs[0].attention.rope.inv_freq[1] == 10000 ** (-2 / 8)


def test_select_then_send_sends_scores_first_and_then_kept_rows(fake, fake_client):
    samples = cache(20)
    scores = [np.full(12, layer, np.float32) for layer in range(3)]
    layers = [chunkkv.Layer(k=k, v=v, token_scores=score) for (k, v, _), score in zip(samples, scores)]
    fake.selections = [[0, 5, 19], [1, 2, 3, 19], [4, 19]]
    fake_client.put(model=MODEL, tokens=tokens(20), layers=layers, spec=SPEC, select_then_send=True)
    put, = fake.puts
    assert put.begin.send_mode == put_pb2.Begin.SELECT_THEN_SEND and put.begin.order == put_pb2.Begin.ANY
    assert [part[1] for part in put.parts[:3]] == [TOKEN_SCORES] * 3
    for layer, (k, v, _) in enumerate(samples):
        assert put.tensors[layer, TOKEN_SCORES, ""] == scores[layer].tobytes()
        assert put.tensors[layer, KEYS, ""] == k[fake.selections[layer]].tobytes()
        assert put.tensors[layer, VALUES, ""] == v[fake.selections[layer]].tobytes()
    assert {part[2] for part in put.parts[3:]} == {payload_pb2.RANGE_KIND_KEPT_ROWS}


def test_select_then_send_needs_scores_that_stand_alone(fake, fake_client):
    with pytest.raises(chunkkv.InvalidArgument, match="SCORE_SOURCES"):
        fake_client.put(model=MODEL, tokens=tokens(20), layers=layers_of(cache(20)), spec=SPEC, select_then_send=True)


def test_external_positions_are_sent_before_their_rows(fake, fake_client):
    samples = [(k[:4], v[:4]) for k, v, _ in cache(20)]
    fake_client.put(model=MODEL, tokens=tokens(20), layers=[chunkkv.Layer(k=k, v=v) for k, v in samples],
                    positions=[1, 5, 7, 19], spec=chunkkv.CompactionSpec(policy="external", label="mine"),
                    keys_contiguous=True, next_position=4)
    put, = fake.puts
    assert put.positions == {group: [1, 5, 7, 19] for group in range(3)}
    assert list(put.begin.group_row_counts) == [4, 4, 4]
    assert put.begin.keys_contiguous and put.begin.next_position == 4 and put.begin.token_count == 20
    assert {part[2] for part in put.parts} == {payload_pb2.RANGE_KIND_KEPT_ROWS}


def test_an_entry_that_is_stored_already_is_not_sent(fake, fake_client):
    fake.already_stored = True
    result = fake_client.put(model=MODEL, tokens=tokens(20), layers=layers_of(cache(20)), spec=SPEC)
    assert result.already_stored and result.entry_id == b"e" * 16 and result.stored_bytes == 5
    assert result.variant == chunkkv.variant_of(SPEC) and fake.puts[0].parts == []


def test_a_session_takes_layers_one_by_one(fake, fake_client):
    samples = cache(20)
    with fake_client.open_put(model=MODEL, tokens=tokens(20), spec=SPEC) as session:
        for layer in layers_of(samples):
            session.send_layer(layer)
        assert not fake.puts[0].is_committed
        assert session.commit().entry_id == b"e" * 16
    assert fake.puts[0].begin.layout[0].layer_count == 3
    assert fake.puts[0].tensors[2, KEYS, ""] == samples[2][0].tobytes()


def test_a_session_with_a_layout_knows_at_once_that_the_entry_is_stored(fake, fake_client):
    fake.already_stored = True
    run = chunkkv.AttentionRun(3, 2, 8, 4, np.float32, query_head_count=4)
    with fake_client.open_put(model=MODEL, tokens=tokens(20), spec=SPEC, layout=[run],
                              scores=chunkkv.ScoreDeclaration("queries")) as session:
        assert session.already_stored
        assert session.commit().already_stored


def test_a_session_left_without_commit_is_cancelled(fake, fake_client):
    with fake_client.open_put(model=MODEL, tokens=tokens(20), spec=SPEC) as session:
        session.send_layer(layers_of(cache(20))[0])
    assert not fake.puts[0].is_committed


def test_layers_that_differ_from_what_was_declared_are_refused(fake, fake_client):
    (k, v, queries), *_ = cache(20)
    for wrong in (chunkkv.Layer(k=k[:19], v=v[:19], queries=queries), chunkkv.Layer(k=v, v=k, queries=queries),
                  chunkkv.Layer(k=k.astype(np.float16), v=v, queries=queries), chunkkv.VerbatimLayer({"a": b"b"})):
        with fake_client.open_put(model=MODEL, tokens=tokens(20), spec=SPEC) as session:
            session.send_layer(chunkkv.Layer(k=k, v=v, queries=queries))
            with pytest.raises(chunkkv.InvalidArgument, match="LAYOUT"):
                session.send_layer(wrong)


@pytest.mark.parametrize("make", [
    lambda k, v, q: chunkkv.Layer(k=k[0], v=v),
    lambda k, v, q: chunkkv.Layer(k=k, v=v[:5]),
    lambda k, v, q: chunkkv.Layer(k=k, v=v, queries=q, token_scores=np.zeros(12)),
    lambda k, v, q: chunkkv.Layer(k=k, v=v, lse=np.zeros((8, 4))),
    lambda k, v, q: chunkkv.Layer(k=k, v=v, queries=q[0])])
def test_layers_of_a_wrong_shape_are_refused(make):
    with pytest.raises(chunkkv.InvalidArgument):
        make(*cache(20, layers=1)[0])


def test_what_cannot_be_sent_is_refused_before_anything_is(fake, fake_client):
    samples = cache(20)
    full = chunkkv.CompactionSpec(policy="full")
    wide = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.5, window_length=9)
    for reason, arguments in {
            "PROMPT": {"spec": full, "tokens": None},
            "TOKEN_COUNT": {"spec": full, "tokens": tokens(21)},
            "EMPTY_LAYOUT": {"spec": full, "layers": []},
            "BAD_DTYPE": {"spec": full, "layers": [chunkkv.Layer(k=samples[0][0].astype(np.float64))]},
            "POSITIONS": {"spec": chunkkv.CompactionSpec(policy="external", label="x")},
            "BAD_NUMBER": {"spec": full, "ttl_seconds": -1},
            "WINDOW_TOO_SHORT": {"spec": wide}}.items():
        with pytest.raises(chunkkv.InvalidArgument) as caught:
            fake_client.put(**{"model": MODEL, "tokens": tokens(20), "layers": layers_of(samples), **arguments})
        assert caught.value.reason == reason
    assert not any(put.is_committed for put in fake.puts)


async def test_an_asyncio_put_sends_the_same(fake):
    samples = cache(20)
    async with chunkkv.AsyncClient(fake.address) as client:
        await client.put(model=MODEL, tokens=tokens(20), layers=layers_of(samples), spec=SPEC)
        async with client.open_put(model=MODEL, tokens=tokens(20), spec=SPEC) as session:
            for layer in layers_of(samples):
                await session.send_layer(layer)
            await session.commit()
    whole, by_layer = fake.puts
    assert whole.tensors == by_layer.tensors and whole.begin == by_layer.begin and by_layer.is_committed
