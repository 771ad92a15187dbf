"""What a worker keeps itself is stored with policy external, and comes back."""

import chunkkv
import numpy as np
import pytest
from chunkkv import kernels
from kernels_library import kernels_library  # noqa: F401
from sample_caches import cache, model, same_bytes, tokens

TOKENS = 120
CHOICES = {"reuse of 2": {"reuse_group": 2}, "all together": {"reuse_group": 3, "group_score": "sum"},
           "given chunks": {"chunk_starts": [0, 17, 40, 41, 90]},
           "a guardrail": {"min_retained_mass": 0.7, "on_low_mass": "raise_budget"}}


@pytest.mark.parametrize("choice", CHOICES)
def test_external_put_of_what_was_kept(client, choice):
    spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.25, window_length=8, **CHOICES[choice])
    sample = cache(TOKENS, seed=len(choice))
    prompt = tokens(TOKENS, seed=len(choice))
    kept = kernels.compact([kernels.KvLayer(k=k, v=v, queries=queries) for k, v, queries in sample], spec)
    arguments = kept.put_arguments(label=f"worker {choice}")
    stored = client.put(model=model(choice), tokens=prompt, **arguments)
    assert stored.budget == kept.budget and not stored.already_stored
    entry = client.get(model=model(choice), tokens=prompt, spec=arguments["spec"])
    assert entry.original_length == TOKENS
    for layer, wanted in zip(entry.layers, kept.layers):
        assert np.array_equal(layer.positions, wanted.positions)
        assert same_bytes(layer.k, wanted.k) and same_bytes(layer.v, wanted.v)

    # The server, asked for the same, keeps the same.
    layers = [chunkkv.Layer(k=k, v=v, queries=queries) for k, v, queries in sample]
    by_server = client.put(model=model(choice), tokens=prompt, layers=layers, spec=spec)
    assert by_server.budget == kept.budget
    assert by_server.retained_mass == pytest.approx(kept.retained_mass, abs=1e-6)
    entry = client.get(model=model(choice), tokens=prompt, spec=spec)
    for layer, wanted in zip(entry.layers, kept.layers):
        assert same_bytes(layer.k, wanted.k)


def test_contiguous_keys_are_put_as_such(client):
    rope = chunkkv.Rope.of_theta(1e4, 8)
    sample = cache(TOKENS, seed=77)
    prompt = tokens(TOKENS, seed=77)
    spec = chunkkv.CompactionSpec(policy="snap_kv", max_tokens=40, window_length=8)
    kept = kernels.compact([kernels.KvLayer(k=k, v=v, queries=queries, rope=rope) for k, v, queries in sample], spec,
                           contiguous=True)
    arguments = kept.put_arguments(label="contiguous")
    client.put(model=model("contiguous"), tokens=prompt, **arguments)
    entry = client.get(model=model("contiguous"), tokens=prompt, spec=arguments["spec"], positions="contiguous")
    assert entry.next_position == 40
    assert all(same_bytes(layer.k, wanted.k) for layer, wanted in zip(entry.layers, kept.layers))
