"""`chunkkv compact` on every golden vector: what it keeps, what it says of it, and what it refuses."""
import json

import ml_dtypes
import numpy as np
import pytest

import safetensors_file
from command_line import GOLDEN, flags
from record_file import RecordFile

COMPACTION = GOLDEN / "compaction"
KVPRESS = GOLDEN / "kvpress"
VECTORS = sorted(path.name.removesuffix(".expected.json") for path in COMPACTION.glob("*.expected.json"))
KVPRESS_CASES = sorted(path.name.removesuffix(".in.safetensors") for path in KVPRESS.glob("*.in.safetensors"))
REASONS = {"NON_FINITE": "NON_FINITE_INPUT"}  # the oracle's words for the wire's
EXIT_CODES = {"INVALID_ARGUMENT": 3, "FAILED_PRECONDITION": 5}
DEVICES = ["cpu", "reference"]


def layer_count(tensors) -> int:
    return sum(name.endswith(".k") for name in tensors)


def assert_rows_are_the_inputs(record, inputs, positions_of_layer, skip_keys=False):
    for layer in range(layer_count(inputs)):
        for name in ("k", "v"):
            source = inputs.get(f"layers.{layer}.{name}")
            if source is None:
                assert record.rows(layer, name) is None
            elif not (skip_keys and name == "k"):
                assert record.rows(layer, name).tobytes() == source[positions_of_layer[layer]].tobytes()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", VECTORS)
def test_golden_vector(cli, tmp_path, name, device):
    expected = json.loads((COMPACTION / f"{name}.expected.json").read_text())
    source, out = COMPACTION / f"{name}.in.safetensors", tmp_path / "entry.safetensors"
    done = cli("compact", "--in", source, "--out", out, "--device", device, "--json",
               *flags(expected["arguments"]))
    if "error" in expected:
        assert done.error["reason"] == REASONS.get(expected["error"], expected["error"])
        assert done.code == EXIT_CODES[done.error["code"]]
        assert not out.exists() and not done.out
        if "retained_mass" in expected:
            assert_masses_are_named(done.error["message"], expected)
        return

    assert done.code == 0, done.err
    inputs, _ = safetensors_file.read(source)
    tokens = len(inputs["layers.0.k"])
    record = RecordFile(out)
    said = done.json["compaction"]
    assert said["policy_applied"] == expected["policy_applied"]
    assert said["budget"] == expected["budget"]
    assert [record.positions(group, tokens) for group in range(len(expected["positions"]))] == expected["positions"]
    masses = {item["layer"]: item["mass"] for item in said["retained_mass"]}
    wanted = {layer: mass for layer, mass in enumerate(expected["retained_mass"]) if mass is not None}
    assert masses.keys() == wanted.keys()
    assert masses == pytest.approx(wanted, abs=1e-4)
    assert said["adjacent_jaccard"] == pytest.approx(expected["jaccard"], abs=1e-9)
    groups = record.layer_groups()
    assert_rows_are_the_inputs(record, inputs, [expected["positions"][group] for group in groups])


def assert_masses_are_named(message: str, expected: dict):
    for layer, mass in enumerate(expected["retained_mass"]):
        said = [part.split("=")[1] for part in message.split() if part.startswith(f"{layer}=")]
        assert [float(text) for text in said] == pytest.approx([mass], abs=1e-4)
    assert f"budget of {expected['budget']} " in message


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", sorted(path.name.removesuffix(".contiguous.safetensors")
                                        for path in COMPACTION.glob("*.contiguous.safetensors")))
def test_contiguous_keys(cli, tmp_path, name, device):
    expected = json.loads((COMPACTION / f"{name}.expected.json").read_text())
    source, out = COMPACTION / f"{name}.in.safetensors", tmp_path / "entry.safetensors"
    done = cli("compact", "--in", source, "--out", out, "--device", device, "--json",
               "--positions", "contiguous", *flags(expected["arguments"]))
    assert done.code == 0, done.err
    assert done.json["positions"] == "contiguous" and done.json["next_position"] == expected["budget"]
    record = RecordFile(out)
    inputs, metadata = safetensors_file.read(source)
    positions = [expected["positions"][group] for group in record.layer_groups()]
    assert_rows_are_the_inputs(record, inputs, positions, skip_keys=True)
    wanted, _ = safetensors_file.read(COMPACTION / f"{name}.contiguous.safetensors")
    for tensor, keys in wanted.items():
        assert_within_a_unit(record.tensors[tensor], keys, json.loads(metadata["rope"]))


def assert_within_a_unit(got: np.ndarray, exact: np.ndarray, rope: dict):
    """One unit in the last place of the dtype, of the pair's larger element."""
    half = rope["rotary_dims"] // 2
    index = np.arange(half)
    if rope["pairing"] == "half":
        first, second = rope["first_dim"] + index, rope["first_dim"] + half + index
    else:
        first, second = rope["first_dim"] + 2 * index, rope["first_dim"] + 2 * index + 1
    larger = np.maximum(np.abs(exact[..., first]), np.abs(exact[..., second]))
    unit = np.exp2(np.floor(np.log2(np.maximum(larger, 1e-30)))) * float(ml_dtypes.finfo(got.dtype).eps)
    for dims in (first, second):
        assert np.all(np.abs(got[..., dims].astype(np.float64) - exact[..., dims]) <= unit)
    others = np.setdiff1d(np.arange(exact.shape[-1]), np.concatenate([first, second]))
    assert np.array_equal(got[..., others].astype(np.float64), exact[..., others])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", KVPRESS_CASES)
def test_keeps_what_kvpress_kept(cli, tmp_path, name, device):
    kept, metadata = safetensors_file.read(KVPRESS / f"{name}.kept.safetensors")
    source, out = KVPRESS / f"{name}.in.safetensors", tmp_path / "entry.safetensors"
    done = cli("compact", "--in", source, "--out", out, "--device", device,
               *flags(json.loads(metadata["arguments"])))
    assert done.code == 0, done.err
    record = RecordFile(out)
    inputs, _ = safetensors_file.read(source)
    positions = [kept[f"positions.{layer}"].tolist() for layer in range(layer_count(inputs))]
    tokens = len(inputs["layers.0.k"])
    assert [record.positions(layer, tokens) for layer in range(len(positions))] == positions
    assert_rows_are_the_inputs(record, inputs, positions)
