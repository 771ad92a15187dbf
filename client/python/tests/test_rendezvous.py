"""Who owns a prompt: as the vectors say, which code that shares nothing with the client's has written."""

import json

import chunkkv
from chunkkv import _channel
from chunkkv._rendezvous import ranked, routing_key_of, score


def vectors(golden):
    return json.loads((golden / "routing" / "routing.json").read_text(encoding="utf-8"))


def test_orders_and_scores_are_the_vectors(golden):
    cases = vectors(golden)["orders"]
    assert len(cases) > 20
    for case in cases:
        key = bytes.fromhex(case["routing_key"])
        assert ranked(reversed(case["replicas"]), key) == [name for name, _ in case["order"]]
        assert [f"{score(name, key):016x}" for name, _ in case["order"]] == [value for _, value in case["order"]]


def test_a_prompt_is_routed_by_its_first_block(golden):
    for case in vectors(golden)["prompts"]:
        assert routing_key_of(chunkkv.PromptKey.of_tokens(case["tokens"])).hex() == case["routing_key"]
    assert routing_key_of(chunkkv.PromptKey(b"k" * 32)) == b"k" * 32


def test_a_replica_that_goes_moves_its_own_keys_alone():
    names = [f"10.0.0.{index}:7421" for index in range(1, 6)]
    keys = [str(index).encode() for index in range(1000)]
    owners = [ranked(names, key)[0] for key in keys]
    assert all(150 < owners.count(name) < 250 for name in names)
    for key, owner in zip(keys, owners, strict=True):
        rest = [name for name in names if name != names[2]]
        assert ranked(rest, key)[0] == (owner if owner != names[2] else ranked(names, key)[1])


def test_an_option_that_is_given_takes_the_place_of_the_clients_own():
    options = _channel.channel_options([("grpc.keepalive_timeout_ms", 1)])
    assert [value for name, value in options if name == "grpc.keepalive_timeout_ms"] == [1]
