"""`chunkkv tune`: the groups it finds on prompts whose layers agree in known ways, and what compacting with them
keeps."""
import json

import numpy as np
import pytest

import safetensors_file
from command_line import flags
from compaction_oracle import compact
from oracle.arguments import Arguments
from oracle.layer import Layer, Model
from oracle.token_scores import token_scores
from record_file import RecordFile

TOKENS, WINDOW = 120, 8
PAST = TOKENS - WINDOW
CHOICE = {"policy": "chunk_kv", "keep_ratio": 0.3, "window_length": WINDOW}
F32 = np.float32


def model_text(layers: int, **changed) -> str:
    """Canonical text of a model's identity."""
    identity = {"adapters": [], "extra": {}, "key_head_size": 2, "kv_dtype": "f32", "kv_head_count": 1,
                "layer_count": layers, "name": "toy", "quantization": "", "revision": "1", "rope": "",
                "value_head_size": 0}
    return json.dumps(identity | changed, sort_keys=True, separators=(",", ":"))


def write_prompt(path, scores, metadata=None, tensors=None):
    """A prompt file with these token scores [P], one a layer."""
    layers = {f"layers.{index}.scores": np.asarray(own, F32) for index, own in enumerate(scores)}
    layers |= {f"layers.{index}.k": np.zeros((TOKENS, 1, 2), F32) for index in range(len(scores))}
    metadata = {"model": model_text(len(scores))} if metadata is None else metadata
    path.write_bytes(safetensors_file.encode(layers | (tensors or {}), metadata))
    return path


def long_tailed(draw) -> np.ndarray:
    return draw.standard_normal(PAST) ** 4


def pairwise(draw) -> list[np.ndarray]:
    """Layers 0 and 1 agree but for a little noise, 2 and 3 too; the pairs have nothing in common."""
    first, second = long_tailed(draw), long_tailed(draw)
    return [base * draw.uniform(0.99, 1.01, PAST) for base in (first, first, second, second)]


@pytest.fixture
def prompts(tmp_path):
    """Files of 6 prompts, made by `scores(draw)`."""
    def make(scores):
        return [write_prompt(tmp_path / f"prompt{seed}.safetensors", scores(np.random.default_rng([31, seed])))
                for seed in range(6)]
    return make


@pytest.fixture
def tune(cli, tmp_path):
    """Tunes on these files; returns what it printed, as JSON, and the profile."""
    def run(files, *arguments, choice=CHOICE):
        out = tmp_path / "profile.json"
        done = cli("tune", "--in", *files, "--out", out, *flags(choice), *arguments, "--json")
        assert done.code == 0, done.err
        return done.json, json.loads(out.read_text())
    return run


def groups_of(profile) -> list[tuple]:
    return [(group["first_layer"], group["layer_count"], group.get("leader")) for group in profile["groups"]]


def mass(scores: np.ndarray, positions) -> float:
    kept = [position for position in positions if position < PAST]
    return scores[kept].sum() / scores.sum()


def test_layers_that_agree_pairwise_share_pairwise(prompts, tune):
    said, profile = tune(prompts(pairwise), "--max-loss", "0.02")
    assert [group[:2] for group in groups_of(profile)] == [(0, 2), (2, 2)]
    assert all(group["leader"] is not None for group in profile["groups"])
    assert (said["layer_count"], said["list_count"], said["scored_layer_count"]) == (4, 2, 2)
    assert said["boundaries"][0]["before_layer"] == 2 and said["boundaries"][0]["reason"] == "MAX_LOSS"
    assert said["boundaries"][0]["mean_loss"] > 0.02
    similar = [layer["jaccard_with_following"] for layer in said["layers"]]
    assert similar[0][0] > 0.9 > 0.5 > similar[1][0] and [len(row) for row in similar] == [3, 2, 1, 0]
    assert profile["prompt_count"] == 6 and profile["token_count"] == 6 * TOKENS
    assert profile["given_chunks"] is False


def test_the_same_prompts_give_the_same_profile(prompts, tune):
    files = prompts(pairwise)
    assert tune(files, "--max-loss", "0.02") == tune(files, "--max-loss", "0.02")


def test_the_leader_is_the_layer_in_between(prompts, tune):
    def scores(draw):
        first, last = long_tailed(draw), long_tailed(draw)
        return [first, first + last, last]
    said, profile = tune(prompts(scores), "--max-loss", "0.5", "--group-score", "leader")
    assert groups_of(profile) == [(0, 3, 1)]
    assert said["boundaries"] == []
    assert groups_of(tune(prompts(scores), "--max-loss", "0.5", "--group-score", "sum")[1]) == [(0, 3, None)]


def test_losses_are_those_of_float64_arithmetic(prompts, tune):
    files = prompts(pairwise)
    said, profile = tune(files, "--max-loss", "0.4", "--max-group", "3")
    own_loss, summed_loss = {}, {}
    for file in files:
        tensors, _ = safetensors_file.read(file)
        layers = [Layer(k=tensors[f"layers.{index}.k"], scores=tensors[f"layers.{index}.scores"]) for index in range(4)]
        scores = [layer.scores.astype(np.float64) for layer in layers]
        own = compact(layers, Model(), Arguments(**CHOICE)).positions
        for follower in range(4):
            best = mass(scores[follower], own[follower])
            for leader in range(4):
                own_loss.setdefault((leader, follower), []).append(1 - mass(scores[follower], own[leader]) / best)
            for first in range(max(0, follower - 2), min(follower, 1) + 1):
                (together,) = compact(layers[first:first + 3], Model(),
                                      Arguments(**CHOICE, reuse_group=3, group_score="sum")).positions
                summed_loss.setdefault((first, follower), []).append(1 - mass(scores[follower], together) / best)
    led = {(item["leader"], item["layer"]): item for item in said["losses"]["led"]}
    assert len(led) == 10  # pairs less than 3 apart
    for pair, item in led.items():
        assert item["mean_loss"] == pytest.approx(np.mean(own_loss[pair]), abs=1e-9)
        assert item["worst_loss"] == pytest.approx(max(own_loss[pair]), abs=1e-9)
        assert item["worst_prompt"] == str(files[int(np.argmax(own_loss[pair]))])
    summed = {(item["first_layer"], item["layer"]): item["mean_loss"] for item in said["losses"]["summed"]
              if item["layer_count"] == 3}
    assert summed.keys() == summed_loss.keys()
    assert summed == pytest.approx({pair: np.mean(losses) for pair, losses in summed_loss.items()}, abs=1e-9)


@pytest.mark.parametrize("bound, arguments", [(0.02, []), (0.2, []), (0.5, []), (0.5, ["--group-score", "sum"]),
                                              (0.5, ["--max-worst-loss", "0.55"])])
def test_compacting_with_the_profile_keeps_what_it_promises(cli, prompts, tune, tmp_path, bound, arguments):
    files = prompts(pairwise)
    _, profile = tune(files, "--max-loss", bound, *arguments)
    out = tmp_path / "entry.safetensors"
    losses = []
    for file in files:
        scores = [safetensors_file.read(file)[0][f"layers.{index}.scores"].astype(np.float64) for index in range(4)]
        lists = []
        for extra in ([], ["--profile", tmp_path / "profile.json"]):
            done = cli("compact", "--in", file, "--out", out, *flags(CHOICE), *extra, "--json")
            assert done.code == 0 and not done.err
            record = RecordFile(out)
            lists.append([record.positions(group, TOKENS) for group in record.layer_groups()])
        scored = [item["layer"] for item in done.json["compaction"]["retained_mass"]]
        assert scored == [layer for first, count, leader in groups_of(profile)
                          for layer in range(first, first + count) if leader in (None, layer)]
        losses.append([1 - mass(scores[layer], lists[1][layer]) / mass(scores[layer], lists[0][layer])
                       for layer in range(4)])
    means, worst = np.mean(losses, axis=0), np.max(losses, axis=0)
    assert means == pytest.approx([layer["mean_loss"] for layer in profile["layers"]], abs=1e-6)
    assert worst == pytest.approx([layer["worst_loss"] for layer in profile["layers"]], abs=1e-6)
    assert max(means) <= bound
    if "--max-worst-loss" in arguments:
        assert max(worst) <= 0.55


def test_queries_and_attention_say_what_their_scores_say(tune, tmp_path):
    files = {"q": [], "attention": [], "scores": []}
    draw = np.random.default_rng(8)
    for seed in range(3):
        layers = [Layer(k=draw.normal(size=(TOKENS, 2, 8)).astype(F32),
                        q=(3 * draw.normal(size=(WINDOW, 4, 8))).astype(F32)) for _ in range(3)]
        scores = [token_scores(layer, Model(), PAST).astype(F32) for layer in layers]
        spread = [np.pad(own[None, None] / 2, ((0, 0), (0, 0), (0, WINDOW))).repeat(4, 0).repeat(WINDOW, 1) / 16
                  for own in scores]
        for source, inputs in (("q", [layer.q for layer in layers]), ("attention", spread), ("scores", scores)):
            path = tmp_path / f"{source}{seed}.safetensors"
            tensors = {f"layers.{index}.{source}": np.asarray(own, F32) for index, own in enumerate(inputs)}
            tensors |= {f"layers.{index}.k": layer.k for index, layer in enumerate(layers)}
            identity = model_text(3, kv_head_count=2, key_head_size=8)
            path.write_bytes(safetensors_file.encode(tensors, {"model": identity}))
            files[source].append(path)
    losses = {source: [item["mean_loss"] for item in tune(paths, "--max-loss", "0")[0]["losses"]["led"]]
              for source, paths in files.items()}
    assert losses["q"] == pytest.approx(losses["scores"], abs=1e-4)
    assert losses["attention"] == pytest.approx(losses["scores"], abs=1e-4)


def test_recorded_prompts_say_what_prompt_files_say(prompts, tune, tmp_path):
    files = prompts(pairwise)
    recorded = []
    for index, file in enumerate(files):
        tensors, metadata = safetensors_file.read(file)
        recorded.append(tmp_path / f"recorded{index}.safetensors")
        recorded[-1].write_bytes(safetensors_file.encode(
            {name: tensor for name, tensor in tensors.items() if name.endswith(".scores")},
            metadata | {"format": "chunkkv.recorded_prompt", "format_version": "1", "token_count": str(TOKENS)}))
    assert tune(recorded, "--max-loss", "0.02")[1] == tune(files, "--max-loss", "0.02")[1]
    assert tune([*recorded[:3], *files[3:]], "--max-loss", "0.02")[1] == tune(files, "--max-loss", "0.02")[1]


def test_verbatim_layers_are_not_counted(tune, tmp_path):
    scores = pairwise(np.random.default_rng(2))[1:3]
    tensors = {f"layers.{layer}.{name}": tensor for layer, own in zip((0, 2), scores)
               for name, tensor in (("k", np.zeros((TOKENS, 1, 2), F32)), ("scores", own.astype(F32)))}
    path = write_prompt(tmp_path / "in.safetensors", [], {"model": model_text(3)},
                        tensors | {"layers.1.state": np.zeros(7, np.uint8)})
    assert groups_of(tune([path], "--max-loss", "0.02")[1]) == [(0, 1, 0), (1, 1, 1)]


def test_given_chunks_are_noted(tune, tmp_path):
    path = write_prompt(tmp_path / "in.safetensors", pairwise(np.random.default_rng(3)),
                        tensors={"chunk_starts": np.array([0, 7, 30, 60, 61, 90], np.int32)})
    assert tune([path], "--max-loss", "0.02")[1]["given_chunks"] is True


def test_given_chunks_are_those_of_what_was_measured(tune, tmp_path):
    nothing = tmp_path / "short.safetensors"
    tensors = {f"layers.{index}.{name}": tensor for index in range(4)
               for name, tensor in (("k", np.zeros((WINDOW, 1, 2), F32)), ("scores", np.zeros(0, F32)))}
    nothing.write_bytes(safetensors_file.encode(tensors, {"model": model_text(4)}))
    given = write_prompt(tmp_path / "given.safetensors", pairwise(np.random.default_rng(3)),
                         tensors={"chunk_starts": np.array([0, 7, 30, 60, 61, 90], np.int32)})
    assert tune([nothing, given], "--max-loss", "0.02")[1]["given_chunks"] is True


def test_prompts_that_say_nothing_are_left_out(prompts, tune, tmp_path):
    short = tmp_path / "short.safetensors"
    tensors = {f"layers.{index}.{name}": tensor for index in range(4)
               for name, tensor in (("k", np.zeros((WINDOW, 1, 2), F32)), ("scores", np.zeros(0, F32)))}
    short.write_bytes(safetensors_file.encode(tensors, {"model": model_text(4)}))
    said, profile = tune([short, *prompts(pairwise)], "--max-loss", "0.02")
    assert said["skipped_prompt_count"] == 1 and profile["prompt_count"] == 6


def test_the_text_says_why(cli, prompts, tmp_path):
    files = prompts(pairwise)

    def text(*arguments):
        done = cli("tune", "--in", *files, "--out", tmp_path / "p.json", *flags(CHOICE), *arguments)
        assert done.code == 0, done.err
        assert all(line == line.rstrip() for line in done.out.splitlines())
        return done.out

    pairs = text("--max-loss", "0.02")
    assert "0-1 | 2-3  at best" in pairs and "lists          2 of 4" in pairs
    assert "leader" in pairs and "follows" in pairs
    assert "alone" in text("--max-loss", "0", "--max-group", "1")
    assert "longer than 3 layers together" in text("--max-loss", "0.9", "--max-group", "3")
    worst = text("--max-loss", "0.9", "--max-worst-loss", "0.02")
    assert f"in {tmp_path}/prompt" in worst and "in any prompt" in worst


@pytest.mark.parametrize("arguments, groups", [([], [(0, 1, 0), (1, 2, 1)]),
                                               (["--group-score", "sum"], [(0, 1, 0), (1, 2, None)])])
def test_a_put_and_a_get_take_the_profile(cli, server, prompts, tune, tmp_path, arguments, groups):
    def scores(draw):
        apart, shared = long_tailed(draw), long_tailed(draw)
        return [apart, shared, shared]

    files = prompts(scores)
    assert groups_of(tune(files, "--max-loss", "0.02", *arguments)[1]) == groups
    to_server = [*flags(CHOICE), "--profile", tmp_path / "profile.json", "--key", "5e" * 32, "--address", server,
                 "--json"]
    put = cli("put", "--in", files[0], *to_server)
    assert put.code == 0, put.err
    model, out = tmp_path / "model.json", tmp_path / "got.safetensors"
    model.write_text(model_text(3))
    got = cli("get", "--out", out, "--model-file", model, *to_server)
    assert got.code == 0, got.err
    served = json.loads(RecordFile(out).metadata["groups"])
    assert [(group["first_layer"], group["layer_count"], group.get("leader")) for group in served] == groups
