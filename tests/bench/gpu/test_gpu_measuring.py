"""Limits and peers are measured and printed as lines, here on the CPU with a tiny model; no test looks at a time."""

import json
import time

import pytest

torch = pytest.importorskip("torch")

from gpu import limits, peer_bench, timing  # noqa: E402
from gpu.lines import Line, read_lines  # noqa: E402
from gpu.peers import vectorised  # noqa: E402
from gpu.prompt import make_prompt  # noqa: E402
from gpu.shapes import BENCHES, LAYOUTS, MODELS, Model, parse_shape  # noqa: E402

SMALL = limits.Sizes(copy_bytes=4096, host_bytes=1024, square=32, product_tokens=64, window=8)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(MODELS, "tiny", Model(layers=3, heads=4, kv_heads=2, head_size=16))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def name_of(bench, layout="token_major", dtype="F32", tokens=160):
    return f"{bench}/tiny/{tokens}/0.3/8/2/{layout}/{dtype}"


def measured(names, deadline=60):
    return list(peer_bench.measure(peer_bench.jobs_of(names), "cpu", time.monotonic() + deadline, seconds=0))


@pytest.mark.parametrize("bench", BENCHES)
@pytest.mark.parametrize("layout", LAYOUTS[:2])
@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_every_bench_has_peers_in_every_layout_and_dtype(bench, layout, dtype):
    found = measured([name_of(bench, layout, dtype)])
    assert [line.peer for line in found] == list(peer_bench.PEERS[bench])
    assert all(line.name == name_of(bench, layout, dtype) and line.bench == BENCHES[bench] and line.repeats >= 3
               for line in found)


def test_a_paged_cache_is_gathered_from_and_not_compacted():
    gather, request, kvpress = measured([name_of("gather", "paged"), name_of("request", "paged")])
    assert gather.peer == "index_select"
    assert request.endswith("not written for paged caches") and kvpress.peer == "kvpress"
    assert measured([name_of("gather", "paged", tokens=161)]) == [
        f"index_select, {name_of('gather', 'paged', tokens=161)}: 161 tokens are no whole blocks"]


def test_fp8_is_left_out_by_name():
    assert measured([name_of("score_lse", dtype="F8_E4M3")]) == [
        f"vectorised, {name_of('score_lse', dtype='F8_E4M3')}: no product of F8_E4M3 in PyTorch"]


def test_nothing_begins_after_the_deadline():
    assert measured([name_of("score_lse")], deadline=-1) == [
        f"vectorised, {name_of('score_lse')}: no time was left"]


def test_kvpress_comes_last_and_no_name_twice():
    names = [name_of("request", tokens=320), name_of("score_lse"), name_of("request"), name_of("score_lse")]
    assert [(shape.tokens, shape.bench, peer) for shape, peer in peer_bench.jobs_of(names)] == [
        (160, "request", "vectorised"), (160, "score_lse", "vectorised"), (320, "request", "vectorised"),
        (160, "request", "kvpress"), (320, "request", "kvpress")]


def test_default_names_are_names():
    assert {parse_shape(name).bench for name in peer_bench.DEFAULT_NAMES} == set(BENCHES) - {"request_no_lse"}
    assert parse_shape(next(name for name in peer_bench.DEFAULT_NAMES if name.startswith("select"))).chunks == 13_108


@pytest.mark.parametrize("head_major", [False, True])
def test_a_prompts_lse_is_that_of_its_queries_and_keys(head_major):
    prompt = make_prompt(parse_shape(name_of("score_lse")), "cpu", head_major)
    torch.testing.assert_close(vectorised.score(prompt.queries, prompt.keys_by_head(), prompt.lse),
                               vectorised.score(prompt.queries, prompt.keys_by_head()))


def test_the_program_takes_names_from_lines_and_says_what_it_left_out(tmp_path, capsys):
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps({"bench": BENCHES[bench], "name": name, "median_ms": 1.0, "spread": 0.0,
                                        "repeats": 1}) + "\n"
                            for bench, name in (("select", name_of("select")),
                                                ("score_lse", name_of("score_lse", dtype="F8_E5M2")))))
    assert peer_bench.main(["--like", str(path), "--device", "cpu"]) == 1
    printed = capsys.readouterr()
    path.write_text(printed.out)
    assert {line.peer for line in read_lines(path).lines} == {"topk_sort", "vectorised"}
    assert printed.err.startswith("left out: vectorised, " + name_of("score_lse", dtype="F8_E5M2"))


def test_limits_are_rates(monkeypatch):
    monkeypatch.setattr(limits, "MODELS", {"tiny": MODELS["tiny"]})
    lines = {line.name: line for line in limits.measure("cpu", SMALL, seconds=0)}
    assert list(lines) == ["device_copy", "matmul", "product/tiny/8", "host_copy"]
    assert (lines["device_copy"].bytes, lines["host_copy"].bytes) == (8192, 1024)
    assert lines["matmul"].flops == 2 * 32**3 and lines["matmul"].clock_hz is None
    assert lines["product/tiny/8"].flops == 2 * 8 * 4 * 64 * 16, "w, H, L, D"
    assert all(line.bench == "limit" and line.median_ms > 0 for line in lines.values())


def test_the_limits_program_prints_the_machine_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(limits, "measure", lambda device, sizes, seconds: [Line("limit", "device_copy", 1.0, 0.0, 5,
                                                                                          bytes=8)])
    assert limits.main(["--device", "cpu"]) == 0
    path = tmp_path / "lines.jsonl"
    path.write_text(capsys.readouterr().out)
    found = read_lines(path)
    assert found.machine["name"] == "cpu" and len(found.machine["date"]) == 10
    assert found.limit("device_copy").bytes_per_s == 8000 and not found.unreadable


def test_what_the_device_refuses_does_not_stop_the_others(monkeypatch, capsys):
    def refuse(*arguments):
        raise RuntimeError("CUDA error: no such thing\nmore of it")

    monkeypatch.setattr(limits, "matmul", refuse)
    monkeypatch.setattr(limits, "Sizes", lambda: SMALL)
    monkeypatch.setattr(limits, "SECONDS", 0)
    assert limits.main(["--device", "cpu"]) == 1
    printed = capsys.readouterr()
    assert "host_copy" in printed.out and printed.err == "left out: matmul: CUDA error: no such thing\n"

    monkeypatch.setitem(peer_bench.PEERS["request"], "vectorised", refuse)
    refused, kvpress = measured([name_of("request")])
    assert refused == f"vectorised, {name_of('request')}: CUDA error: no such thing" and kvpress.peer == "kvpress"


def test_spread_is_the_middle_half_over_the_median():
    assert timing.timing_of([10.0, 8.0, 12.0, 11.0, 9.0]) == timing.Timing(10.0, pytest.approx(0.2), 5)
    assert timing.timing_of([3.0]).spread == 0


def test_work_runs_at_least_as_often_as_asked_after_a_warm_up(monkeypatch):
    monkeypatch.setattr(timing, "SHORTEST_MS", 0.0)
    runs = []
    found = timing.time_repeats(lambda: runs.append(0), "cpu", seconds=0, least=4)
    assert found.repeats == 4 and len(runs) == 1 + 4
