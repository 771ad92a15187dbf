"""The report of made-up lines: ratios, limits, verdicts, refusals, what is left out."""

import json
from xml.etree import ElementTree

import pytest

from gpu import report
from gpu.figures import figures_of
from gpu.lines import Line, read_lines
from gpu.plot import plot

MACHINE = {"bench": "machine", "name": "NVIDIA H200", "date": "2031-02-03", "multiprocessors": 132, "driver": "1.2"}
LIMITS = [
    {"bench": "limit", "name": "device_copy", "median_ms": 2.0, "spread": 0.01, "repeats": 50, "bytes": 8_600_000_000},
    {"bench": "limit", "name": "matmul", "median_ms": 1.0, "spread": 0.01, "repeats": 50, "flops": 788e9,
     "clock_hz": 1.755e9},
    {"bench": "limit", "name": "host_copy", "median_ms": 10.0, "spread": 0.01, "repeats": 50, "bytes": 500_000_000}]
REQUEST = "request/llama8b/8192/0.3/32/1/token_major/BF16"
SCORE = "score_lse/llama8b/8192/0.3/32/1/token_major/BF16"
SVG = "{http://www.w3.org/2000/svg}"


def figure(name, median_ms, bench="G4", spread=0.02, **more):
    return {"bench": bench, "name": name, "median_ms": median_ms, "spread": spread, "repeats": 20, **more}


def written(folder, *lines):
    path = folder / "run.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def rows(text):
    """{first cell: its row's cells} of all tables of a report."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return {line[0].strip(): [cell.strip() for cell in line] for line in lines}


def report_of(folder, *lines):
    """Status, and the report's text."""
    status = report.main([str(written(folder, *lines)), "--out", str(folder)])
    return status, (folder / "nvidia-h200-2031-02-03/report.md").read_text()


def test_limits_come_from_the_runs_rates_and_ratios_from_its_peers(tmp_path):
    ours = figure(REQUEST, 0.35, bytes=1_050_000_000, scratch_bytes=10_000_000)
    status, text = report_of(tmp_path, MACHINE, *LIMITS, ours, figure(REQUEST, 3.5, peer="vectorised"),
                             figure(REQUEST, 5.0, peer="kvpress"))
    _, _, limit, share, rate, peers, target = rows(text)[REQUEST]
    assert status == 0
    assert rate == "3000, effective 3068", "moved; KV before compaction"
    assert limit == "0.2797 (bytes 0.1249, products 0.08721, exponentials 0.07242, select 0.005, gather 0.1498)"
    assert share == "80%"
    assert peers == "kvpress 5 ±2%, 14.3x; vectorised 3.5 ±2%, 10.0x"
    assert target == ("<= 1.4x the limit (1.251x) met; >= 8x vectorised (10.0x) met; "
                      ">= 20x kvpress (14.3x) **missed**; <= 1% of the KV as scratch (0.93%) met")
    assert rows(text)["device_copy"] == ["device_copy", "4300.0 GB/s", "2 ±1%"]
    assert rows(text)["matmul"][1] == "788.0 TFLOP/s, at 1755 MHz"


def test_a_limit_that_a_line_states_holds(tmp_path):
    _, text = report_of(tmp_path, MACHINE, figure(SCORE, 0.2, "G1", limit_ms=0.15, limit_terms={"bytes": 0.15}))
    assert rows(text)[SCORE][2:4] == ["0.15 (bytes 0.15)", "75%"]
    assert rows(text)[SCORE][6] == ">= 80% of the limit (75.0%) **missed**"


def test_a_figure_that_spreads_too_far_is_refused_with_all_that_would_follow(tmp_path):
    _, text = report_of(tmp_path, MACHINE, *LIMITS, figure(REQUEST, 0.35, spread=0.11, bytes=10**9),
                        figure(REQUEST, 3.5, peer="vectorised"))
    _, time, _, share, rate, peers, target = rows(text)[REQUEST]
    assert (time, share, rate, target) == ("refused ±11%", "", "", "")
    assert peers == "vectorised 3.5 ±2%", "without a ratio"


def test_a_peer_or_a_limit_that_spreads_too_far_gives_no_ratio(tmp_path):
    unsteady = {**LIMITS[0], "spread": 0.2}
    _, text = report_of(tmp_path, MACHINE, unsteady, *LIMITS[1:], figure(REQUEST, 0.35),
                        figure(REQUEST, 3.5, spread=0.3, peer="vectorised"))
    _, _, limit, share, _, peers, target = rows(text)[REQUEST]
    assert (limit, share, peers) == ("", "", "vectorised refused ±30%")
    assert target.count("not judged") == 4 and "met" not in target
    assert rows(text)["device_copy"][1:] == ["refused", "refused ±20%"]


@pytest.mark.parametrize("bench, name, limit_ms, target", [
    ("G1", "score_lse/llama8b/8192/0.3/16/1/token_major/BF16", 0.9, ">= 90% of the limit (90.0%) met"),
    ("G1", "score_lse/llama8b/8192/0.3/32/1/token_major/BF16", 0.79, ">= 80% of the limit (79.0%) **missed**"),
    ("G1", "score_lse/llama70b/8192/0.3/32/1/token_major/BF16", 0.75, ">= 75% of the limit (75.0%) met"),
    ("G1", "score_lse/llama70b/8192/0.3/64/1/token_major/BF16", 0.5, ""),
    ("G1", "score_chunk/llama8b/8192/0.3/32/1/token_major/BF16", 0.7, ">= 70% of the limit (70.0%) met"),
    ("G1", "score_two_pass/llama8b/8192/0.3/32/1/token_major/BF16", 0.4, ">= 45% of the limit (40.0%) **missed**"),
    ("G2", "select/llama8b/131104/0.3/32/1/token_major/BF16", 0.005, "<= 10 us (1000.0) **missed**"),
    ("G3", "gather/llama8b/8192/0.3/32/1/token_major/BF16", 0.94, ">= 95% of the limit (94.0%) **missed**"),
    ("G3", "gather/llama8b/8192/0.3/32/1/head_major/BF16", 0.93, ">= 92% of the limit (93.0%) met"),
    ("G3", "gather/llama8b/8192/0.3/32/1/paged/BF16", 0.88, ">= 88% of the limit (88.0%) met"),
    ("P1", "to_host/llama8b/8192/0.3/32/1/token_major/BF16", 0.96,
     ">= 95% of the limit (96.0%) met; >= 3x full_copy not judged"),
    ("G4", "request/llama8b/32768/0.3/32/1/token_major/BF16", 0.8,
     "<= 1.25x the limit (1.250x) met; >= 20x kvpress not judged; <= 1% of the KV as scratch not judged"),
    ("G4", "request/llama8b/131072/0.3/32/1/token_major/BF16", 0.8,
     "<= 1.2x the limit (1.250x) **missed**; >= 4x vectorised not judged; >= 20x kvpress not judged; "
     "<= 1% of the KV as scratch not judged"),
    ("G4", "request_no_lse/llama8b/8192/0.3/32/1/token_major/BF16", 0.1, ""),
])
def test_every_target(tmp_path, bench, name, limit_ms, target):
    _, text = report_of(tmp_path, MACHINE, figure(name, 1.0, bench, limit_ms=limit_ms))
    assert rows(text)[name][6] == target


def test_selecting_within_ten_microseconds_meets_its_target(tmp_path):
    name = "select/llama8b/131104/0.3/32/1/token_major/BF16"
    _, text = report_of(tmp_path, MACHINE, figure(name, 0.0099, "G2"))
    assert rows(text)[name][2:4] == ["0.005 (select 0.005)", "51%"] and rows(text)[name][6] == "<= 10 us (9.9) met"


@pytest.mark.parametrize("line, reason", [
    ('{"bench": "G4", "name": "requ', "control character"),
    ("[1]", "no JSON object"),
    (figure(REQUEST, 0.4, "G3"), "bench 'G3' is not that of"),
    (figure("request/llama8b", 0.4), "2 parts"),
    (figure(REQUEST, -1.0), "median_ms is no number"),
    (figure(REQUEST, 0), "above 0"),
    (figure(REQUEST, "fast"), "median_ms is no number"),
    (figure(REQUEST, float("nan")), "median_ms is no number"),
    (figure(REQUEST, 0.4, spread=None), "spread is no number"),
    (figure(REQUEST, 0.4, limit_terms=[1]), "limit_terms is no object"),
    (figure(REQUEST, 0.4, peer=3), "are text"),
    (figure(SCORE, 0.5, "G1"), "stands twice"),
    ({"bench": "machine"}, "machine without name"),
])
def test_a_line_that_is_no_measurement_is_left_out_and_named(tmp_path, line, reason):
    status, text = report_of(tmp_path, MACHINE, figure(SCORE, 0.5, "G1"), line)
    assert status == 1
    assert "- line 3: " in text and reason in text.split("## Left out")[1]
    assert SCORE in rows(text), "the others stand"


def test_what_was_not_measured_is_said(tmp_path):
    status, text = report_of(tmp_path, MACHINE, figure(REQUEST, 3.5, peer="vectorised"))
    assert status == 1 and "Nothing was measured." in text
    assert "## G1: scoring\n\nNot measured." in text
    assert rows(text)[REQUEST][1] == "not measured" and rows(text)[REQUEST][5] == "vectorised 3.5 ±2%"


def test_without_a_machines_line_the_report_is_of_this_machine_today(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "describe_briefly", lambda: {"name": "Some GPU / 2", "date": "2031-02-04"})
    assert report.main([str(written(tmp_path, figure(SCORE, 0.5, "G1"))), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "some-gpu-2-2031-02-04/report.md").read_text().startswith("# Some GPU / 2, 2031-02-04\n")


def test_a_missing_file_ends_with_its_reason(tmp_path, capsys):
    assert report.main([str(tmp_path / "none.jsonl"), "--out", str(tmp_path)]) == 1
    assert "none.jsonl" in capsys.readouterr().err


def test_the_lines_are_kept_beside_the_report(tmp_path):
    report_of(tmp_path, MACHINE, figure(SCORE, 0.5, "G1"))
    assert (tmp_path / "nvidia-h200-2031-02-03/lines.jsonl").read_bytes() == (tmp_path / "run.jsonl").read_bytes()


def test_dots_lie_where_their_times_are(tmp_path):
    path = written(tmp_path, MACHINE, figure(SCORE, 1.0, "G1", limit_ms=1.0),
                   figure(SCORE, 10.0, "G1", peer="vectorised"), figure(REQUEST, 2.0, limit_ms=0.1),
                   figure(REQUEST.replace("8192", "9000"), 2.0, spread=0.5))
    root = ElementTree.fromstring(plot("A & <B>", figures_of(read_lines(path))))
    dots = {dot[0].text: float(dot.get("cx")) for dot in root.iter(SVG + "circle") if len(dot)}
    ticks = {text.text: float(text.get("x")) for text in root.iter(SVG + "text") if text.text.endswith("x")}
    assert dots == {"ChunkKV: 1.00x the limit": ticks["1x"], "vectorised: 10.0x the limit": ticks["10x"],
                    "ChunkKV: 20.00x the limit": ticks["20x"]}
    assert max(dots.values()) <= float(root.get("width"))


def test_a_line_comes_back_as_it_was_printed(tmp_path, capsys):
    from gpu.lines import print_line
    line = Line("G4", REQUEST, 0.5, 0.01, 7, 0.4, {"bytes": 0.4}, 100, 5.0, None, 12, "vectorised")
    print_line(line)
    assert read_lines(written(tmp_path, capsys.readouterr().out.strip())).lines == [line]
