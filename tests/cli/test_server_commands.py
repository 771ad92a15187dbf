"""The subcommands that talk to a server, against the real one."""
import json
import uuid

import numpy as np
import pytest

import safetensors_file
from record_file import RecordFile

TOKENS = 200
POLICY = ["--policy", "chunk_kv", "--keep-ratio", "0.3", "--window-length", "8"]


@pytest.fixture
def prompt(tmp_path):
    """A prompt file, its tokens file, and flags that name both and the model; nobody else has this prompt."""
    draw = np.random.default_rng(uuid.uuid4().int)
    tensors = {}
    for layer in range(3):
        for name, shape in (("k", (TOKENS, 2, 8)), ("v", (TOKENS, 2, 8)), ("q", (8, 4, 8))):
            tensors[f"layers.{layer}.{name}"] = draw.normal(size=shape).astype(np.float32)
    rope = {"first_dim": 0, "rotary_dims": 8, "pairing": "half", "inv_freq": [1.0, 0.1, 0.01, 0.001]}
    path = tmp_path / "prompt.safetensors"
    path.write_bytes(safetensors_file.encode(tensors, {"rope": json.dumps(rope)}))
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps(draw.integers(0, 50000, TOKENS).tolist()))
    model = ["--model-name", "toy", "--model-revision", "1", "--kv-dtype", "f32", "--model-layers", "3", "--model-kv-heads", "2",
             "--model-key-size", "8", "--model-value-size", "8"]
    return path, ["--tokens", tokens, *model]


@pytest.fixture
def on(cli, server):
    """Runs a subcommand against the server, with --json; returns its data."""
    def run(subcommand, *arguments, code=0):
        done = cli(subcommand, *arguments, "--address", server, "--json")
        assert done.code == code, (done.out, done.err)
        return json.loads(done.out) if done.out else done.error
    return run


@pytest.mark.parametrize("ways", [[], ["--select-then-send"], ["--channels", "2"]], ids=["all", "select", "channels"])
def test_put_and_get_give_what_compact_writes(cli, on, prompt, tmp_path, ways):
    source, name = prompt
    local, remote = tmp_path / "local.safetensors", tmp_path / "remote.safetensors"
    assert cli("compact", "--in", source, "--out", local, *POLICY).code == 0
    put = on("put", "--in", source, *name, *POLICY, *ways)
    assert not put["already_stored"] and put["compaction"]["budget"] == 60
    got = on("get", "--out", remote, *name, *POLICY)
    assert got["entry_id"] == put["entry_id"]
    ours, theirs = RecordFile(local), RecordFile(remote)
    assert ours.tensors.keys() == theirs.tensors.keys()
    assert all(ours.tensors[tensor].tobytes() == theirs.tensors[tensor].tobytes() for tensor in ours.tensors)
    assert theirs.metadata["variant"] == ours.metadata["variant"]
    assert cli("describe", remote).code == 0


def test_contiguous_get_gives_what_contiguous_compact_writes(cli, on, prompt, tmp_path):
    source, name = prompt
    local, remote = tmp_path / "local.safetensors", tmp_path / "remote.safetensors"
    assert cli("compact", "--in", source, "--out", local, *POLICY, "--positions", "contiguous").code == 0
    on("put", "--in", source, *name, *POLICY)
    assert on("get", "--out", remote, *name, "--accept", "least_lossy", "--positions", "contiguous")["next_position"] == 60
    ours, theirs = RecordFile(local), RecordFile(remote)
    assert all(ours.tensors[tensor].tobytes() == theirs.tensors[tensor].tobytes() for tensor in ours.tensors)
    assert cli("describe", remote).code == 0


def test_a_record_is_put_as_it_is(cli, on, prompt, tmp_path):
    source, name = prompt
    record, got = tmp_path / "record.safetensors", tmp_path / "got.safetensors"
    assert cli("compact", "--in", source, "--out", record, *POLICY).code == 0
    put = on("put", "--in", record, *name)
    assert put["compaction"]["policy_applied"] == "external"
    on("get", "--out", got, *name, "--accept", "least_lossy")
    ours, theirs = RecordFile(record), RecordFile(got)
    assert all(ours.tensors[tensor].tobytes() == theirs.tensors[tensor].tobytes() for tensor in ours.tensors)


def test_a_lossless_record_is_put_as_it_is(cli, on, prompt, tmp_path):
    source, name = prompt
    record, got = tmp_path / "record.safetensors", tmp_path / "got.safetensors"
    assert cli("compact", "--in", source, "--out", record, "--policy", "full").code == 0
    assert on("put", "--in", record, *name)["compaction"]["policy_applied"] == "full"
    on("get", "--out", got, *name)
    ours, theirs = RecordFile(record), RecordFile(got)
    assert all(ours.tensors[tensor].tobytes() == theirs.tensors[tensor].tobytes() for tensor in ours.tensors)


@pytest.mark.parametrize("flags", [["--policy", "full"], POLICY], ids=["full", "compacted"])
@pytest.mark.parametrize("at", [-5, -20_000])
def test_a_damaged_record_is_neither_put_nor_compacted(cli, on, prompt, tmp_path, flags, at):
    source, name = prompt
    record = tmp_path / "record.safetensors"
    assert cli("compact", "--in", source, "--out", record, *flags).code == 0
    content = bytearray(record.read_bytes())
    content[at] ^= 4
    record.write_bytes(content)
    assert on("put", "--in", record, *name, code=8)["reason"] == "DIGEST_MISMATCH"
    if flags == ["--policy", "full"]:
        again = cli("compact", "--in", record, "--out", tmp_path / "x", "--policy", "streaming_llm", "--max-tokens", "50")
        assert again.code == 8 and not (tmp_path / "x").exists()


def test_what_put_prints_names_the_entry_to_get(cli, on, server, prompt, tmp_path):
    source, name = prompt
    first, second = (on("put", "--in", source, *name, *POLICY) for _ in range(2))
    assert second["already_stored"] and "compaction" not in second
    assert all(first[field] == second[field] for field in ("entry_id", "key", "fingerprint", "variant"))
    printed = cli("put", "--in", source, *name, *POLICY, "--address", server).out
    assert first["fingerprint"] in printed and first["variant"] in printed
    got = on("get", "--out", tmp_path / "x", "--fingerprint", first["fingerprint"], "--key", first["key"],
             "--accept", first["variant"])
    assert got["entry_id"] == first["entry_id"]


def test_select_then_send_of_a_full_entry(on, prompt):
    source, name = prompt
    assert on("put", "--in", source, *name, "--policy", "full", "--select-then-send")["compaction"]["budget"] == TOKENS


def test_variants_of_given_chunks_and_of_leaders_can_be_asked_for(on, prompt, tmp_path):
    source, name = prompt
    tensors, metadata = safetensors_file.read(source)
    tensors["chunk_starts"] = np.array([0, 7, 30, 100], np.int32)
    source.write_bytes(safetensors_file.encode(tensors, metadata))
    led = [*POLICY, "--reuse-group", "2", "--leaders", "1,2"]
    put = on("put", "--in", source, *name, *led)
    assert on("get", "--out", tmp_path / "x", *name, *led, code=4)["reason"] == "ENTRY_NOT_FOUND"
    assert on("get", "--out", tmp_path / "x", *name, *led, "--chunks-given")["entry_id"] == put["entry_id"]
    assert on("get", "--out", tmp_path / "x", *name, *led, "--accept", "exact", code=2)["reason"] == "BAD_USAGE"
    assert on("get", "--out", tmp_path / "x", *name, "--accept", "nonsense", code=3)["reason"] == "BAD_ACCEPT"


def test_the_life_of_an_entry(on, cli, server, prompt, tmp_path):
    source, name = prompt
    entry = on("put", "--in", source, *name, "--policy", "full")["entry_id"]
    assert on("put", "--in", source, *name, "--policy", "full")["already_stored"]
    assert on("find", *name)["covered_tokens"] == TOKENS
    assert entry in [listed["entry_id"] for listed in on("list")]
    described = on("describe", "--id", entry)
    assert described["compaction"]["policy_applied"] == "full" and described["token_count"] == TOKENS
    assert cli("describe", "--id", entry, "--address", server).out.count("█") >= 3
    pin = on("pin", "--id", entry)["pin_id"]
    items = on("delete", "--id", entry, code=5)
    assert items[0]["error"]["reason"] == "PINNED"
    assert on("pin", "--unpin", pin) == {"unpinned": pin}
    assert on("delete", "--id", entry)[0]["deleted"]
    assert on("find", *name, code=4)["code"] == "NOT_FOUND"
    assert on("get", "--out", tmp_path / "x", *name, code=4)["reason"] == "ENTRY_NOT_FOUND"
    assert not (tmp_path / "x").exists()


def test_stats(on, cli, server):
    stats = on("stats")
    assert stats["protocol_version"] == "v1" and stats["tiers"][0]["tier"] == "host"
    assert "host" in cli("stats", "--address", server).out


def test_nobody_at_the_address(cli):
    done = cli("stats", "--address", "127.0.0.1:1", "--json")
    assert done.code == 7 and done.error["reason"] == "NOT_CONNECTED"


def test_bench_prints_ratios(on):
    report = on("bench", "--mib", "4", "--runs", "2")
    assert [row["name"] for row in report["results"]] == ["memcpy", "raw TCP", "put", "get"]
    assert all(row["gb_per_s"] > 0 for row in report["results"]) and report["results"][1]["of_tcp"] == 1
