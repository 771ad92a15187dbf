"""Put and get through the real server."""

import time

import chunkkv
import ml_dtypes
import numpy as np
import pytest
from sample_caches import KEY_SIZE, cache, model, same_bytes, tokens

LENGTH, WINDOW = 100, 8


def layers_of(samples, source="queries"):
    random = np.random.default_rng(7)
    layers = []
    for k, v, queries in samples:
        given = {"queries": queries}
        if source == "queries_lse":
            logits = np.einsum("ihd,jhd->ihj", queries.astype(np.float64), np.repeat(k, 2, axis=1)) / KEY_SIZE ** 0.5
            hidden = np.arange(LENGTH)[None, :] > LENGTH - WINDOW + np.arange(WINDOW)[:, None]
            logits[np.broadcast_to(hidden[:, None, :], logits.shape)] = -np.inf
            given["lse"] = np.log(np.exp(logits).sum(-1)).astype(np.float32)
        elif source == "attention":
            attention = random.random((4, WINDOW, LENGTH), np.float32)
            given = {"attention": attention / attention.sum(-1, keepdims=True)}
        elif source == "token_scores":
            given = {"token_scores": random.random(LENGTH - WINDOW, np.float32)}
        elif source is None:
            given = {}
        layers.append(chunkkv.Layer(k=k, v=v, **given))
    return layers


def assert_rows_are_the_inputs(entry, samples):
    for layer, (k, v, _) in zip(entry.layers, samples, strict=True):
        assert same_bytes(layer.k, k[layer.positions]) and same_bytes(layer.v, v[layer.positions])
        assert (np.diff(layer.positions) > 0).all() and layer.positions.dtype == np.int32


SPECS = [
    ("full", None, {}), ("chunk_kv", "queries", {}), ("chunk_kv", "queries_lse", {"chunk_reduce": "mean"}),
    ("chunk_kv", "attention", {"chunk_length": 4}), ("chunk_kv", "token_scores", {"chunk_reduce": "max"}),
    ("chunk_kv", "queries", {"chunk_starts": [0, 3, 30, 31, 90]}),
    ("chunk_kv", "queries", {"sink_tokens": 2, "pool": 3}),
    ("chunk_kv", "queries", {"reuse_group": 2}), ("chunk_kv", "queries", {"reuse_group": 3, "group_score": "sum"}),
    ("chunk_kv", "queries", {"budget_multiple": 16}), ("snap_kv", "queries", {}), ("snap_kv", "attention", {}),
    ("h2o", "token_scores", {}), ("h2o", "queries", {"recent_ratio": 0.6}), ("streaming_llm", None, {})]


@pytest.mark.parametrize("policy,source,fields", SPECS)
def test_kept_rows_come_back_bit_for_bit(client, request, policy, source, fields):
    samples = cache(LENGTH)
    if policy != "full":
        fields = {"keep_ratio": 0.3, "window_length": WINDOW, **fields}
    spec = chunkkv.CompactionSpec(policy=policy, **fields)
    name = model(request.node.name)
    result = client.put(model=name, tokens=tokens(LENGTH), layers=layers_of(samples, source), spec=spec)
    entry = client.get(model=name, tokens=tokens(LENGTH), spec=spec)
    budget = LENGTH if policy == "full" else 32 if "budget_multiple" in fields else 30
    assert result.budget == budget and all(len(layer.positions) == budget for layer in entry.layers)
    assert_rows_are_the_inputs(entry, samples)
    assert (result.fingerprint, result.variant) == (name.fingerprint(), chunkkv.variant_of(spec))
    assert (entry.entry_id, entry.entry_digest) == (result.entry_id, result.entry_digest)
    assert (entry.original_length, entry.next_position, entry.spec) == (LENGTH, LENGTH, spec)
    assert entry.retained_mass == result.retained_mass and not result.already_stored
    groups = -(-3 // fields.get("reuse_group", 1))
    scored = 0 if source is None else 3 if fields.get("group_score") == "sum" else groups
    assert len(result.retained_mass) == scored and all(0 < mass <= 1 for mass in result.retained_mass)
    assert len(result.adjacent_jaccard) == groups - 1 or policy == "full"
    if policy != "full":
        assert all(layer.positions[-1] == LENGTH - 1 for layer in entry.layers)
        with pytest.raises(chunkkv.NotFound):
            client.get(model=name, tokens=tokens(LENGTH))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn,
                                   ml_dtypes.float8_e5m2])
def test_every_dtype_keeps_its_bits(client, dtype):
    samples = cache(LENGTH, dtype)
    scales = [np.random.default_rng(layer).random((LENGTH, 2, 1), np.float32) for layer in range(3)]
    is_fp8 = np.dtype(dtype).itemsize == 1
    spec = chunkkv.CompactionSpec(policy="streaming_llm" if is_fp8 else "snap_kv", max_tokens=20, window_length=WINDOW)
    layers = [chunkkv.Layer(k=k, v=v, **({"k_scale": scale, "v_scale": -scale} if is_fp8 else {"queries": queries}))
              for (k, v, queries), scale in zip(samples, scales)]
    name = model("dtypes", np.dtype(dtype).name)
    client.put(model=name, tokens=tokens(LENGTH), layers=layers, spec=spec)
    entry = client.get(model=name, tokens=tokens(LENGTH), spec=spec)
    assert_rows_are_the_inputs(entry, samples)
    assert entry.budget == 20
    for layer, scale in zip(entry.layers, scales, strict=True):
        assert (layer.k_scale is None) == (not is_fp8)
        if is_fp8:
            assert same_bytes(layer.k_scale, scale[layer.positions])
            assert same_bytes(layer.v_scale, -scale[layer.positions])


def test_a_short_prompt_is_kept_whole(client):
    samples = cache(5)
    spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.1, window_length=WINDOW)
    layers = [chunkkv.Layer(k=k, v=v, queries=queries) for k, v, queries in samples]
    result = client.put(model=model("short"), tokens=tokens(5), layers=layers, spec=spec)
    assert result.compaction.budget_changes[-1] == "everything_kept"
    assert_rows_are_the_inputs(client.get(model=model("short"), tokens=tokens(5), spec=spec), samples)


def test_many_parts_of_a_large_entry_come_back(client):
    random = np.random.default_rng(0)
    k, v = (random.integers(0, 256, (3000, 8, 256), np.uint8).view(np.float16) for _ in range(2))
    name = chunkkv.ModelIdentity(name="large", revision="1", kv_dtype="f16", layer_count=2, kv_head_count=8,
                                 key_head_size=128, value_head_size=128)
    full = chunkkv.CompactionSpec(policy="full")
    client.put(model=name, tokens=tokens(3000), layers=[chunkkv.Layer(k=k, v=v), chunkkv.Layer(k=v, v=k)], spec=full)
    entry = client.get(model=name, tokens=tokens(3000))
    assert same_bytes(entry.layers[0].k, k) and same_bytes(entry.layers[1].k, v)


@pytest.mark.parametrize("source", ["attention", "token_scores"])
def test_select_then_send_keeps_what_send_all_keeps(client, source):
    samples = cache(LENGTH)
    entries = []
    for select in (False, True):
        name = model(f"select {source} {select}")
        spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.25, window_length=WINDOW, reuse_group=2)
        result = client.put(model=name, tokens=tokens(LENGTH), layers=layers_of(samples, source), spec=spec,
                            select_then_send=select)
        entries.append(client.get(model=name, tokens=tokens(LENGTH), spec=spec))
        assert_rows_are_the_inputs(entries[-1], samples)
    assert entries[0].entry_digest == entries[1].entry_digest
    assert result.received_bytes < 0.6 * sum(k.nbytes + v.nbytes for k, v, _ in samples) + 3 * 4 * WINDOW * LENGTH * 4


@pytest.mark.parametrize("fields", [{}, {"min_retained_mass": 0.01, "on_low_mass": "keep_full"}, {"reuse_group": 3}])
def test_select_then_send_layer_by_layer(client, request, fields):
    samples = cache(LENGTH)
    name = model(request.node.name)
    spec = chunkkv.CompactionSpec(policy="snap_kv", keep_ratio=0.25, window_length=WINDOW, **fields)
    with client.open_put(model=name, tokens=tokens(LENGTH), spec=spec, select_then_send=True) as session:
        for layer in layers_of(samples, "token_scores"):
            session.send_layer(layer)
        session.commit()
    assert_rows_are_the_inputs(client.get(model=name, tokens=tokens(LENGTH), spec=spec), samples)


def test_select_then_send_with_nothing_to_score(client):
    samples = cache(LENGTH)
    spec = chunkkv.CompactionSpec(policy="streaming_llm", keep_ratio=0.2)
    client.put(model=model("select recent"), tokens=tokens(LENGTH), layers=layers_of(samples, None), spec=spec,
               select_then_send=True)
    entry = client.get(model=model("select recent"), tokens=tokens(LENGTH), spec=spec)
    assert entry.budget == 36  # 32 of the window, 4 sinks
    assert_rows_are_the_inputs(entry, samples)


def test_external_rows_may_differ_in_number(client):
    samples = cache(LENGTH)
    positions = [np.array([0, 5, 99]), np.arange(50), np.array([7])]
    layers = [chunkkv.Layer(k=k[kept], v=v[kept]) for (k, v, _), kept in zip(samples, positions)]
    spec = chunkkv.CompactionSpec(policy="external", label="mine")
    client.put(model=model("external"), tokens=tokens(LENGTH), layers=layers, spec=spec, positions=positions)
    entry = client.get(model=model("external"), tokens=tokens(LENGTH), spec=spec)
    assert [layer.positions.tolist() for layer in entry.layers] == [kept.tolist() for kept in positions]
    assert_rows_are_the_inputs(entry, samples)
    assert entry.policy_applied == "external" and entry.spec.label == "mine"


def test_external_rows_may_be_contiguous_and_hold_generated_tokens(client):
    samples = cache(LENGTH)
    kept = np.arange(10, 30)
    spec = chunkkv.CompactionSpec(policy="external", label="grown", reuse_group=3)
    client.put(model=model("grown"), tokens=tokens(LENGTH), positions=kept, keys_contiguous=True, next_position=20,
               layers=[chunkkv.Layer(k=k[kept], v=v[kept]) for k, v, _ in samples], spec=spec)
    entry = client.get(model=model("grown"), tokens=tokens(LENGTH), spec=spec, positions="contiguous")
    assert_rows_are_the_inputs(entry, samples)
    assert entry.next_position == 20 and len(entry.groups) == 1
    assert client.describe(model=model("grown"), tokens=tokens(LENGTH), spec=spec).keys_contiguous


def test_verbatim_layers_are_served_byte_for_byte(client):
    samples = cache(LENGTH, layers=2)
    state = np.random.default_rng(0).standard_normal((300, 1000)).astype(np.float32)
    layers = layers_of(samples)
    layers.insert(1, chunkkv.VerbatimLayer({"state": state, "conv": b"\x00\x01\x02"}))
    spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.2, window_length=WINDOW)
    client.put(model=model("hybrid"), tokens=tokens(LENGTH), layers=layers, spec=spec)
    entry = client.get(model=model("hybrid"), tokens=tokens(LENGTH), spec=spec)
    assert entry.layers[1].tensors["state"].tobytes() == state.tobytes()
    assert entry.layers[1].tensors["conv"].tobytes() == b"\x00\x01\x02" and entry.layers[1].k is None
    for layer, (k, _, _) in zip((entry.layers[0], entry.layers[2]), samples, strict=True):
        assert same_bytes(layer.k, k[layer.positions])


def test_layers_without_values(client):
    samples = cache(LENGTH)
    name = chunkkv.ModelIdentity(name="latent", revision="1", kv_dtype="f32", layer_count=3, kv_head_count=2,
                                 key_head_size=8, value_head_size=0)
    client.put(model=name, tokens=tokens(LENGTH), layers=[chunkkv.Layer(k=k) for k, _, _ in samples],
               spec=chunkkv.CompactionSpec(policy="full"))
    entry = client.get(model=name, tokens=tokens(LENGTH))
    for layer, (k, _, _) in zip(entry.layers, samples, strict=True):
        assert layer.v is None and same_bytes(layer.k, k)


@pytest.mark.parametrize("pairing", ["half", "interleaved"])
def test_contiguous_positions_rotate_keys(client, pairing):
    samples = cache(LENGTH)
    rope = chunkkv.Rope.of_theta(10000, KEY_SIZE, pairing)
    spec = chunkkv.CompactionSpec(policy="snap_kv", keep_ratio=0.2, window_length=WINDOW)
    name = model(f"rope {pairing}")
    client.put(model=name, tokens=tokens(LENGTH), layers=layers_of(samples), spec=spec, rope=rope)
    entry = client.get(model=name, tokens=tokens(LENGTH), spec=spec, positions="contiguous")
    assert entry.next_position == 20 and entry.positions_served == "contiguous"
    for layer, (k, v, _) in zip(entry.layers, samples, strict=True):
        angles = (np.arange(20) - layer.positions)[:, None, None] * np.array(rope.inv_freq)
        turned = k[layer.positions].astype(np.float64)
        halves = (slice(4), slice(4, None)) if pairing == "half" else (slice(0, None, 2), slice(1, None, 2))
        first, second = (turned[..., half] for half in halves)
        x, y = first * np.cos(angles) - second * np.sin(angles), second * np.cos(angles) + first * np.sin(angles)
        wanted = np.concatenate([x, y], -1) if pairing == "half" else np.stack([x, y], -1).reshape(turned.shape)
        np.testing.assert_allclose(layer.k, wanted, atol=1e-5)
        assert same_bytes(layer.v, v[layer.positions])


def test_ranges_of_layers_and_tokens(client):
    samples = cache(LENGTH)
    name = model("ranges")
    result = client.put(model=name, tokens=tokens(LENGTH), layers=layers_of(samples, None),
                        spec=chunkkv.CompactionSpec(policy="full"))
    entry = client.get(model=name, tokens=tokens(LENGTH), layers=range(1, 3), tokens_range=range(64, 90),
                       if_entry_id=result.entry_id)
    assert [layer.index for layer in entry.layers] == [1, 2]
    assert entry.layers[0].positions.tolist() == list(range(64, 90))
    assert same_bytes(entry.layers[1].k, samples[2][0][64:90])
    with pytest.raises(chunkkv.OutOfRange):
        client.get(model=name, tokens=tokens(LENGTH), tokens_range=range(64, 101))
    with pytest.raises(chunkkv.OutOfRange):
        client.get(model=name, tokens=tokens(LENGTH), layers=range(0, 4))
    with pytest.raises(chunkkv.NotFound):
        client.get(model=name, tokens=tokens(LENGTH), if_entry_id=bytes(16))


def test_the_least_lossy_of_several_variants(client):
    samples = cache(LENGTH)
    name = model("variants")
    specs = [chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=ratio, window_length=WINDOW) for ratio in (0.1, 0.3)]
    for spec in specs:
        client.put(model=name, tokens=tokens(LENGTH), layers=layers_of(samples), spec=spec)
    assert client.get(model=name, tokens=tokens(LENGTH), accept="least_lossy").budget == 30
    assert client.get(model=name, tokens=tokens(LENGTH), accept=chunkkv.variant_of(specs[0])).budget == 10
    key = chunkkv.PromptKey.of_tokens(tokens(LENGTH)).key
    assert client.get(model=name.fingerprint(), key=key, accept=specs[1]).budget == 30


def test_a_second_put_is_answered_already_stored(client):
    samples = cache(LENGTH)
    put = {"model": model("twice"), "tokens": tokens(LENGTH), "spec": chunkkv.CompactionSpec(policy="full")}
    first = client.put(layers=layers_of(samples, None), **put)
    second = client.put(layers=layers_of(cache(LENGTH, seed=1), None), **put)
    assert second.already_stored and second.entry_id == first.entry_id and second.received_bytes == 0
    assert second.stored_bytes == first.stored_bytes
    run = chunkkv.AttentionRun(3, 2, 8, 4, np.float32)
    with client.open_put(layout=[run], **put) as session:
        assert session.already_stored


def test_millions_of_kept_positions_arrive_in_one_header(client):
    length, count = 30_000, 100
    name = chunkkv.ModelIdentity(name="positions", revision="1", kv_dtype="f16", layer_count=count, kv_head_count=1,
                                 key_head_size=2, value_head_size=0)
    kept = np.arange(1, length)
    layers = [chunkkv.Layer(k=np.full((length - 1, 1, 2), layer, np.float16)) for layer in range(count)]
    spec = chunkkv.CompactionSpec(policy="external", label="nearly all")
    client.put(model=name, tokens=tokens(length), layers=layers, positions=kept, spec=spec)
    entry = client.get(model=name, tokens=tokens(length), spec=spec)
    assert sum(len(group.positions) for group in entry.groups) == count * (length - 1)
    assert entry.layers[9].k[5, 0, 1] == 9


@pytest.mark.parametrize("policy", ["full", "chunk_kv"])
def test_a_declared_content_digest_is_checked_against_what_arrives_and_what_is_stored(client, policy):
    layers = [*layers_of(cache(LENGTH)), chunkkv.VerbatimLayer({"state": b"abc"})]
    spec = chunkkv.CompactionSpec(policy=policy) if policy == "full" else chunkkv.CompactionSpec(
        policy=policy, keep_ratio=0.2, window_length=WINDOW)
    put = {"model": model(f"digest {policy}", layers=4), "tokens": tokens(LENGTH), "spec": spec, "layers": layers}
    with pytest.raises(chunkkv.InvalidArgument, match="CONTENT_DIGEST"):
        client.put(content_digest=bytes(16), **put)
    digest = chunkkv.content_digest_of(layers)
    assert not client.put(content_digest=digest, **put).already_stored
    assert client.put(content_digest=digest, **put).already_stored
    with pytest.raises(chunkkv.AlreadyExists, match="CONTENT_DIFFERS"):
        client.put(content_digest=bytes(16), **put)


def test_keep_full_satisfies_exact(client):
    samples = cache(LENGTH)
    spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.1, window_length=WINDOW, min_retained_mass=1.0,
                                  on_low_mass="keep_full")
    result = client.put(model=model("keep full"), tokens=tokens(LENGTH), layers=layers_of(samples), spec=spec)
    assert result.compaction.policy_applied == "full"
    for accept in ("exact", spec):
        assert_rows_are_the_inputs(client.get(model=model("keep full"), tokens=tokens(LENGTH), accept=accept), samples)


def test_low_mass_fails_with_its_reason_and_stores_nothing(client):
    spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.1, window_length=WINDOW, min_retained_mass=1.0)
    with pytest.raises(chunkkv.FailedPrecondition) as caught:
        client.put(model=model("low"), tokens=tokens(LENGTH), layers=layers_of(cache(LENGTH)), spec=spec)
    assert caught.value.reason == "LOW_RETAINED_MASS"
    with pytest.raises(chunkkv.NotFound):
        client.get(model=model("low"), tokens=tokens(LENGTH), spec=spec)


def test_errors_carry_the_servers_reason(client):
    samples = cache(LENGTH)
    samples[1][2][3, 1, 2] = np.nan
    spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.1, window_length=WINDOW)
    with pytest.raises(chunkkv.InvalidArgument) as caught:
        client.put(model=model("nan"), tokens=tokens(LENGTH), layers=layers_of(samples), spec=spec)
    assert caught.value.reason and caught.value.message
    client.put(model=model("no rope"), tokens=tokens(LENGTH), layers=layers_of(cache(LENGTH)), spec=spec)
    with pytest.raises(chunkkv.FailedPrecondition):
        client.get(model=model("no rope"), tokens=tokens(LENGTH), spec=spec, positions="contiguous")
    with pytest.raises(chunkkv.InvalidArgument, match="BUDGET_BELOW_WINDOW"):
        client.put(model=model("budget"), tokens=tokens(LENGTH), layers=layers_of(cache(LENGTH)),
                   spec=chunkkv.CompactionSpec(policy="chunk_kv", max_tokens=WINDOW - 1, window_length=WINDOW))


def test_streamed_layers_may_be_left_early(client):
    client.put(model=model("early"), tokens=tokens(LENGTH), layers=layers_of(cache(LENGTH), None),
               spec=chunkkv.CompactionSpec(policy="full"))
    with client.get_layers(model=model("early"), tokens=tokens(LENGTH)) as stream:
        assert stream.header.original_length == LENGTH and next(stream).index == 0


def test_a_session_left_without_commit_leaves_nothing(client):
    full = chunkkv.CompactionSpec(policy="full")
    with client.open_put(model=model("left"), tokens=tokens(LENGTH), spec=full) as session:
        session.send_layer(layers_of(cache(LENGTH), None)[0])
    with pytest.raises(chunkkv.NotFound):
        client.get(model=model("left"), tokens=tokens(LENGTH))


@pytest.mark.parametrize("leave", ["session", "stream"])
def test_what_is_left_early_holds_nothing_in_the_server(client, leave):
    name, full = model(f"at rest {leave}"), chunkkv.CompactionSpec(policy="full")
    layer = chunkkv.Layer(k=np.zeros((4096, 2, 8), np.float32), v=np.zeros((4096, 2, 4), np.float32))
    if leave == "session":
        session = client.open_put(model=name, tokens=tokens(4096), spec=full)
        session.send_layer(layer)
        assert client.stats().active_sessions >= 1
        session.cancel()
    else:
        client.put(model=name, tokens=tokens(4096), layers=[layer] * 3, spec=full)
        stream = client.get_layers(model=name, tokens=tokens(4096))
        stream.cancel()
    deadline = time.monotonic() + 10
    while (stats := client.stats()).active_sessions or stats.active_gets or stats.tiers["host"]["staging_bytes"]:
        assert time.monotonic() < deadline, stats
    assert not list(client.list(fingerprint=name.fingerprint())) or leave == "stream"
