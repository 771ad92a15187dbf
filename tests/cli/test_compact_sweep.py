"""`chunkkv compact` over random shapes against float64 arithmetic.

CHUNKKV_SWEEP_CASES sets how many cases are run (40), CHUNKKV_SWEEP_SEED where they begin (0).
"""
import json
import os

import ml_dtypes
import numpy as np
import pytest

import safetensors_file
from compaction_oracle import compact
from command_line import flags
from oracle.arguments import Arguments
from oracle.layer import Layer, Model
from oracle.near_ties import is_acceptable, near_tie_tolerance
from record_file import RecordFile

CASES = int(os.environ.get("CHUNKKV_SWEEP_CASES", "40"))
SEED = int(os.environ.get("CHUNKKV_SWEEP_SEED", "0"))
DTYPES = [np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
LARGEST_LOGITS = 60_000_000  # H * w * L of a case, which bounds the oracle's time and memory


def log_uniform(draw, least: int, most: int) -> int:
    return int(round(np.exp(draw.uniform(np.log(least), np.log(most)))))


def random_case(draw):
    """Returns layers, model and arguments; shapes cover L 9-5,000, layers 1-9, G 1-8, w 1-64, c 1-64."""
    dtype = DTYPES[draw.integers(3)]
    window, heads_a_group, kv_heads = int(draw.integers(1, 65)), int(draw.integers(1, 9)), int(draw.integers(1, 4))
    tokens = log_uniform(draw, 9, 5000)
    head_size, layer_count = int(draw.choice([4, 8, 16, 33, 64])), int(draw.integers(1, 10))
    queries = min(window, tokens)
    heads = heads_a_group * kv_heads
    layer_count = max(1, min(layer_count, LARGEST_LOGITS // (heads * queries * tokens)))
    strength = np.float32(draw.choice([0.5, 1.0, 3.0]))
    value_size = int(draw.choice([0, head_size, head_size // 2 + 1]))

    def normal(*shape):
        return (draw.standard_normal(shape, np.float32) * strength).astype(dtype)

    layers = [Layer(k=normal(tokens, kv_heads, head_size), v=normal(tokens, kv_heads, value_size) if value_size else None,
                    q=normal(queries, heads, head_size)) for _ in range(layer_count)]
    model = Model(scale=float(draw.uniform(0.05, 0.5)) if draw.random() < 0.3 else None,
                  softcap=float(draw.uniform(2, 30)) if draw.random() < 0.2 else None,
                  sink_logits=[float(value) for value in draw.normal(size=heads).astype(np.float32)]
                  if draw.random() < 0.2 else None)
    policy = str(draw.choice(["chunk_kv", "chunk_kv", "chunk_kv", "snap_kv", "h2o", "streaming_llm"]))
    arguments = {"policy": policy, "window_length": window, "chunk_length": int(draw.integers(1, 65)),
                 "reuse_group": int(draw.integers(1, 4)), "chunk_reduce": str(draw.choice(["sum", "mean", "max"])),
                 "group_score": str(draw.choice(["leader", "sum"])), "sink_tokens": int(draw.choice([0, 0, 4])),
                 "budget_multiple": int(draw.choice([1, 1, 16]))}
    if draw.random() < 0.3:
        arguments["pool"] = int(draw.choice([3, 7]))
    least = window + arguments["sink_tokens"]
    if draw.random() < 0.5 or tokens <= least:
        arguments["keep_ratio"] = float(round(draw.uniform(0.02, 1.0), 3))
    else:
        arguments["max_tokens"] = int(draw.integers(least, tokens + 1))
    return layers, model, arguments


def write_input(path, layers, model):
    tensors = {f"layers.{index}.{field}": getattr(layer, field) for index, layer in enumerate(layers)
               for field in ("k", "v", "q") if getattr(layer, field) is not None}
    metadata = {name: json.dumps(value) for name, value in vars(model).items() if value is not None}
    path.write_bytes(safetensors_file.encode(tensors, metadata))


@pytest.mark.parametrize("case", range(SEED, SEED + CASES))
def test_random_shape(cli, tmp_path, case):
    layers, model, arguments = random_case(np.random.default_rng([20250, case]))
    source, out = tmp_path / "prompt.safetensors", tmp_path / "entry.safetensors"
    write_input(source, layers, model)
    done = cli("compact", "--in", source, "--out", out, "--json", *flags(arguments), timeout=600)
    assert done.code == 0, (done.err, arguments)

    expected = compact(layers, model, Arguments(**arguments))
    tokens = len(layers[0].k)
    record = RecordFile(out)
    groups = record.layer_groups()
    assert done.json["compaction"]["budget"] == expected.budget
    for group, ranking in enumerate(expected.rankings):
        kept = record.positions(group, tokens)
        scored = [layers[index] for index, own in enumerate(groups) if own == group]
        tolerance = max(near_tie_tolerance(layer, model) for layer in scored)
        assert len(kept) == expected.budget
        assert all(one < other for one, other in zip(kept, kept[1:]))
        assert kept == expected.positions[group] or is_acceptable(kept, ranking, tolerance), arguments
    for index, layer in enumerate(layers):
        kept = record.positions(groups[index], tokens)
        assert record.rows(index, "k").tobytes() == layer.k[kept].tobytes()
        if layer.v is not None:
            assert record.rows(index, "v").tobytes() == layer.v[kept].tobytes()
