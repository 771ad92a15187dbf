"""chunkkv.kernels.compact on every golden vector of the float64 oracle."""

import json
from pathlib import Path

import chunkkv
import ml_dtypes
import numpy as np
import pytest
from chunkkv import kernels
from chunkkv._arrays import as_array, as_tensor
from kernels_library import kernels_library  # noqa: F401

GOLDEN = Path(__file__).resolve().parents[3] / "tests" / "golden"
COMPACTION = GOLDEN / "compaction"
VECTORS = sorted(path.name.removesuffix(".expected.json") for path in COMPACTION.glob("*.expected.json"))
CONTIGUOUS = sorted(path.name.removesuffix(".contiguous.safetensors")
                    for path in COMPACTION.glob("*.contiguous.safetensors"))
DTYPES = {"F32": np.dtype(np.float32), "F16": np.dtype(np.float16), "BF16": np.dtype(ml_dtypes.bfloat16),
          "I32": np.dtype(np.int32), "F64": np.dtype(np.float64)}
RENAMED = {"NON_FINITE": "NON_FINITE_INPUT"}


def read(path):
    """Tensors by name, and the metadata, of a safetensors file."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = (start + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]]).reshape(entry["shape"]).copy()
    return tensors, metadata


def request(name, of_torch=False):
    """Layers, spec and what is expected."""
    expected = json.loads((COMPACTION / f"{name}.expected.json").read_text())
    tensors, metadata = read(COMPACTION / f"{name}.in.safetensors")
    known = {key: json.loads(value) for key, value in metadata.items()}
    rope = known.get("rope")
    layers = []
    for index in range(sum(key.endswith(".k") for key in tensors)):
        given = {field: tensors.get(f"layers.{index}.{short}") for field, short in
                 (("k", "k"), ("v", "v"), ("queries", "q"), ("lse", "lse"), ("attention", "attention"),
                  ("token_scores", "scores"))}
        if of_torch:
            given = {field: None if value is None else as_tensor(value) for field, value in given.items()}
        layers.append(kernels.KvLayer(
            **given, scale=known.get("scale"), softcap=known.get("softcap"), sink_logits=known.get("sink_logits"),
            rope=rope and chunkkv.Rope(rope["inv_freq"], rope["pairing"], rope["first_dim"])))
    arguments = expected["arguments"]
    if leaders := arguments.pop("leaders", None):
        size, count = arguments["reuse_group"], len(layers)
        arguments["groups"] = [chunkkv.ReuseGroup(first, min(size, count - first), leader)
                               for first, leader in zip(range(0, count, size), leaders)]
    return layers, chunkkv.CompactionSpec(chunk_starts=tensors.get("chunk_starts"), **arguments), expected


@pytest.mark.parametrize("way", ["cpu", "cpu-threads", "reference", "torch"])
@pytest.mark.parametrize("name", VECTORS)
def test_golden_vector(name, way):
    if way == "torch":
        pytest.importorskip("torch")
    layers, spec, expected = request(name, way == "torch")
    on = {"reference": kernels.Device("reference"), "cpu-threads": kernels.Device(threads=3)}.get(way, kernels.Device())
    if "error" in expected:
        with pytest.raises(chunkkv.Error) as caught:
            kernels.compact(layers, spec, on=on)
        assert caught.value.reason == RENAMED.get(expected["error"], expected["error"])
        return
    kept = kernels.compact(layers, spec, on=on)
    assert kept.policy_applied == expected["policy_applied"] and kept.budget == expected["budget"]
    assert [positions.tolist() for positions in kept.positions] == expected["positions"]
    masses = [None] * len(layers)
    for layer, mass in zip(kept.scored_layers, kept.retained_mass):
        masses[layer] = pytest.approx(mass, abs=1e-4)
    assert expected["retained_mass"] == masses
    for layer, source in zip(kept.layers, layers):
        for rows, of in ((layer.k, source.k), (layer.v, source.v)):
            if of is not None:
                assert type(rows) is type(of)
                assert as_array(rows).tobytes() == as_array(of)[as_array(layer.positions)].tobytes()


@pytest.mark.parametrize("name", CONTIGUOUS)
def test_contiguous_keys(name):
    layers, spec, expected = request(name)
    kept = kernels.compact(layers, spec, contiguous=True)
    assert [positions.tolist() for positions in kept.positions] == expected["positions"]
    wanted, _ = read(COMPACTION / f"{name}.contiguous.safetensors")
    for index, layer in enumerate(kept.layers):
        exact = wanted[f"layers.{index}.k"].astype(np.float64)
        unit = float(ml_dtypes.finfo(layer.k.dtype).eps) * np.abs(exact).max()
        assert np.abs(layer.k.astype(np.float64) - exact).max() <= unit


@pytest.mark.parametrize("name", sorted(path.name.removesuffix(".in.safetensors")
                                        for path in (GOLDEN / "kvpress").glob("*.in.safetensors")))
def test_keeps_what_kvpress_kept(name):
    kept, metadata = read(GOLDEN / "kvpress" / f"{name}.kept.safetensors")
    tensors, _ = read(GOLDEN / "kvpress" / f"{name}.in.safetensors")
    layers = [kernels.KvLayer(k=tensors[f"layers.{index}.k"], v=tensors[f"layers.{index}.v"],
                              queries=tensors[f"layers.{index}.q"])
              for index in range(sum(key.endswith(".k") for key in tensors))]
    result = kernels.compact(layers, chunkkv.CompactionSpec(**json.loads(metadata["arguments"])))
    for index, layer in enumerate(result.layers):
        assert layer.positions.tolist() == kept[f"positions.{index}"].tolist()
