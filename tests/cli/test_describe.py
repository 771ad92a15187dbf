"""`chunkkv describe` on files."""
import numpy as np

import safetensors_file


def write_prompt(path, layers=4, tokens=200):
    draw = np.random.default_rng(3)
    tensors = {}
    for layer in range(layers):
        for name, shape in (("k", (tokens, 2, 8)), ("v", (tokens, 2, 8)), ("q", (8, 4, 8))):
            tensors[f"layers.{layer}.{name}"] = draw.normal(size=shape).astype(np.float32)
    path.write_bytes(safetensors_file.encode(tensors, {}))


def test_the_map_of_a_record(cli, tmp_path):
    source, record, svg = tmp_path / "in.safetensors", tmp_path / "entry.safetensors", tmp_path / "map.svg"
    write_prompt(source)
    assert cli("compact", "--in", source, "--out", record, "--policy", "chunk_kv", "--keep-ratio", "0.3", "--window-length", "8",
               "--reuse-group", "2", "--leaders", "1,2").code == 0
    done = cli("describe", record, "--width", "60", "--svg", svg)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert any(line.startswith("0 ┌ ") for line in lines) and any(line.startswith("1*└ ") for line in lines)
    assert "60 of 200 (30.0 %)" in done.out
    assert svg.read_text().startswith("<svg") and svg.read_text().rstrip().endswith("</svg>")
    described = cli("describe", record, "--json").json
    assert [group["leader"] for group in described["groups"]] == [1, 2]
    assert all(len(group["positions"]) == 60 for group in described["groups"])


def test_layers_bear_their_numbers_where_some_are_no_attention(cli, tmp_path):
    source, record = tmp_path / "in.safetensors", tmp_path / "entry.safetensors"
    write_prompt(source, layers=3)
    tensors, _ = safetensors_file.read(source)
    for name in ("k", "v", "q"):
        del tensors[f"layers.1.{name}"]
    tensors["layers.1.state"] = np.arange(100, dtype=np.uint8)
    source.write_bytes(safetensors_file.encode(tensors, {}))
    assert cli("compact", "--in", source, "--out", record, "--policy", "snap_kv", "--max-tokens", "50", "--window-length",
               "8").code == 0
    drawn = [line[0] for line in cli("describe", record, "--width", "40").out.splitlines() if line[0:1].isdigit()]
    assert drawn == ["0", "2"]
    described = cli("describe", record, "--json").json
    assert [group["layers"] for group in described["groups"]] == [[0], [2]]


def test_a_prompt_file_is_described_as_kept_whole(cli, tmp_path):
    source = tmp_path / "in.safetensors"
    write_prompt(source)
    done = cli("describe", source, "--width", "40")
    assert done.code == 0, done.err
    assert "200 of 200 (100.0 %)" in done.out and "·" not in done.out.split("kept:")[0]


def test_a_record_with_a_flipped_bit_is_data_loss(cli, tmp_path):
    source, record = tmp_path / "in.safetensors", tmp_path / "entry.safetensors"
    write_prompt(source)
    assert cli("compact", "--in", source, "--out", record, "--policy", "full").code == 0
    content = bytearray(record.read_bytes())
    content[-5] ^= 4
    record.write_bytes(content)
    done = cli("describe", record, "--json")
    assert done.code == 8 and done.error["code"] == "DATA_LOSS"


def test_a_full_record_can_be_compacted_and_a_compact_one_not(cli, tmp_path):
    source, full, kept = tmp_path / "in.safetensors", tmp_path / "full.safetensors", tmp_path / "kept.safetensors"
    write_prompt(source)
    assert cli("compact", "--in", source, "--out", full, "--policy", "full").code == 0
    assert cli("compact", "--in", full, "--out", kept, "--policy", "streaming_llm", "--max-tokens", "50").code == 0
    again = cli("compact", "--in", kept, "--out", tmp_path / "x", "--policy", "full", "--json")
    assert again.code == 5 and again.error["reason"] == "ALREADY_COMPACTED"
