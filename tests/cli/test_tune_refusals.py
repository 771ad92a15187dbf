"""`chunkkv tune` and `--profile` on what is wrong: a reason, an exit code, and no profile."""
import json

import numpy as np
import pytest

import safetensors_file

TOKENS, WINDOW = 40, 8
CHOICE = ["--policy", "chunk_kv", "--keep-ratio", "0.5", "--window-length", WINDOW]
BOUND = ["--max-loss", "0.02"]
F32 = np.float32
MODEL = json.dumps({"adapters": [], "extra": {}, "key_head_size": 2, "kv_dtype": "f32", "kv_head_count": 1,
                    "layer_count": 2, "name": "toy", "quantization": "", "revision": "1", "rope": "",
                    "value_head_size": 0}, sort_keys=True, separators=(",", ":"))


def good_tensors(layers=2, tokens=TOKENS) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    return {f"layers.{index}.{name}": tensor for index in range(layers)
            for name, tensor in (("k", np.zeros((tokens, 1, 2), F32)),
                                 ("scores", draw.random(tokens - WINDOW).astype(F32)))}


@pytest.fixture
def write(tmp_path):
    def to_file(name="a", tensors=None, metadata=None):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(safetensors_file.encode(good_tensors() if tensors is None else tensors,
                                                 {"model": MODEL} if metadata is None else metadata))
        return path
    return to_file


@pytest.fixture
def tune(cli, tmp_path):
    def run(files, *arguments, choice=CHOICE, bound=BOUND):
        out = tmp_path / "profile.json"
        done = cli("tune", "--in", *files, "--out", out, *choice, *bound, *arguments, "--json")
        assert out.exists() == (done.code == 0)
        return done
    return run


def assert_refused(done, reason, code=3):
    assert done.error["reason"] == reason, done.err
    assert done.code == code and done.out == ""


def with_score(value):
    tensors = good_tensors()
    tensors["layers.1.scores"][3] = value
    return tensors


def without(name):
    tensors = good_tensors()
    del tensors[name]
    return tensors


def test_the_good_file_is_measured(tune, write):
    assert tune([write()]).json["prompt_count"] == 1


@pytest.mark.parametrize("tensors, reason", [
    (with_score(np.nan), "NON_FINITE_INPUT"),
    (with_score(np.inf), "NON_FINITE_INPUT"),
    (with_score(-1), "NEGATIVE_SCORES"),
    (without("layers.1.scores"), "SCORES_MISSING"),
    (good_tensors() | {"layers.0.scores": np.ones(3, F32)}, "BAD_INPUT_FILE"),
    (good_tensors() | {"layers.0.q": np.ones((WINDOW, 1, 2), F32)}, "MIXED_SCORES"),
    (good_tensors(layers=1), "NOT_A_WHOLE_MODEL"),
    (good_tensors() | {"chunk_starts": np.array([3, 5], np.int32)}, "BAD_CHUNK_STARTS"),
])
def test_bad_prompts_are_named(tune, write, tensors, reason):
    done = tune([write("good"), write("bad", tensors)])
    assert_refused(done, reason)
    assert "bad.safetensors: " in done.error["message"]


def test_prompts_that_do_not_fit_together(tune, write):
    other_model = {"model": MODEL.replace('"revision":"1"', '"revision":"2"')}
    assert_refused(tune([write(), write("b", metadata=other_model)]), "MIXED_MODELS")
    chunks = good_tensors() | {"chunk_starts": np.array([0, 5], np.int32)}
    assert_refused(tune([write(), write("b", chunks)]), "MIXED_CHUNKS")
    three = {"model": MODEL.replace('"layer_count":2', '"layer_count":3')}
    one, other = (good_tensors() | {f"layers.{layer}.{name}": good_tensors()[f"layers.1.{name}"]
                                    for name in ("k", "scores")} for layer in (1, 2))
    verbatim_last = one | {"layers.2.state": np.zeros(4, np.uint8)}
    verbatim_second = {name: tensor for name, tensor in other.items() if not name.startswith("layers.1.")}
    verbatim_second |= {"layers.1.state": np.zeros(4, np.uint8)}
    assert_refused(tune([write("a", verbatim_last, three), write("b", verbatim_second, three)]), "LAYERS_DIFFER")


def test_a_model_must_be_named(tune, write):
    path = write(metadata={})
    assert_refused(tune([path]), "MODEL_IDENTITY_INCOMPLETE")
    done = tune([path], "--model-name", "toy", "--model-revision", "1")
    assert done.code == 0, done.err


def test_nothing_to_measure(tune, write):
    short = write("short", good_tensors(tokens=WINDOW))
    assert_refused(tune([short]), "NOTHING_MEASURED")
    assert_refused(tune([write()], choice=["--policy", "chunk_kv", "--max-tokens", WINDOW, "--window-length", WINDOW]),
                   "NOTHING_MEASURED")


@pytest.mark.parametrize("choice, reason", [
    (["--policy", "streaming_llm", "--keep-ratio", "0.5"], "NO_AGREEMENT_TO_MEASURE"),
    (["--policy", "full"], "NO_AGREEMENT_TO_MEASURE"),
    (["--policy", "best", "--keep-ratio", "0.5"], "BAD_POLICY"),
    (["--policy", "chunk_kv", "--keep-ratio", "1.5"], "BAD_KEEP_RATIO"),
])
def test_bad_choices(tune, write, choice, reason):
    assert_refused(tune([write()], choice=choice), reason)


@pytest.mark.parametrize("bound", ["1", "-0.1", "nan", "2"])
def test_bounds_outside_their_range(tune, write, bound):
    assert_refused(tune([write()], bound=["--max-loss", bound]), "BAD_MAX_LOSS")
    assert_refused(tune([write()], "--max-worst-loss", bound), "BAD_MAX_LOSS")


def test_usage(cli, tune, write):
    assert tune([], bound=BOUND).code == 2
    assert tune([write()], bound=[]).code == 2
    assert tune([write()], "--max-group", "0").code == 2 and tune([write()], "--max-group", "33").code == 2
    assert tune([write()], "--reuse-group", "2").code == 2
    assert_refused(tune([write()], choice=["--keep-ratio", "0.5"]), "BAD_USAGE", code=2)
    assert_refused(tune([write()], "--group-score", "both"), "BAD_GROUP_SCORE")
    assert_refused(tune([write()], "--name", "a\nb"), "BAD_PROFILE")
    assert "Examples" in cli("tune", "--help").out


def test_missing_files(cli, tune, write, tmp_path):
    assert_refused(tune([write(), tmp_path / "absent"]), "FILE_NOT_FOUND", code=4)
    done = cli("tune", "--in", write(), "--out", tmp_path / "absent" / "p.json", *CHOICE, *BOUND, "--json")
    assert done.error["reason"] == "FILE_NOT_FOUND" and done.code == 4


@pytest.fixture
def compact(cli, tune, write, tmp_path):
    """Compacts the good file by a profile that `change` has changed."""
    def run(change=lambda profile: None, arguments=(), metadata=None, choice=CHOICE, text=None):
        profile, out = tmp_path / "profile.json", tmp_path / "entry.safetensors"
        assert tune([write()]).code == 0
        found = json.loads(profile.read_text())
        change(found)
        profile.write_text(json.dumps(found) if text is None else text)
        done = cli("compact", "--in", write("b", metadata=metadata), "--out", out, *choice, "--profile", profile,
                   *arguments, "--json")
        assert out.exists() == (done.code == 0)
        return done
    return run


def test_profiles_that_are_none(compact):
    assert_refused(compact(text=""), "BAD_PROFILE")
    assert_refused(compact(text="{"), "BAD_PROFILE")
    assert_refused(compact(lambda profile: profile.pop("groups")), "BAD_PROFILE")
    assert_refused(compact(lambda profile: profile.update(format_version=2)), "PROFILE_FORMAT_NEWER", code=9)


def test_a_profile_of_another_model(compact):
    other = {"model": MODEL.replace('"revision":"1"', '"revision":"2"')}
    assert_refused(compact(metadata=other), "PROFILE_OF_ANOTHER_MODEL", code=5)
    assert compact(metadata={}).code == 0


def test_a_profile_excludes_other_groups(compact):
    for arguments in (["--reuse-group", "2"], ["--group-score", "sum"], ["--leaders", "0,1"]):
        assert_refused(compact(arguments=arguments), "BAD_USAGE", code=2)


def test_a_profile_of_other_layers(cli, tune, write, tmp_path):
    assert tune([write()]).code == 0
    done = cli("compact", "--in", write("b", good_tensors(layers=3), {}), "--out", tmp_path / "entry.safetensors", *CHOICE,
               "--profile", tmp_path / "profile.json", "--json")
    assert_refused(done, "BAD_GROUPS")


def test_another_choice_than_the_measured_one_is_noted(compact):
    done = compact(choice=["--policy", "chunk_kv", "--keep-ratio", "0.6", "--window-length", WINDOW])
    assert done.code == 0 and "was measured with another choice" in done.err
    assert compact().err == ""
