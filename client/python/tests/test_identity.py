"""Names are the same as the service's: against the golden vectors."""

import json

import chunkkv
import numpy as np
import pytest
from chunkkv.identity import variant_text


def vectors(golden, name):
    return json.loads((golden / "identity" / f"{name}.json").read_text())["vectors"]


def test_keys_equal_golden_vectors(golden):
    for vector in vectors(golden, "keys"):
        extra = [bytes.fromhex(item) for item in vector["extra"]]
        key = chunkkv.PromptKey.of_tokens(vector["tokens"], extra)
        assert [digest.hex() for digest in key.block_digests] == vector["digests"], vector["name"]
        assert (key.key.hex(), key.token_count) == (vector["key"], len(vector["tokens"]))


def test_fingerprints_equal_golden_vectors(golden):
    for vector in vectors(golden, "fingerprints"):
        fields = {"value_head_size": 0, **vector["model"]}
        fields["adapters"] = [chunkkv.Adapter(**adapter) for adapter in fields.get("adapters", [])]
        model = chunkkv.ModelIdentity(**fields)
        assert model.canonical_text() == vector["canonical_text"], vector["name"]
        assert model.fingerprint().hex() == vector["fingerprint"], vector["name"]
        assert chunkkv.ModelIdentity.from_wire(model.to_wire()).fingerprint() == model.fingerprint()


def test_variants_equal_golden_vectors(golden):
    for vector in vectors(golden, "variants"):
        fields = dict(vector["spec"])
        fields["groups"] = [chunkkv.ReuseGroup(*group) if isinstance(group, list) else chunkkv.ReuseGroup(**group)
                            for group in fields.get("groups", [])] or None
        spec = chunkkv.CompactionSpec(**fields)
        assert variant_text(spec) == vector["canonical_text"], vector["name"]
        assert chunkkv.variant_of(spec).hex() == vector["variant"], vector["name"]
        assert chunkkv.variant_of(chunkkv.CompactionSpec.from_wire(spec.to_wire())).hex() == vector["variant"]


@pytest.mark.parametrize("convert", [list, tuple, np.array, lambda ids: np.array(ids, np.int32), iter])
def test_tokens_of_any_integer_sequence_make_the_same_key(convert):
    ids = list(range(100))
    assert chunkkv.PromptKey.of_tokens(convert(ids)) == chunkkv.PromptKey.of_tokens(np.array(ids, np.uint32))


@pytest.mark.parametrize("tokens", [[], [-1], [2**32], [1.5], np.array([0.0]), ["a"]])
def test_tokens_that_are_no_token_ids_are_refused(tokens):
    with pytest.raises(chunkkv.InvalidArgument) as caught:
        chunkkv.PromptKey.of_tokens(tokens)
    assert caught.value.reason == "BAD_TOKENS"


def test_extra_must_be_one_a_block():
    with pytest.raises(chunkkv.InvalidArgument) as caught:
        chunkkv.PromptKey.of_tokens(range(65), [b"a"])
    assert caught.value.reason == "BAD_BLOCK_EXTRA"


@pytest.mark.parametrize("fields", [{"policy": "best"}, {"policy": "h2o", "chunk_reduce": "median"}])
def test_unknown_names_of_a_spec_are_refused(fields):
    with pytest.raises(chunkkv.InvalidArgument) as caught:
        chunkkv.CompactionSpec(**fields).to_wire()
    assert caught.value.reason == "UNKNOWN_NAME"


@pytest.mark.parametrize("fields", [{"pool": 2**40}, {"window_length": "8"}, {"chunk_starts": [2**40]}])
def test_numbers_that_do_not_fit_the_wire_are_refused(fields):
    with pytest.raises(chunkkv.InvalidArgument) as caught:
        chunkkv.CompactionSpec(policy="chunk_kv", **fields).to_wire()
    assert caught.value.reason == "BAD_NUMBER"
