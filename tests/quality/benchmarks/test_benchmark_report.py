"""The summary's figures, and the paper's beside them."""

import json

from paper_benchmarks import paper, report
from paper_benchmarks.gsm8k import Gsm8k
from paper_benchmarks.longbench import LongBench
from paper_benchmarks.methods import Budget, Method, methods_of, spec_arguments

SETTINGS = {"budget": {"keep_ratio": 0.1, "max_tokens": None}}


def row(method, group, metric, value, kept=10):
    return {"example": f"{group}-{value}", "method": method, "group": group, "scores": {metric: value},
            "kept_tokens": kept, "prompt_tokens": 100}


def test_measured_figures_stand_beside_the_papers():
    rows = [row("full", "gsm8k", "accuracy", 100.0, kept=100), row("full", "gsm8k", "accuracy", 0.0, kept=100),
            row("chunk_kv/sentences", "gsm8k", "accuracy", 0.0, kept=11)]
    summary = report.summarize(Gsm8k(), SETTINGS, rows, ["a note"])
    lines = {line.split()[0]: line.split() for line in report.table(Gsm8k(), summary).splitlines()}

    assert lines["GSM8K:"] == ["GSM8K:", "keep", "10%"]
    assert lines["full"] == ["full", "2", "0", "100.0%", "50.00", "79.5"]
    assert lines["chunk_kv/sentences"] == ["chunk_kv/sentences", "1", "0", "11.0%", "0.00", "65.7"]
    assert lines["pyramid_kv"] == ["pyramid_kv", "–", "–", "–", "–", "48.2"]
    assert lines["[1]"][1:3] == ["arXiv", "2502.00299v5:"] and "note:" in lines


def test_a_mean_of_datasets_weighs_them_equally(tmp_path):
    values = [("qasper", 30.0), ("qasper", 50.0), ("trec", 100.0)]
    rows = [row("full", group, "score", value) for group, value in values]
    summary = report.summarize(LongBench(), SETTINGS, rows, [])
    text = report.write(tmp_path, LongBench(), summary)

    assert summary["methods"]["full"]["scores"] == {"score": 70.0}
    assert summary["methods"]["full"]["groups"]["qasper"] == {"examples": 2, "score": 40.0}
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert (tmp_path / "table.txt").read_text() == text + "\n"
    assert [line.split() for line in text.splitlines()[-2:]] == [["qasper", "40.00"], ["trec", "100.00"]]


def test_skipped_examples_are_counted_and_not_scored():
    skipped = {"example": "gsm8k-9", "group": "gsm8k", "skipped": "too long"}
    rows = [skipped | {"method": "chunk_kv"}, skipped | {"method": "full"}, row("full", "gsm8k", "accuracy", 100.0)]
    summary = report.summarize(Gsm8k(), SETTINGS, rows, [])
    lines = {line.split()[0]: line.split() for line in report.table(Gsm8k(), summary).splitlines()}

    assert summary["methods"]["full"]["scores"] == {"accuracy": 100.0}
    assert lines["full"] == ["full", "1", "1", "10.0%", "100.00", "79.5"]
    assert lines["chunk_kv"] == ["chunk_kv", "0", "1", "–", "–", "65.7"]


def test_two_published_runs_are_two_columns():
    from paper_benchmarks.needle import NeedleInAHaystack

    summary = report.summarize(NeedleInAHaystack(), {"budget": {"keep_ratio": None, "max_tokens": 128}}, [], [])
    text = report.table(NeedleInAHaystack(), summary)
    assert "128 tokens kept" in text and "[2] arXiv 2502.00299v5: Mistral-7B, 128 kept" in text
    chunk_kv = next(line for line in text.splitlines() if line.strip().startswith("chunk_kv"))
    assert chunk_kv.split()[-2:] == ["73.8", "99.8"]


def test_every_benchmark_has_the_papers_six_figures():
    assert set(paper.PUBLISHED) == {"needle", "longbench", "gsm8k", "many-shot-gsm8k", "jailbreakv"}
    for runs in paper.PUBLISHED.values():
        assert all(set(run.scores) == {"full", *paper.POLICIES} for run in runs)


def test_methods_ask_for_what_they_need():
    budget = Budget(keep_ratio=0.1, max_tokens=None, window_length=32, chunk_length=20, reuse_group=2)
    assert methods_of(["chunk_kv", "full", "chunk_kv"], ["lines", "lines"]) == [Method("chunk_kv", "lines"),
                                                                                Method("full")]
    assert methods_of(["full", "chunk_kv", "h2o"], ["grid", "lines"]) == [
        Method("full"), Method("chunk_kv"), Method("chunk_kv", "lines"), Method("h2o")]
    assert spec_arguments(Method("full"), budget) == {"policy": "full"}
    grid = spec_arguments(Method("chunk_kv"), budget)
    assert grid["chunk_length"] == 20 and grid["reuse_group"] == 2 and grid["keep_ratio"] == 0.1
    given = spec_arguments(Method("chunk_kv", "lines"), budget, chunk_starts=[0, 5])
    assert given["chunk_starts"] == [0, 5] and "chunk_length" not in given
    assert Method("chunk_kv", "lines").name == "chunk_kv/lines"
