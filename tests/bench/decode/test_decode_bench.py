"""The decoding bench end to end with a tiny model, and its arithmetic; no test looks at how long anything took."""

import contextlib
import dataclasses
import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import chunkkv  # noqa: E402
import chunkkv.hf  # noqa: E402

import decode_bench  # noqa: E402
from decode_figures import Difference, Figure, Limit, changes, figures_of, parts  # noqa: E402
from decode_model import make_model  # noqa: E402
from decode_report import is_refused  # noqa: E402
from decode_table import text_of  # noqa: E402
from decode_trial import Sample, decode, prefill  # noqa: E402
from decode_variants import IN_PROCESS, REUSE, SERVED_FULL, Variant, in_turn, make_variants  # noqa: E402
from room_layer import room_bytes, with_room  # noqa: E402

TOKENS_IN, TOKENS_OUT, REPEATS = 200, 6, 2
LAYERS, KV_HEADS, HEAD_SIZE = 4, 2, 16  # of the tiny model


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def options():
    return decode_bench.parse([
        "--tokens-in", str(TOKENS_IN), "--tokens-out", str(TOKENS_OUT), "--repeats", str(REPEATS), "--model", "tiny",
        "--device", "cpu", "--spread-limit", "1000", "--memory-gib", "1", "--policies", "chunk_kv", "streaming_llm"])


@pytest.fixture(scope="module")
def result(options, server):
    return decode_bench.run(options, server)


def test_every_variant_is_measured_and_says_what_it_holds(result):
    rows = {name: variant["rows"] for name, variant in result["variants"].items()}
    assert rows == {IN_PROCESS: TOKENS_IN, SERVED_FULL: TOKENS_IN, "chunk_kv": 32, "chunk_kv" + REUSE: 32,
                    "streaming_llm": 36}, "10 % of 200 is below the window of 32 and 4 sinks"
    for variant in result["variants"].values():
        row_bytes = LAYERS * KV_HEADS * HEAD_SIZE * 2 * 4
        assert variant["cache_bytes"] == (variant["rows"] + TOKENS_OUT) * row_bytes
        assert variant["sequences"] == 2**30 // variant["cache_bytes"]
        assert all(len(figure["repeats"]) == REPEATS for figure in variant["figures"].values())
        assert variant["figures"]["step_ms"]["median"] > 0


def test_only_what_the_service_did_takes_put_and_load_time(result):
    served = {name: variant["figures"] for name, variant in result["variants"].items()}
    in_process = served.pop(IN_PROCESS)
    assert in_process["put_ms"]["median"] == in_process["load_ms"]["median"] == 0
    assert in_process["first_token_ms"]["median"] == pytest.approx(result["prefill_seconds"] * 1e3)
    for figures in served.values():
        assert figures["put_ms"]["median"] > 0 and figures["load_ms"]["median"] > 0
        assert figures["first_token_ms"]["median"] > figures["load_ms"]["median"]
    assert served["chunk_kv"]["compaction_ms"]["median"] > 0


def test_the_result_is_json_and_text(result):
    assert json.loads(json.dumps(result)) == result
    text = text_of(result)
    assert all(name in text for name in result["variants"])
    assert "-20.7 % latency, +26.5 % throughput" in text
    assert text.count("refused") == 1, "in the legend alone"


def test_the_program_refuses_what_spreads_too_far(options, server, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(decode_bench, "running_server", lambda folder: contextlib.nullcontext(server))
    arguments = ["--tokens-in", "40", "--tokens-out", "2", "--model", "tiny", "--device", "cpu", "--repeats", "2",
                 "--spread-limit", "-1", "--json", str(tmp_path / "result.json")]
    assert decode_bench.main(arguments) == 1
    written = json.loads((tmp_path / "result.json").read_text())
    assert is_refused(written)
    assert all(figure["median"] is None for variant in written["variants"].values()
               for figure in variant["figures"].values())
    assert all(change["latency"] is None for change in written["changes"][IN_PROCESS].values())
    assert "refused" in capsys.readouterr().out


def test_a_policy_that_the_window_does_not_score_is_refused(capsys):
    with pytest.raises(SystemExit):
        decode_bench.parse(["--policies", "h2o"])
    assert "invalid choice: 'h2o'" in capsys.readouterr().err


def test_decoding_in_place_is_decoding(server):
    model = make_model("tiny", TOKENS_IN + TOKENS_OUT, torch.float32, "cpu")
    prompt = prefill(model, TOKENS_IN, 32)
    spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.3)
    with chunkkv.Client(server) as client, torch.inference_mode():
        chunkkv.hf.put(client, model, prompt.tokens, prompt.cache, prompt.window, spec, rope=False)
        served = chunkkv.hf.load(client, model, prompt.tokens, spec=spec)
        roomy = with_room(served.cache, TOKENS_OUT)
        for step in range(TOKENS_OUT):
            token = torch.full((1, 1), step)
            wanted = model(**served.forward_inputs(token)).logits
            position = torch.full((1, 1), TOKENS_IN + step)
            logits = model(token, position_ids=position, **{served.cache_argument: roomy}).logits
            torch.testing.assert_close(logits, wanted, atol=1e-5, rtol=0)


def test_room_is_made_once_and_ends():
    model = make_model("tiny", 64, torch.float32, "cpu")
    prompt = prefill(model, 20, 4)
    roomy = with_room(prompt.cache, 3)
    begins = [(layer.keys.data_ptr(), layer.values.data_ptr()) for layer in roomy.layers]
    size = room_bytes(roomy)
    assert len(decode(model, roomy, prompt.first_token, 20, 3)) == 3
    assert [(layer.keys.data_ptr(), layer.values.data_ptr()) for layer in roomy.layers] == begins
    assert room_bytes(roomy) == size and roomy.layers[0].keys.shape[-2] == 23
    assert prompt.cache.layers[0].keys.shape[-2] == 20, "the prefill's cache stays as it was"
    with pytest.raises(ValueError, match="24 rows in a room for 23"):
        decode(model, roomy, prompt.first_token, 23, 1)


def test_no_step_copies_its_cache():
    model = make_model("tiny", 400, torch.float32, "cpu")
    prompt = prefill(model, 300, 4)
    key_bytes = 300 * KV_HEADS * HEAD_SIZE * 4  # of one layer
    roomy = with_room(prompt.cache, 2)
    assert _largest_allocation(model, roomy, prompt.first_token, 300) < key_bytes
    assert _largest_allocation(model, prompt.cache, prompt.first_token, 300) >= key_bytes, "a dynamic cache is copied"


def _largest_allocation(model, cache, token, position):
    """Bytes that one operation of two steps keeps at most."""
    cpu = torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[cpu], profile_memory=True) as profile:
        decode(model, cache, token, position, 2)
    return max(event.cpu_memory_usage for event in profile.events() if event.name.startswith("aten::"))


def test_the_default_model_has_more_than_100_m_parameters():
    model = make_model("100m", 16, torch.float32, "meta")
    assert sum(weights.numel() for weights in model.parameters()) > 100e6


def test_order_alternates():
    variants = make_variants(["chunk_kv", "streaming_llm"], 0.1, 32, 2)
    assert [variant.name for variant in variants] == [IN_PROCESS, SERVED_FULL, "chunk_kv", "chunk_kv" + REUSE,
                                                      "streaming_llm"]
    assert variants[3].spec == dataclasses.replace(variants[2].spec, reuse_group=2)
    three = [Variant(name, None) for name in "abc"]
    assert ["".join(variant.name for variant in in_turn(three, repeat)) for repeat in range(6)] == [
        "abc", "cba", "bca", "acb", "cab", "bac"]


def sample(put, compaction, load, *steps):
    return Sample(put, compaction, load, list(steps), row_count=1, cache_bytes=1)


def test_figures():
    samples = [sample(0.5, 0.1, 0.2, 0.3, 0.1, 0.2, 0.4)]
    figures = {name: figure.median for name, figure in figures_of(samples, 2.0, is_served=True).items()}
    assert figures == pytest.approx({"put_ms": 500, "compaction_ms": 100, "load_ms": 200, "first_token_ms": 500,
                                     "step_ms": 200, "tokens_per_second": 4, "total_seconds": 3.7})
    assert figures_of(samples, 2.0, is_served=False)["first_token_ms"].median == pytest.approx(2000)


def test_spread_is_the_middle_half_over_the_median():
    figure = Figure.of([10.0, 8.0, 12.0, 11.0, 9.0])
    assert (figure.median, figure.spread) == (10.0, pytest.approx(0.2))
    assert Limit(0.2).holds(figure) and not Limit(0.19).holds(figure)
    assert Figure.of([3.0]).spread == 0


def test_a_difference_is_of_the_repeats_and_resolved_where_they_agree_on_its_sign():
    base = Figure.of([10.0, 20.0, 30.0])
    assert Difference.between(Figure.of([11.0, 22.0, 31.0]), base) == Difference(1.0, True)
    assert Difference.between(Figure.of([7.0, 21.0, 32.0]), base) == Difference(1.0, False)


def test_changes_are_in_the_terms_of_the_paper():
    figures = {name: {"total_seconds": Figure.of([seconds]), "tokens_per_second": Figure.of([rate])}
               for name, seconds, rate in ((IN_PROCESS, 46.48, 20.0), ("chunk_kv" + REUSE, 36.85, 30.0))}
    change = changes(figures, Limit(0.1))["chunk_kv" + REUSE]
    assert change == pytest.approx({"latency": -0.2072, "throughput": 0.2613, "decoding": 0.5}, abs=1e-4)


def test_parts_are_told_apart():
    def figures(step, compaction):
        return {quantity: Figure.of([value] * 3) for quantity, value in (
            ("step_ms", step), ("compaction_ms", compaction), ("put_ms", 9.0), ("load_ms", 1.0),
            ("total_seconds", 5.0))}
    found = parts({IN_PROCESS: figures(80.0, 0.0), SERVED_FULL: figures(80.0, 0.0), "chunk_kv": figures(50.0, 20.0),
                   "chunk_kv" + REUSE: figures(50.0, 10.0)}, Limit(0.1))
    assert [(part["of"], part["against"]) for part in found.values()] == [("compaction", SERVED_FULL),
                                                                         ("reuse", "chunk_kv")]
    assert found["chunk_kv"]["differences"]["step_ms"] == Difference(-30.0, True)
    assert found["chunk_kv" + REUSE]["differences"]["compaction_ms"] == Difference(-10.0, True)
    assert found["chunk_kv" + REUSE]["differences"]["step_ms"] == Difference(0.0, False)
