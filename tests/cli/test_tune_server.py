"""`chunkkv tune` on the next puts of a real server, and puts that name the profile it wrote."""
import json
import subprocess

import numpy as np
import pytest

import safetensors_file
from command_line import flags
from programs import find_program, running_server

TOKENS, WINDOW, LAYERS = 120, 8, 4
CHOICE = {"policy": "chunk_kv", "keep_ratio": 0.3, "window_length": WINDOW}
MODEL = {"adapters": [], "extra": {}, "key_head_size": 2, "kv_dtype": "f32", "kv_head_count": 1, "layer_count": LAYERS,
         "name": "toy", "quantization": "", "revision": "1", "rope": "", "value_head_size": 0}


@pytest.fixture
def prompts(tmp_path):
    """Files of 3 prompts with token scores; layers 0 and 1 agree, 2 and 3 too."""
    files = []
    for seed in range(3):
        draw = np.random.default_rng([32, seed])
        pairs = [draw.standard_normal(TOKENS - WINDOW) ** 4 for _ in range(2)]
        tensors = {}
        for layer in range(LAYERS):
            tensors[f"layers.{layer}.k"] = draw.normal(size=(TOKENS, 1, 2)).astype(np.float32)
            tensors[f"layers.{layer}.scores"] = (pairs[layer // 2] * draw.uniform(0.99, 1.01, TOKENS - WINDOW)
                                                 ).astype(np.float32)
        metadata = {"model": json.dumps(MODEL, sort_keys=True, separators=(",", ":")), "key": f"{seed:064x}"}
        files.append(tmp_path / f"prompt{seed}.safetensors")
        files[-1].write_bytes(safetensors_file.encode(tensors, metadata))
    return files


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(MODEL, sort_keys=True, separators=(",", ":")))
    return path


class Tuning:
    """`chunkkv tune --next-puts` as a process, in a with statement; ready once the server records."""

    def __init__(self, *arguments):
        self._process = subprocess.Popen([find_program("CHUNKKV_CLI", "client/cli/chunkkv"), "tune",
                                          *map(str, arguments)],
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said = self._process.stderr.readline()

    def finish(self):
        out, err = self._process.communicate(timeout=60)
        return self._process.returncode, out, err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()


def test_next_puts_give_the_profile_that_their_files_give(cli, server, prompts, model_file, tmp_path):
    out, saved = tmp_path / "recorded.json", tmp_path / "saved"
    with Tuning("--next-puts", 3, "--address", server, "--model-file", model_file, "--max-loss", "0.02", "--out", out,
                "--save", saved) as tuning:
        assert "recording the next 3 puts" in tuning.said
        for file in prompts:
            assert cli("put", "--in", file, "--address", server, *flags(CHOICE)).code == 0
        code, text, err = tuning.finish()
    assert code == 0, err
    assert "written" in text

    profile = json.loads(out.read_text())
    assert [(group["first_layer"], group["layer_count"]) for group in profile["groups"]] == [(0, 2), (2, 2)]
    assert profile["spec"] == {"policy": "chunk_kv", "keep_ratio": 0.3, "window_length": WINDOW}  # as the puts asked
    from_files = tmp_path / "files.json"
    assert cli("tune", "--in", *prompts, *flags(CHOICE), "--max-loss", "0.02", "--out", from_files).code == 0
    assert json.loads(from_files.read_text()) == profile
    from_saved = tmp_path / "again.json"
    assert cli("tune", "--in", *sorted(saved.iterdir()), *flags(CHOICE), "--max-loss", "0.02", "--out",
               from_saved).code == 0
    assert json.loads(from_saved.read_text()) == profile


def test_a_model_may_be_named_by_its_fingerprint(cli, tmp_path, prompts):
    with running_server(tmp_path) as address:
        first = json.loads(cli("put", "--in", prompts[0], "--address", address, *flags(CHOICE), "--json").out)
        with Tuning("--next-puts", 1, "--address", address, "--fingerprint", first["fingerprint"], "--max-loss", "0.02",
                    "--out", tmp_path / "p.json") as tuning:
            assert cli("put", "--in", prompts[1], "--address", address, *flags(CHOICE)).code == 0
            assert tuning.finish()[0] == 0
        assert json.loads((tmp_path / "p.json").read_text())["model"] == MODEL


def test_puts_of_leaders_are_told_and_left_out(cli, tmp_path, prompts, model_file):
    with running_server(tmp_path) as address:
        with Tuning("--next-puts", 1, "--address", address, "--model-file", model_file, "--max-loss", "0.02",
                    "--out", tmp_path / "p.json") as tuning:
            assert cli("put", "--in", prompts[0], "--address", address, *flags(CHOICE), "--reuse-group", 2).code == 0
            assert cli("put", "--in", prompts[1], "--address", address, *flags(CHOICE)).code == 0
            code, _, err = tuning.finish()
        assert code == 0 and "left out so far: 1 puts" in err


@pytest.mark.parametrize("stated", [[], flags(CHOICE)], ids=["as the first put asked", "as the flags say"])
def test_puts_of_another_choice_do_not_spoil_the_measurement(cli, tmp_path, prompts, model_file, stated):
    with running_server(tmp_path) as address:
        with Tuning("--next-puts", 3, "--address", address, "--model-file", model_file, "--max-loss", "0.02", *stated,
                    "--out", tmp_path / "p.json") as tuning:
            others = ["--policy", "chunk_kv", "--keep-ratio", 0.6, "--window-length", 4]
            scores_of_a_window_of_4 = tmp_path / "other.safetensors"
            tensors, metadata = safetensors_file.read(prompts[1])
            for name in [name for name in tensors if name.endswith(".scores")]:
                tensors[name] = np.ones(TOKENS - 4, np.float32)
            scores_of_a_window_of_4.write_bytes(safetensors_file.encode(tensors, metadata))
            for file, choice in ((prompts[0], flags(CHOICE)), (scores_of_a_window_of_4, others),
                                 (prompts[2], flags(CHOICE))):
                assert cli("put", "--in", file, "--address", address, *choice).code == 0
            code, _, err = tuning.finish()
    assert code == 0 and err.count("left out: a put of another choice") == 1
    assert json.loads((tmp_path / "p.json").read_text())["prompt_count"] == 2


def test_a_put_that_names_the_profile_shares_as_it_says(cli, tmp_path, prompts, model_file):
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    assert cli("tune", "--in", *prompts, *flags(CHOICE), "--max-loss", "0.02", "--name", "pairs", "--out",
               profiles / "toy.json").code == 0
    with running_server(tmp_path, "--profiles", profiles) as address:
        def put(*options, code=0):
            done = cli("put", "--in", prompts[0], "--address", address, *flags(CHOICE), *options, "--json")
            assert done.code == code, done.err
            return json.loads(done.out) if code == 0 else done.error

        stored = put("--server-profile", "pairs")
        assert len(stored["compaction"]["retained_mass"]) == 2
        info = cli("describe", "--address", address, "--id", stored["entry_id"], "--json").json
        assert [group["layers"] for group in info["groups"]] == [[0, 1], [2, 3]]
        assert info["spec"]["profile"] == "pairs"
        got = cli("get", "--out", tmp_path / "got.safetensors", "--address", address, "--model-file", model_file,
                  "--key", f"{0:064x}", *flags(CHOICE), "--server-profile", "pairs", "--json")
        assert got.json["entry_id"] == stored["entry_id"]
        assert put("--server-profile", "of nobody", code=4)["reason"] == "PROFILE_NOT_FOUND"
        assert put("--server-profile", "pairs", "--reuse-group", "2", code=3)["reason"] == "PROFILE_AND_GROUPS"


def test_what_cannot_be_written_is_said_before_measuring(cli, tmp_path, prompts, model_file):
    done = cli("tune", "--in", *prompts, *flags(CHOICE), "--max-loss", "0.1", "--out", tmp_path / "no" / "p.json",
               "--json")
    assert done.error["reason"] == "FILE_NOT_FOUND"
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "put-00001.safetensors").write_text("of an earlier run")
    done = cli("tune", "--next-puts", 1, "--model-file", model_file, "--save", tmp_path / "kept", "--max-loss", "0.1",
               "--out", tmp_path / "p.json", "--json")
    assert done.error["reason"] == "FOLDER_NOT_EMPTY"


def test_flags_of_a_choice_need_its_policy(cli, tmp_path, model_file):
    done = cli("tune", "--next-puts", 1, "--model-file", model_file, "--keep-ratio", 0.1, "--max-loss", "0.1", "--out",
               tmp_path / "p.json", "--json")
    assert done.error["reason"] == "BAD_USAGE" and "--policy" in done.error["message"]


@pytest.mark.parametrize("arguments, reason", [
    ([], "BAD_USAGE"), (["--next-puts", "1", "--in", "x"], "BAD_USAGE"), (["--in", "x", "--save", "y"], "BAD_USAGE"),
    (["--next-puts", "1"], "MODEL_IDENTITY_INCOMPLETE")])
def test_wrong_usage_is_refused(cli, arguments, reason, tmp_path):
    done = cli("tune", *arguments, "--max-loss", "0.1", "--out", tmp_path / "p.json", *flags(CHOICE), "--json")
    assert done.error["reason"] == reason and not (tmp_path / "p.json").exists()
