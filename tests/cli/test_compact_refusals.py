"""`chunkkv compact` on files and flags that are wrong: a reason, an exit code, and no output file."""
import json

import numpy as np
import pytest

import safetensors_file

TOKENS, WINDOW = 40, 8
F32 = np.float32


def good_tensors() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    return {"layers.0.k": draw.normal(size=(TOKENS, 2, 4)).astype(F32), "layers.0.v": draw.normal(size=(TOKENS, 2, 3)).astype(F32),
            "layers.0.q": draw.normal(size=(WINDOW, 4, 4)).astype(F32)}


FLAGS = ["--policy", "chunk_kv", "--keep-ratio", "0.5", "--window-length", WINDOW]


@pytest.fixture
def compact(cli, tmp_path):
    """Compacts a file of these tensors and metadata, or of these bytes; returns what `chunkkv` said."""
    def run(tensors=None, metadata=None, flags=FLAGS, content=None):
        source, out = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
        source.write_bytes(safetensors_file.encode(tensors or good_tensors(), metadata or {}) if content is None else content)
        done = cli("compact", "--in", source, "--out", out, "--json", *flags)
        assert out.exists() == (done.code == 0)
        return done
    return run


def assert_refused(done, reason: str, code: int = 3):
    assert done.error["reason"] == reason, done.err
    assert done.code == code
    assert done.out == ""


def test_the_good_file_is_compacted(compact):
    assert compact().json["compaction"]["budget"] == 20


@pytest.mark.parametrize("name, change", {
    "keys of rank 2": {"layers.0.k": np.zeros((TOKENS, 8), F32)},
    "values of other tokens": {"layers.0.v": np.zeros((TOKENS + 1, 2, 3), F32)},
    "values of other heads": {"layers.0.v": np.zeros((TOKENS, 1, 3), F32)},
    "no heads": {"layers.0.k": np.zeros((TOKENS, 0, 4), F32)},
    "no tokens": {"layers.0.k": np.zeros((0, 2, 4), F32)},
    "integer keys": {"layers.0.k": np.zeros((TOKENS, 2, 4), np.int32)},
    "layers of other lengths": {"layers.1.k": np.zeros((TOKENS - 1, 2, 4), F32)},
    "a gap in the layers": {"layers.2.k": np.zeros((TOKENS, 2, 4), F32)},
    "a layer far away": {"layers.999999999999.k": np.zeros((TOKENS, 2, 4), F32)},
    "an unknown tensor": {"stray": np.zeros(3, F32)},
    "an unknown tensor of a layer": {"layers.0.w": np.zeros(3, F32)},
    "queries of another window": {"layers.0.q": np.zeros((WINDOW - 1, 4, 4), F32)},
    "queries of another size": {"layers.0.q": np.zeros((WINDOW, 4, 5), F32)},
    "chunk starts of floats": {"chunk_starts": np.zeros(3, F32)},
    "scale beside keys that need none": {"layers.0.v_scale": np.ones((TOKENS, 2, 1), F32)},
}.items(), ids=lambda value: value if isinstance(value, str) else "")
def test_bad_tensors(compact, name, change):
    assert_refused(compact(good_tensors() | change), "BAD_INPUT_FILE")


def test_query_heads_that_are_no_multiple_of_kv_heads(compact):
    assert_refused(compact(good_tensors() | {"layers.0.q": np.zeros((WINDOW, 3, 4), F32)}), "BAD_HEADS")


def test_a_scored_layer_without_scores(compact):
    tensors = good_tensors()
    del tensors["layers.0.q"]
    assert_refused(compact(tensors), "SCORES_MISSING")


def test_two_sources_of_scores(compact):
    assert_refused(compact(good_tensors() | {"layers.0.scores": np.ones(TOKENS - WINDOW, F32)}), "MIXED_SCORES")


def test_negative_scores(compact):
    tensors = good_tensors() | {"layers.0.scores": np.full(TOKENS - WINDOW, -1, F32)}
    del tensors["layers.0.q"]
    assert_refused(compact(tensors), "NEGATIVE_SCORES")


@pytest.mark.parametrize("metadata", [
    {"scale": "-1"}, {"scale": "1e999"}, {"scale": "zero"}, {"softcap": "[]"}, {"sink_logits": "3"}, {"sink_logits": '["a"]'},
    {"rope": "[]"}, {"rope": "{}"}, {"rope": '{"first_dim": 0, "rotary_dims": 3, "inv_freq": [1]}'},
    {"rope": '{"first_dim": -1, "rotary_dims": 2, "inv_freq": [1]}'}, {"rope": '{"rotary_dims": 4, "inv_freq": [1]}'},
    {"rope": '{"rotary_dims": 2, "inv_freq": [1], "pairing": "twisted"}'},
], ids=json.dumps)
def test_bad_metadata(compact, metadata):
    assert_refused(compact(metadata=metadata), "BAD_METADATA")


def test_contiguous_positions_without_rope(compact):
    assert_refused(compact(flags=FLAGS + ["--positions", "contiguous"]), "NO_ROPE", code=5)


@pytest.mark.parametrize("flags, reason", [
    (["--policy", "evict", "--keep-ratio", "0.5"], "BAD_POLICY"),
    (["--policy", "external"], "BAD_POLICY"),
    (["--policy", "chunk_kv"], None),
    (FLAGS + ["--max-tokens", "20"], None),
    (["--policy", "chunk_kv", "--keep-ratio", "nan"], "BAD_KEEP_RATIO"),
    (["--policy", "chunk_kv", "--keep-ratio", "0"], "BAD_KEEP_RATIO"),
    (FLAGS + ["--chunk-length", "0"], None),
    (FLAGS + ["--pool", "4"], None),
    (FLAGS + ["--group-score", "all"], "BAD_GROUP_SCORE"),
    (FLAGS + ["--chunk-reduce", "median"], "BAD_CHUNK_REDUCE"),
    (FLAGS + ["--on-low-mass", "ignore"], "BAD_ON_LOW_MASS"),
    (FLAGS + ["--positions", "relative"], "BAD_POSITION_MODE"),
    (FLAGS + ["--leaders", "1"], "BAD_LEADERS"),
    (FLAGS + ["--leaders", "0,0"], "BAD_LEADERS"),
])
def test_bad_flags(compact, flags, reason):
    done = compact(flags=flags)
    assert done.code == 3 and done.error["code"] == "INVALID_ARGUMENT"
    assert done.error["reason"] and reason in (None, done.error["reason"])


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"\xff" * 8, b"\xff" * 100, (2).to_bytes(8, "little") + b"{}",
                                     (1 << 62).to_bytes(8, "little") + b"{}", (4).to_bytes(8, "little") + b"[[[["])
def test_files_that_are_no_safetensors(compact, content):
    assert compact(content=content).code == 3


def test_truncation_anywhere_is_refused(compact):
    whole = safetensors_file.encode(good_tensors(), {})
    for size in range(0, len(whole), 97):
        assert compact(content=whole[:size]).code == 3


def test_usage_errors_have_their_own_code(cli, tmp_path):
    assert cli().code == 2
    assert cli("compact", "--in", tmp_path / "x").code == 2
    assert cli("compact", "--in", "x", "--out", "y", "--policy", "full", "--no-such-flag").code == 2
    assert cli("--help").code == 0 and "Exit codes" in cli("--help").out
    assert "Examples" in cli("compact", "--help").out


def test_a_missing_input_says_so(cli, tmp_path):
    done = cli("compact", "--in", tmp_path / "absent", "--out", tmp_path / "out", "--policy", "full")
    assert done.code != 0 and "chunkkv: " in done.err and not (tmp_path / "out").exists()
