"""Puts that name a profile which the server has loaded."""

import json

import chunkkv
import numpy as np
import pytest
from programs import running_server
from sample_caches import cache, model, tokens

LENGTH = 120
SPEC = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.5, profile="measured")


def profile_text(identity, groups):
    """As `chunkkv tune` writes it."""
    lost = {"own_mass": 0.5, "mean_loss": 0.0, "worst_loss": 0.0}
    return json.dumps({
        "format": "chunkkv.reuse_profile", "format_version": 1, "name": "measured",
        "model": json.loads(identity.canonical_text()), "fingerprint": identity.fingerprint().hex(),
        "spec": {"policy": "chunk_kv", "keep_ratio": 0.5}, "given_chunks": False, "max_loss": 0.1, "prompt_count": 1,
        "token_count": LENGTH, "groups": groups, "layers": [lost] * identity.layer_count})


@pytest.fixture
def profiled(tmp_path):
    """A client of a server that has loaded a profile: the first layers led by layer 1, the last by itself."""
    identity = model("profiled")
    last = identity.layer_count - 1
    groups = [{"first_layer": 0, "layer_count": last, "leader": 1},
              {"first_layer": last, "layer_count": 1, "leader": last}]
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "toy.json").write_text(profile_text(identity, groups))
    with running_server(tmp_path, "--profiles", tmp_path / "profiles") as address:
        with chunkkv.Client(address) as client:
            yield client


@pytest.mark.parametrize("select_then_send", [False, True])
def test_the_entry_says_which_layers_share(profiled, select_then_send):
    identity, draw = model("profiled"), np.random.default_rng(3)
    layers = [chunkkv.Layer(k=k, v=v, token_scores=draw.random(LENGTH - 32, np.float32)) for k, v, _ in cache(LENGTH)]
    result = profiled.put(model=identity, tokens=tokens(LENGTH), layers=layers, spec=SPEC,
                          select_then_send=select_then_send)
    assert result.compaction.scored_layers == (1, identity.layer_count - 1)
    entry = profiled.get(model=identity, tokens=tokens(LENGTH), spec=SPEC)
    assert [group.group.leader for group in entry.groups] == [1, identity.layer_count - 1]
    assert np.array_equal(entry.layers[0].positions, entry.layers[1].positions)
    assert not np.array_equal(entry.layers[0].positions, entry.layers[-1].positions)
    assert entry.spec.profile == "measured"
    for layer in entry.layers:
        assert np.array_equal(layer.k, layers[layer.index].k[layer.positions])


def test_capabilities_tell_what_is_loaded(profiled):
    profile, = profiled.capabilities().profiles
    assert (profile.name, profile.fingerprint) == ("measured", model("profiled").fingerprint())
    assert profile.groups[0].leader == 1
    assert profile.spec == chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.5) and profile.max_loss == 0.1


def test_a_profile_of_another_model_is_not_found(profiled):
    layers = [chunkkv.Layer(k=k, v=v, queries=queries) for k, v, queries in cache(LENGTH)]
    with pytest.raises(chunkkv.NotFound) as caught:
        profiled.put(model=model("another"), tokens=tokens(LENGTH), layers=layers, spec=SPEC)
    assert caught.value.reason == "PROFILE_NOT_FOUND"
